"""A worker: scores of its own, everything else handed to the keeper. It loads none of the heavy libraries."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.lean import go_without, own
from serving import logs, tracing
from serving.app import App
from serving.bundle import read
from serving.cache import Cache
from serving.control import Control
from serving.door import Door, Rates
from serving.guard import LARGEST, Guard, body_of
from serving.metrics import Metrics
from serving.online import Mark, StoreDown, store_of
from serving.record import Record
from serving.replies import answer
from serving.scoring import Scorer

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx import AsyncClient
    from starlette.types import ASGIApp, Receive, Scope, Send

    from serving.control import Serving

log = logging.getLogger("leadwise.serving")

HEAVY = ("cudf", "dask", "feast", "matplotlib", "mlflow", "pandas", "pyarrow", "sklearn")
"""Libraries that no score needs. The boosters look for some of them, and go on where there are none."""

LOOK_SECONDS = 0.25
"""How often a worker looks whether another champion is served."""

AGAIN_SECONDS = 2.0
"""How long a worker leaves alone what it could not load."""

PATHS = ("/invocations", "/ping", "/version")
"""What MLflow's app is asked for."""

_WAIT_SECONDS = 60.0
"""For an answer of MLflow's app."""


def create() -> ASGIApp:
    """The application of this process, as uvicorn asks for it."""
    own()
    logs.configure()
    if not go_without(*HEAVY):
        raise RuntimeError("a library came in that a worker does without")
    return Worker(Control.here())


class Worker:
    """Loads what is served when the server starts, and again whenever that changes."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._app: App | None = None
        self._scorer: Scorer | None = None
        self._before: Scorer | None = None
        self._serving: Serving | None = None
        self._behind = Guard(Behind(control.socket))
        self._metrics = Metrics()
        self._rates: Rates | None = None
        self._record: Record | None = None
        self._traces = tracing.OFF

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, from one champion."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send, self._run)
        elif self._app is not None:
            await self._app(scope, receive, send)

    async def _run(self, ready: Callable[[], Any], ending: asyncio.Event) -> None:
        serving = self._control.said()
        if serving is None:
            raise RuntimeError("nothing is served yet")
        self._traces = tracing.configured(serving.tenant)
        self._rates = Rates(serving.rate, serving.tenant, serving.redis) if serving.rate else None
        if serving.served is not None:
            self._record = Record(Path(serving.served), self._metrics.lost)
            self._record.begin()
        await self._serve(serving)
        await ready()
        self._control.begin()
        pause = LOOK_SECONDS
        while not ending.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), pause)
            try:
                await self._look()
                pause = LOOK_SECONDS
            except Exception:
                log.exception("what is to be served can't be; what was goes on, and it is tried again")
                pause = AGAIN_SECONDS
        for scorer in (self._scorer, self._before):
            if scorer is not None:
                await scorer.close()
        if self._record is not None:
            await self._record.close()
        await asyncio.to_thread(self._traces.close)

    async def _look(self) -> None:
        """Follow what is said, and tell the figures of what is served."""
        parent = multiprocessing.parent_process()
        if parent is not None and os.getppid() != parent.pid:  # killed, and nobody is left to end this
            os.kill(os.getpid(), signal.SIGTERM)
        said = self._control.said()
        if said is not None and said != self._serving:
            await self._serve(said)
        if self._scorer is not None and self._serving is not None:
            self._metrics.serves(self._serving.seq, self._scorer.age())

    async def _serve(self, said: Serving) -> None:
        """Serve this from now on; a request under way ends with what it began with."""
        held, scorer = self._serving, self._scorer
        if held is not None and scorer is not None and said.keys != held.keys:  # keys don't wait for a champion
            held = self._serving = replace(held, keys=said.keys)
            self._app = self._made(scorer, held)
        if said != held:
            fresh = await self._loaded(said)
            if self._before is not None:  # what was asked of it is answered: another one has served since
                await self._before.close()
            self._before = scorer
            self._app, self._scorer, self._serving = self._made(fresh, said), fresh, said

    def _made(self, scorer: Scorer, serving: Serving) -> App:
        return App(
            scorer,
            self._behind,
            self._metrics,
            door=Door(serving.keys, self._rates),
            queue=serving.queue,
            fresh_hours=serving.fresh_hours,
            record=self._record,
            traces=self._traces,
        )

    async def _loaded(self, serving: Serving) -> Scorer:
        bundle = await asyncio.to_thread(read, Path(serving.bundle))
        scorer = Scorer(
            bundle,
            store_of(serving.sqlite, serving.redis, bundle.layout),
            Mark(Path(serving.mark)),
            serving.cold,
            Cache(serving.cache, serving.cache_seconds, self._metrics.cached),
            self._traces,
        )
        with suppress(StoreDown):  # then it answers 503 until the store is back
            await scorer.warm_up()
        return scorer


class Behind:
    """Hands requests to MLflow's scoring app, which is a process of its own."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._client: AsyncClient | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, and its answer back."""
        if scope["path"] not in PATHS:
            await answer(scope, send, 404, b"")
            return
        import httpx

        if self._client is None:
            transport = httpx.AsyncHTTPTransport(uds=str(self._socket))
            self._client = httpx.AsyncClient(transport=transport, base_url="http://mlflow", timeout=_WAIT_SECONDS)
        body, _ = await body_of(receive, LARGEST)
        kept = [(name, value) for name, value in scope["headers"] if name in (b"content-type", b"accept")]
        try:
            got = await self._client.request(scope["method"], scope["path"], content=body, headers=kept)
            status, content, kind = got.status_code, got.content, got.headers.get("content-type", "text/plain")
        except httpx.HTTPError as error:
            log.error("MLflow's app does not answer: %s", type(error).__name__)
            status, content, kind = 503, b"", "text/plain"
        await answer(scope, send, status, content, kind.encode("latin-1"))


async def _lifespan(receive: Receive, send: Send, run: Callable[[Callable[[], Any], asyncio.Event], Any]) -> None:
    """ASGI's start and end: `run` calls `ready` when requests may come, and ends when the event is set."""
    await receive()
    ending = asyncio.Event()
    started = False

    async def ready() -> None:
        nonlocal started
        started = True
        await send({"type": "lifespan.startup.complete"})

    task = asyncio.ensure_future(run(ready, ending))
    asked = asyncio.ensure_future(receive())
    await asyncio.wait([task, asked], return_when=asyncio.FIRST_COMPLETED)
    ending.set()
    try:
        await task
    except Exception as error:
        log.error("the worker can't serve: %s", error)
        if not started:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
    await asked
    await send({"type": "lifespan.shutdown.complete"})
