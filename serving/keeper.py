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
from serving.bundle import read, stage
from serving.control import Control, Serving
from serving.keys import Keys
from serving.online import Mark, StoreDown, store_of
from serving.scoring import Scorer
from serving.worker import PATHS

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

    from pipelines.registry.champion import Champion
    from serving.keys import Hashes

log = logging.getLogger("leadwise.serving")

LOOK_SECONDS = 1.0
"""How often the ledger is looked at."""

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
        """Serve another champion where one was put to work since; whether one was. Keys are looked at too.

        Where it can't be loaded, that is logged, the one before goes on, and some seconds later it is tried again.
        """
        from pipelines.registry.champion import load_entry

        if (keys := self._known_keys()) != self.serving.keys:
            self.serving = replace(self.serving, keys=keys)
            self._control.say(self.serving)
        entry = self._ledger.current(self._target)
        if entry is None or entry.seq == self._seq or time.monotonic() - self._failed_at < AGAIN_SECONDS:
            return False
        try:
            taken, app = self._taken(load_entry(self._tenant, entry), entry.seq)
            self._control.say(taken)
        except Exception as error:
            self._failed_at = time.monotonic()
            log.error("decision %s is not served, and that of before (%s) goes on: %s", entry.seq, self._seq, error)
            return False
        self.serving, self._app, self._seq = taken, app, entry.seq
        name = self._tenant.model_name(entry.target)
        log.warning("version %s of %s is served now: %s", entry.version, name, entry.why)
        return True

    def _known_keys(self) -> Hashes | None:
        """The keys in force. Where there were some once, a table that is gone opens nothing."""
        keys = self._keys.hashes()
        self._closed = self._closed or keys is not None
        return {} if keys is None and self._closed else keys

    def _taken(self, champion: Champion, seq: int) -> tuple[Serving, FastAPI]:
        """What workers are told of a champion, and MLflow's app for it."""
        tenant = self._tenant
        local = tenant.settings.online_url is None
        serving = Serving(
            bundle=str(stage(tenant, champion)),
            seq=seq,
            sqlite=str(tenant.feast_dir / "online.db") if local else None,
            redis=tenant.settings.online_url,
            mark=str(tenant.online_mark),
            cold=tenant.params.serve.cold,
            queue=tenant.params.serve.queue,
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
    import uvicorn

    threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()
    control = Control.here()
    try:
        keeper = Keeper(Tenant.load(name), target, control)
    except LeadwiseError as error:
        control.fail(str(error))
        sys.exit(1)
    ending = threading.Event()

    def follow() -> None:
        while not ending.wait(LOOK_SECONDS):
            try:
                keeper.look()
            except Exception:
                log.exception("the ledger can't be read just now")

    threading.Thread(target=follow, name="ledger", daemon=True).start()
    control.socket.unlink(missing_ok=True)
    config = uvicorn.Config(
        keeper,
        uds=str(control.socket),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    uvicorn.Server(config).run()
    ending.set()


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, whatever it is doing: nobody else would."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
