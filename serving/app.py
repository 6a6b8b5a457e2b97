"""The endpoint as an ASGI application: who may ask, `/v1/score` and what watches over it; MLflow's paths go behind."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import LeadwiseError
from serving import tracing
from serving.door import Door
from serving.guard import body_of, readable
from serving.logs import described
from serving.metrics import KIND
from serving.online import StoreDown
from serving.pages import Pages
from serving.replies import Signed, answer, error_body, refuse, request_id, tell
from serving.requests import BadRequest, Reader
from serving.scoring import UnknownLead
from serving.turns import Turns

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from serving.metrics import Metrics
    from serving.record import Record
    from serving.scoring import Scorer
    from serving.tracing import Tracing

log = logging.getLogger("leadwise.serving")

LARGEST = 4 * 1024 * 1024
"""Bytes of a body of ours: a thousand leads with their features take a quarter of it."""

SCORE, INVOCATIONS = "/v1/score", "/invocations"

_BODY_SECONDS = 10.0
_READY_SECONDS = 1.0
_ASK, _ASK_PERSON = (b"www-authenticate", b"Bearer"), (b"www-authenticate", b'Basic realm="Leadwise: the key"')
_OPEN = ("/health", "/ready")
"""What watches over servers asks without a key."""

_KNOWN = (SCORE, INVOCATIONS, "/metrics", "/docs", "/openapi.json", "/ping", "/version", *_OPEN)
_UNTOLD = (401, 429)
"""Refusals that are counted and not logged: whoever floods the endpoint would flood the log."""


class App:
    """Our paths, and `behind` them whatever answers the others."""

    def __init__(
        self,
        scorer: Scorer,
        behind: ASGIApp,
        metrics: Metrics,
        *,
        door: Door | None = None,
        queue: int = 64,
        fresh_hours: float | None = None,
        record: Record | None = None,
        traces: Tracing = tracing.OFF,
    ) -> None:
        """Keep what answers.

        Args:
            scorer: of the champion.
            behind: answers other paths.
            metrics: told of each answer.
            door: decides who may ask; None lets everybody.
            queue: requests for scores that may wait; more are told to come again.
            fresh_hours: age of the features online from which on this is not ready; None is never.
            record: is given what was served.
            traces: makes spans.
        """
        self._scorer, self._behind, self._metrics, self._door = scorer, behind, metrics, door or Door()
        self._turns, self._passing = Turns(queue), Turns(queue, math.inf)
        self._fresh, self._record, self._traces = fresh_hours, record, traces
        self._reader = Reader(scorer.bundle.layout.entity, scorer.bundle.given, scorer.step)
        self._pages = Pages(scorer.bundle, self._door.asks)
        self._ready = -math.inf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._behind(scope, receive, send)
            return
        began = time.perf_counter()
        path = scope["path"]
        route = path if path in _KNOWN else "/docs" if self._pages.have(path) else "other"
        signed = Signed(scope, send)
        about: dict[str, Any] = {}
        with self._traces.request(scope, route, request_id(scope)) as span:
            await self._enter(scope, receive, signed, route, about)
            tracing.ended(span, signed.status, **about)
        took = time.perf_counter() - began
        self._metrics.answered(route, signed.status, took)
        if signed.status >= 400 and signed.status not in _UNTOLD:
            level = logging.ERROR if signed.status >= 500 else logging.INFO
            told = {"request_id": request_id(scope), "route": route, "status": signed.status}
            log.log(level, "refused", extra={**told, "ms": round(1000 * took, 3), **about})

    async def _enter(self, scope: Scope, receive: Receive, send: Send, route: str, about: dict[str, Any]) -> None:
        """Answer whoever may ask."""
        if route in _OPEN:
            await self._health(scope, send)
            return
        key = self._door.key(scope, page=route in ("/docs", "/openapi.json"))
        if key is None:
            await refuse(scope, send, 401, more=[_ASK_PERSON if route == "/docs" else _ASK])
            return
        if key:
            about["key"] = key
        if route not in (SCORE, INVOCATIONS):
            await self._show(scope, receive, send, route)
        elif seconds := await self._door.wait(key):
            said = f"this key has asked as often as it may: ask again in {seconds} seconds"
            await refuse(scope, send, 429, said, _retry(seconds))
        elif route == SCORE:
            await self._score(scope, receive, send, about)
        else:
            await self._pass(scope, receive, send)

    async def _show(self, scope: Scope, receive: Receive, send: Send, route: str) -> None:
        """What tells of the endpoint: figures, pages, MLflow's own."""
        ours = route == "/metrics" or self._pages.have(scope["path"])
        if ours and scope["method"] not in ("GET", "HEAD"):
            await refuse(scope, send, 405)
        elif route == "/metrics":
            await answer(scope, send, 200, self._metrics.text(), KIND.encode())
        elif ours:
            await self._pages.show(scope, send)
        else:
            await self._behind(scope, receive, send)

    async def _health(self, scope: Scope, send: Send) -> None:
        """Alive, with which model; ready only where features can be looked up and are fresh enough."""
        if scope["method"] not in ("GET", "HEAD"):
            await refuse(scope, send, 405)
            return
        about: dict[str, Any] = {"model": self._scorer.bundle.name, "model_version": self._scorer.bundle.version}
        if scope["path"] == "/ready":
            age = self._scorer.age()
            about["features_age"] = age
            if self._fresh is not None and (age is None or age > 3600 * self._fresh):
                said = f"the features online are older than {self._fresh:g} hours: run `leadwise features`"
                await refuse(scope, send, 503, said, _retry(60))
                return
            try:
                if time.monotonic() - self._ready >= _READY_SECONDS:
                    await self._scorer.warm_up()
                    self._ready = time.monotonic()
            except StoreDown:
                await refuse(scope, send, 503, "the online store does not answer: ask again in a second", _retry(1))
                return
        await tell(scope, send, 200, {"status": "ok", **about})

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`/invocations`, as far as others are not waiting for it already."""
        entered = self._passing.enter()
        if entered is None:
            await refuse(scope, send, 429, more=_retry(1))
            return
        try:
            await self._behind(scope, receive, send)
        finally:
            self._passing.leave(entered)

    async def _score(self, scope: Scope, receive: Receive, send: Send, about: dict[str, Any]) -> None:
        """`POST /v1/score`, in its turn."""
        entered = self._turns.enter()
        if entered is None:
            await refuse(scope, send, 429, more=_retry(1))
            return
        try:
            await asyncio.sleep(0)  # whoever came by now is counted before the first of them is answered
            status, told = await self._asked(scope, receive)
        finally:
            self._turns.leave(entered)
        await tell(scope, send, status, told, _retry(1) if status == 503 else ())
        if scores := told.get("scores"):
            about |= {"rows": len(scores), "model_version": self._scorer.bundle.version}
            self._metrics.scored(scores)

    async def _asked(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to a request."""
        refused: tuple[int, str | None] | None = None
        if scope["method"] != "POST":
            refused = 405, None
        elif not readable(scope, "application/json"):
            refused = 415, "send the body as application/json in UTF-8"
        if refused is not None:
            return refused[0], error_body(scope, *refused)
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body, whole = await body_of(receive, LARGEST)
        except TimeoutError:
            return 408, error_body(scope, 408)
        if not whole:
            return 413, error_body(
                scope, 413, f"the body is larger than {LARGEST // 1024 // 1024} MB: send fewer leads"
            )
        return await self._answered(scope, body)

    async def _answered(self, scope: Scope, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer."""
        try:
            asked, reasons = self._reader.read(body)
            scores = await self._scorer.score(asked, reasons)
            if self._record is not None:
                self._record.add(request_id(scope), self._scorer.bundle, asked, scores)
            return 200, {"scores": scores}
        except BadRequest as error:
            return 422, error_body(scope, 422, str(error))
        except UnknownLead as error:
            entity, place = self._scorer.bundle.layout.entity, error.position
            said = f"nothing is known of the {entity} at position {place} of 'leads': it has no features online"
            return 404, error_body(scope, 404, said)
        except StoreDown as error:
            self._failed(scope, "the online store does not answer", error)
            return 503, error_body(scope, 503)
        except LeadwiseError as error:
            self._failed(scope, "the model can't score this", error)
            return 500, error_body(scope, 500)
        except Exception as error:
            self._failed(scope, "a score failed", error)
            return 500, error_body(scope, 500)

    def _failed(self, scope: Scope, said: str, error: Exception) -> None:
        """Log where an error rose; what it says may name somebody."""
        log.error(said, extra={"request_id": request_id(scope), **described(error)})


def _retry(seconds: int) -> list[tuple[bytes, bytes]]:
    return [(b"retry-after", b"%d" % seconds)]
