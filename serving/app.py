"""The fast path as an ASGI application: `/v1/score`, `/metrics`, `/health` and `/ready`; the rest goes behind it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING, Any

import msgspec

from pipelines.core.errors import LeadwiseError
from serving.guard import body_of, error_body, readable
from serving.keys import opens
from serving.metrics import KIND
from serving.online import StoreDown
from serving.requests import BadRequest, Reader
from serving.scoring import UnknownLead

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from serving.keys import Hashes
    from serving.metrics import Metrics
    from serving.scoring import Scorer

log = logging.getLogger("leadwise.serving")

LARGEST = 4 * 1024 * 1024
"""Bytes of a body of ours: a thousand leads with their features take a quarter of it."""

_BODY_SECONDS = 10.0
_READY_SECONDS = 1.0
_RETRY = (b"retry-after", b"1")  # seconds
_ASK = (b"www-authenticate", b"Bearer")
_OPEN = ("/health", "/ready")
"""What watches over servers asks without a key."""


class App:
    """Our paths, and `behind` them whatever answers the others."""

    def __init__(
        self, scorer: Scorer, behind: ASGIApp, metrics: Metrics, keys: Hashes | None = None, queue: int = 64
    ) -> None:
        """Keep what answers.

        Args:
            scorer: of the champion.
            behind: answers other paths.
            metrics: told of each answer of ours.
            keys: who may ask; None is everybody.
            queue: requests for scores that may wait; more are told to come again.
        """
        self._scorer, self._behind, self._keys = scorer, behind, keys
        self._metrics, self._queue, self._waiting, self._ready = metrics, queue, 0, -math.inf
        self._reader = Reader(scorer.bundle.layout.entity)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path") if scope["type"] == "http" else None
        if path is not None and path not in _OPEN and not self._may(scope):
            await _send(send, *_error(401), [_ASK])
        elif path == "/v1/score":
            await self._score(scope, receive, send)
        elif path == "/metrics" and scope["method"] == "GET":
            await _answer(send, 200, self._metrics.text(), KIND.encode())
        elif path in ("/health", "/ready"):
            await _send(send, *(await self._health(path) if scope["method"] == "GET" else _error(405)))
        else:
            await self._behind(scope, receive, send)

    def _may(self, scope: Scope) -> bool:
        """Whether a request has a key that opens."""
        if self._keys is None:
            return True
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"").decode("latin-1")
        kind, _, key = given.partition(" ")
        return kind.lower() == "bearer" and opens(key.strip(), self._keys) is not None

    async def _health(self, path: str) -> tuple[int, dict[str, Any]]:
        """Alive, with which model; ready only where features can be looked up too."""
        about = {"model": self._scorer.bundle.name, "model_version": self._scorer.bundle.version}
        try:
            if path == "/ready" and time.monotonic() - self._ready >= _READY_SECONDS:
                await self._scorer.warm_up()
                self._ready = time.monotonic()
        except StoreDown:
            return _error(503)
        return 200, {"status": "ok", **about}

    async def _score(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/score`, in its turn."""
        began = time.perf_counter()
        if self._waiting >= self._queue:
            status, told = _error(429)
        else:
            self._waiting += 1
            try:
                await asyncio.sleep(0)  # whoever came by now is counted before the first of them is answered
                status, told = await self._asked(scope, receive)
            finally:
                self._waiting -= 1
        await _send(send, status, told, [_RETRY] if status in (429, 503) else [])
        self._metrics.answered(status, time.perf_counter() - began, told.get("scores", ()))

    async def _asked(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to a request."""
        if scope["method"] != "POST":
            return _error(405)
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body, whole = await body_of(receive, LARGEST)
        except TimeoutError:
            return _error(408)
        if not whole:
            return _error(413, f"the body is larger than {LARGEST // 1024 // 1024} MB: send fewer leads")
        if not readable(scope, "application/json"):
            return _error(415, "send the body as application/json in UTF-8")
        return await self._answered(body)

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
    await _answer(send, status, msgspec.json.encode(told), b"application/json", more)


async def _answer(
    send: Send, status: int, content: bytes, kind: bytes, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(content)), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
