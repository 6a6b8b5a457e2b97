"""The process beside the workers: it follows the ledger, makes bundles of champions, and runs MLflow's scoring app."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.errors import LeadwiseError, NotReady, SourceUnreachable
from pipelines.core.tenant import Tenant
from serving import logs
from serving.bundle import read, stage
from serving.collect import collect, folder_of
from serving.control import Control, Serving
from serving.keys import Keys
from serving.online import Mark, StoreDown, store_of
from serving.scoring import Scorer
from serving.worker import PATHS

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

    from pipelines.registry.champion import Champion
    from serving.keys import Hashes

log = logging.getLogger("leadwise.serving")

LOOK_SECONDS = 1.0
"""How often the ledger and the keys are looked at."""

COLLECT_SECONDS = 60.0
"""How often what was served is brought to its table: each time makes a version of it."""

AGAIN_SECONDS = 5.0
"""How long a champion that could not be loaded is left alone."""

DRAIN_SECONDS = 10
"""What requests under way get to end."""


def mlflow_app(champion: Champion) -> FastAPI:
    """MLflow's own scoring app, without its open documentation pages."""
    from mlflow.pyfunc import scoring_server

    app: FastAPI = scoring_server.init(champion.model)
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") in PATHS]
    return app


class Keeper:
    """Follows the decisions on one target.

    Attributes:
        serving: what workers serve.
    """

    serving: Serving

    def __init__(self, tenant: Tenant, target: str, control: Control) -> None:
        """Load what is in force, and say so.

        Raises:
            NotReady: there is no champion, or the online store was never filled.
            SourceUnreachable: the Redis of the online store does not answer.
            UnsafeModel: the champion's files are not those that were promoted.
        """
        from pipelines.registry.champion import load_champion
        from pipelines.registry.ledger import Ledger

        self._tenant, self._target, self._control = tenant, target, control
        self._ledger, self._keys = Ledger(tenant), Keys(tenant)
        self._failed_at = -math.inf
        self._saying = threading.Lock()
        before = control.said()
        self._closed = before is not None and before.keys is not None
        entry = self._ledger.current(target)
        self._seq = entry.seq if entry else 0
        self.serving, self._app = self._taken(load_champion(tenant, target), self._seq)
        asyncio.run(self._warm_up())
        control.say(self.serving)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """MLflow's app for the champion that is served."""
        await self._app(scope, receive, send)

    def look(self) -> bool:
        """Serve another champion where one was put to work since; whether one was.

        Where it can't be loaded, that is logged, the one before goes on, and some seconds later it is tried again.
        """
        from pipelines.registry.champion import load_entry

        entry = self._ledger.current(self._target)
        if entry is None or entry.seq == self._seq or time.monotonic() - self._failed_at < AGAIN_SECONDS:
            return False
        try:
            taken, app = self._taken(load_entry(self._tenant, entry), entry.seq)
            self._say(taken)
        except Exception as error:
            self._failed_at = time.monotonic()
            log.error("decision %s is not served, and that of before (%s) goes on: %s", entry.seq, self._seq, error)
            return False
        self._app, self._seq = app, entry.seq
        name = self._tenant.model_name(entry.target)
        log.warning("version %s of %s is served now: %s", entry.version, name, entry.why)
        return True

    def look_for_keys(self) -> None:
        """Let the keys in force open, and no others: they don't wait for a champion that is loaded."""
        if self._known_keys() != self.serving.keys:
            self._say(None)

    def collect(self) -> None:
        """Bring what was served to its table."""
        if self.serving.served is not None:
            collect(self._tenant)

    def _say(self, taken: Serving | None) -> None:
        """Tell the workers what is served, with the keys of now; None is what was served before."""
        with self._saying:
            said = replace(taken or self.serving, keys=self._known_keys())
            self._control.say(said)
            self.serving = said

    def _known_keys(self) -> Hashes | None:
        """The keys in force. Where there were some once, a table that is gone opens nothing."""
        keys = self._keys.hashes()
        self._closed = self._closed or keys is not None
        return {} if keys is None and self._closed else keys

    def _taken(self, champion: Champion, seq: int) -> tuple[Serving, FastAPI]:
        """What workers are told of a champion, and MLflow's app for it."""
        tenant = self._tenant
        local = tenant.settings.online_url is None
        serve = tenant.params.serve
        serving = Serving(
            tenant=tenant.name,
            bundle=str(stage(tenant, champion)),
            seq=seq,
            sqlite=str(tenant.feast_dir / "online.db") if local else None,
            redis=tenant.settings.online_url,
            mark=str(tenant.online_mark),
            cold=serve.cold,
            queue=serve.queue,
            rate=serve.rate,
            fresh_hours=serve.fresh_hours,
            cache=serve.cache.entries,
            cache_seconds=serve.cache.seconds,
            served=str(folder_of(tenant)) if serve.record else None,
            keys=self._known_keys(),
        )
        return serving, mlflow_app(champion)

    async def _warm_up(self) -> None:
        """Ask store and model once, so that what is missing is told at the start."""
        tenant, serving = self._tenant, self.serving
        bundle = read(Path(serving.bundle))
        store = store_of(serving.sqlite, serving.redis, bundle.layout)
        try:
            await Scorer(bundle, store, Mark(Path(serving.mark))).warm_up()
        except StoreDown as error:
            if serving.redis is None:
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


def main(name: str, target: str, parent: int) -> None:
    """Run until asked to end, or until `parent` is gone; what can't be served is told, with exit code 1."""
    logs.configure()
    threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()
    control = Control.here()
    try:
        keeper = Keeper(Tenant.load(name), target, control)
    except LeadwiseError as error:
        control.fail(str(error))
        sys.exit(1)
    _run(keeper, control)


def _run(keeper: Keeper, control: Control) -> None:
    """Answer the workers, and watch what they are to serve; at the end record what was served."""
    import uvicorn

    ending = threading.Event()
    watching = [
        _repeated(keeper.look, LOOK_SECONDS, ending, "the ledger can't be read just now"),
        _repeated(keeper.look_for_keys, LOOK_SECONDS, ending, "the keys can't be read just now"),
        _repeated(keeper.collect, COLLECT_SECONDS, ending, "what was served can't be recorded just now"),
    ]
    control.socket.unlink(missing_ok=True)
    config = uvicorn.Config(
        keeper,
        uds=str(control.socket),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = uvicorn.Server(config)

    def end(*_: object) -> None:  # uvicorn raises the signal once more when it has drained: then this is all it does
        server.should_exit = True

    signal.signal(signal.SIGTERM, end)
    server.run()
    ending.set()
    for thread in watching:
        thread.join(DRAIN_SECONDS)
    _tried(keeper.collect, "what was served last is recorded when the endpoint starts again")


def _repeated(work: Callable[[], object], seconds: float, ending: threading.Event, failed: str) -> threading.Thread:
    """A thread that does this again and again."""

    def run() -> None:
        while not ending.wait(seconds):
            _tried(work, failed)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _tried(work: Callable[[], object], failed: str) -> None:
    """Do it; where that fails, log what failed."""
    try:
        work()
    except LeadwiseError as error:
        log.error("%s: %s", failed, error)
    except Exception:
        log.exception(failed)


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, whatever it is doing: nobody else would."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
