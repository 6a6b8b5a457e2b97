"""The process beside the workers: it follows the ledger, makes bundles of champions, and runs MLflow's scoring app."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
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

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

    from pipelines.registry.champion import Champion

log = logging.getLogger("leadwise.serving")

LOOK_SECONDS = 1.0
"""How often the ledger is looked at."""

_MLFLOW_PATHS = ("/ping", "/version", "/invocations")


def mlflow_app(champion: Champion) -> FastAPI:
    """MLflow's own scoring app, without its open documentation pages."""
    from mlflow.pyfunc import scoring_server

    app: FastAPI = scoring_server.init(champion.model)
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") in _MLFLOW_PATHS]
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
        entry = self._ledger.current(target)
        self._seq = entry.seq if entry else 0
        self._take(load_champion(tenant, target))
        asyncio.run(self._warm_up())
        control.say(self.serving)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """MLflow's app for the champion that is served."""
        await self._app(scope, receive, send)

    def look(self) -> bool:
        """Serve another champion where one was put to work since; whether one was. Keys are looked at too.

        Where it can't be loaded, that is logged, and the one before goes on.
        """
        from pipelines.registry.champion import load_entry

        if (keys := self._keys.hashes()) != self.serving.keys:
            self.serving = replace(self.serving, keys=keys)
            self._control.say(self.serving)
        entry = self._ledger.current(self._target)
        if entry is None or entry.seq == self._seq:
            return False
        before, self._seq = self._seq, entry.seq
        try:
            self._take(load_entry(self._tenant, entry))
            self._control.say(self.serving)
        except (LeadwiseError, OSError) as error:
            log.error("decision %s is not served, and that of before (%s) goes on: %s", entry.seq, before, error)
            return False
        log.warning(
            "version %s of %s is served now: %s", entry.version, self._tenant.model_name(entry.target), entry.why
        )
        return True

    def _take(self, champion: Champion) -> None:
        tenant = self._tenant
        local = tenant.settings.online_url is None
        self.serving = Serving(
            bundle=str(stage(tenant, champion)),
            seq=self._seq,
            sqlite=str(tenant.feast_dir / "online.db") if local else None,
            redis=tenant.settings.online_url,
            mark=str(tenant.online_mark),
            cold=tenant.params.serve.cold,
            queue=tenant.params.serve.queue,
            keys=self._keys.hashes(),
        )
        self._app = mlflow_app(champion)

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


def main(name: str, target: str) -> None:
    """Run until asked to end; what can't be served is one sentence and exit code 1."""
    import uvicorn

    control = Control.here()
    try:
        keeper = Keeper(Tenant.load(name), target, control)
    except LeadwiseError as error:
        control.fail(str(error))
        sys.exit(1)
    ending, parent = threading.Event(), os.getppid()

    def follow() -> None:
        while not ending.wait(LOOK_SECONDS):
            if os.getppid() != parent:  # killed, and nobody is left to end this
                os.kill(os.getpid(), signal.SIGTERM)
            try:
                keeper.look()
            except Exception:
                log.exception("the ledger can't be read just now")

    threading.Thread(target=follow, name="ledger", daemon=True).start()
    control.socket.unlink(missing_ok=True)
    uvicorn.run(
        keeper, uds=str(control.socket), log_level="warning", access_log=False, server_header=False, lifespan="off"
    )
    ending.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
