"""The endpoint as one ASGI application: `/v1/score` and `/health` of ours, the rest MLflow's scoring app."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from pipelines.core.errors import LeadwiseError, NotReady
from serving.guard import Guard, body_of, error_body, readable
from serving.online import Mark, SqliteStore, StoreDown
from serving.requests import BadRequest, Reader
from serving.scoring import Scorer, UnknownLead

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

    from pipelines.core.tenant import Tenant
    from pipelines.registry.champion import Champion
    from serving.bundle import Bundle
    from serving.online import OnlineStore

log = logging.getLogger("leadwise.serving")

LARGEST = 4 * 1024 * 1024
"""Bytes of a body of ours: a thousand leads with their features take a quarter of it."""

_MLFLOW_PATHS = ("/ping", "/version", "/invocations")
_RETRY = (b"retry-after", b"1")  # seconds


def create_app(tenant: Tenant, target: str | None = None) -> ASGIApp:
    """Load the champion of `target` (None: the tenant's first) and return the application.

    Raises:
        NotReady: there is no champion, or the online store was never filled.
        SourceUnreachable: the Redis of the online store does not answer.
        ConfigError: an unknown target.
        UnsafeModel: the champion's files are not those that were promoted.
    """
    from pipelines.registry.champion import load_champion
    from serving.bundle import read, stage

    name = tenant.target(target)[0]
    champion = load_champion(tenant, name)
    bundle = read(stage(tenant, champion))
    asyncio.run(_warmed(tenant, bundle))
    scorer = Scorer(bundle, store_of(tenant, bundle), Mark(tenant.online_mark), tenant.params.serve.cold)
    return App(scorer, Guard(mlflow_app(champion)))


def store_of(tenant: Tenant, bundle: Bundle) -> OnlineStore:
    """The tenant's online store, open for reading."""
    if tenant.settings.online_url is None:
        return SqliteStore(tenant.feast_dir / "online.db", bundle.layout)
    from redis.asyncio import Redis

    from serving.online import RedisStore

    waits: dict[str, Any] = {"socket_connect_timeout": 1.0, "socket_timeout": 1.0}
    return RedisStore(Redis.from_url(tenant.settings.online_url, **waits), bundle.layout)


async def _warmed(tenant: Tenant, bundle: Bundle) -> None:
    """Ask store and model once: what is missing is told at the start, and the first request is not the slow one."""
    from pipelines.core.errors import SourceUnreachable

    store = store_of(tenant, bundle)
    try:
        await Scorer(bundle, store, Mark(tenant.online_mark)).warm_up()
    except StoreDown as error:
        if tenant.settings.online_url is None:
            raise NotReady(
                f"tenant '{tenant.name}' has no features online yet:"
                f" run `leadwise features --tenant {tenant.name}` first"
            ) from None
        raise SourceUnreachable(
            f"the online store {tenant.settings.online_shown} does not answer ({error}): see that it runs and that"
            " LEADWISE_ONLINE_URL is right"
        ) from None
    finally:
        await store.close()


def mlflow_app(champion: Champion) -> ASGIApp:
    """MLflow's own scoring app, without its open documentation pages."""
    from mlflow.pyfunc import scoring_server

    app: FastAPI = scoring_server.init(champion.model)
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") in _MLFLOW_PATHS]
    return app


class App:
    """Our paths, and `behind` them whatever answers the others."""

    def __init__(self, scorer: Scorer, behind: ASGIApp) -> None:
        self._scorer, self._behind = scorer, behind
        self._reader = Reader(scorer.bundle.layout.entity)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path") if scope["type"] == "http" else None
        if path == "/v1/score":
            await self._score(scope, receive, send)
        elif path == "/health":
            about = {"model": self._scorer.bundle.name, "model_version": self._scorer.bundle.version}
            await _send(send, *((200, {"status": "ok", **about}) if scope["method"] == "GET" else _error(405)))
        else:
            await self._behind(scope, receive, send)

    async def _score(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/score`."""
        if scope["method"] != "POST":
            await _send(send, *_error(405))
            return
        body, whole = await body_of(receive, LARGEST)
        if not whole:
            await _send(send, *_error(413, f"the body is larger than {LARGEST // 1024 // 1024} MB: send fewer leads"))
        elif not readable(scope, "application/json"):
            await _send(send, *_error(415, "send the body as application/json in UTF-8"))
        else:
            status, told = await self._answered(body)
            await _send(send, status, told, [_RETRY] if status == 503 else [])

    async def _answered(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer."""
        try:
            asked, reasons = self._reader.read(body)
            return 200, {"scores": await self._scorer.score(asked, reasons)}
        except BadRequest as error:
            return _error(422, str(error))
        except UnknownLead as error:
            entity = self._scorer.bundle.layout.entity
            return _error(
                404,
                f"nothing is known of the {entity} at position {error.position} of 'leads': it has no features online",
            )
        except StoreDown as error:
            log.error("the online store does not answer: %s", error)
            return _error(503)
        except LeadwiseError as error:  # its sentence may name rows, so it stays in the log
            log.error("score failed: %s", error)
            return _error(500)
        except Exception:
            log.exception("score failed")
            return _error(500)


def _error(status: int, message: str | None = None) -> tuple[int, dict[str, Any]]:
    return status, dict(error_body(status, message))


async def _send(send: Send, status: int, told: dict[str, Any], more: list[tuple[bytes, bytes]] | None = None) -> None:
    content = msgspec.json.encode(told)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content)), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
