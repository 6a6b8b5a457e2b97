"""Run the DAGs of a tenant with Airflow's own runner (`dag.test`), in an Airflow home of their own.

No scheduler, no server, no network: one process, a SQLite file under `var/airflow`, its logs beside it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from importlib import metadata
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import LeadwiseError, NotReady
from pipelines.core.settings import ROOT

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from pipelines.core.interval import Interval
    from pipelines.core.settings import Settings
    from pipelines.core.tenant import Tenant


def environment(settings: Settings) -> dict[str, str]:
    """What Airflow has to find in the environment before it is imported."""
    home = settings.airflow_dir
    options = {
        "CORE__DAGS_FOLDER": ROOT / "dags",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__UNIT_TEST_MODE": False,
        "CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "DATABASE__LOAD_DEFAULT_CONNECTIONS": False,
        "LOGGING__BASE_LOG_FOLDER": home / "logs",
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    return {"AIRFLOW_HOME": str(home), **{f"AIRFLOW__{name}": str(value) for name, value in options.items()}}


class AirflowRunner:
    """The DAGs of a tenant, ready to run. Imports Airflow and brings its database up to date."""

    def __init__(self, tenant: Tenant, log: Path) -> None:
        settings = tenant.settings
        self.tenant = tenant
        self.log = log
        settings.airflow_dir.mkdir(parents=True, exist_ok=True)
        os.environ.update(environment(settings))
        migrate(settings.airflow_dir)
        self._error: BaseException | None = None
        self._dags = self._load()

    def run(self, dag: str, interval: Interval) -> list[dict[str, Any]]:
        """Run one DAG for the days of `interval` and return the reports of its tasks.

        Raises:
            LeadwiseError: the sentence with which a task failed.
            KeyboardInterrupt: somebody pressed Ctrl-C.
        """
        made = self._dags[self.tenant.dag_id(dag)]
        self._error = None
        with _interruptible() as interrupted:
            # A second before the end: no scheduled run or backfill has that logical date; a second run has the same.
            moment = interval.end.replace(tzinfo=UTC) - timedelta(seconds=1)
            outcome = made.test(logical_date=moment, run_conf=interval.to_dict())
            if interrupted:
                raise KeyboardInterrupt
        if outcome.state != "success":
            self._raise(dag)
        instances = {instance.task_id: instance for instance in outcome.get_task_instances()}
        return [instances[task.task_id].xcom_pull(task_ids=task.task_id) for task in made.topological_sort()]

    def _load(self) -> dict[str, Any]:
        """The DAGs of the repository, set to fail at once: somebody is waiting at a terminal."""
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(str(ROOT / "dags"))
        for path, trace in bag.import_errors.items():
            raise LeadwiseError(f"the DAG file {path} can't be read: {trace.strip().splitlines()[-1]}")
        for dag in bag.dags.values():
            for task in dag.tasks:
                task.retries = 0
                task.on_failure_callback = [self._remember]
        return dict(bag.dags)

    def _remember(self, context: Any) -> None:
        self._error = context.get("exception")

    def _raise(self, dag: str) -> None:
        """End with what the failed task said."""
        from airflow.sdk.exceptions import AirflowFailException

        error = self._error
        if isinstance(error, AirflowFailException):
            raise LeadwiseError(str(error))
        if error is not None:
            raise error
        raise NotReady(f"the DAG {self.tenant.dag_id(dag)} did not succeed: its log is {self.log}")


def migrate(home: Path) -> None:
    """Create Airflow's database, or bring it up to date; one process at a time.

    The version it was made ready for stands beside it, written last: without it, what is there was cut short and holds
    no history worth keeping.
    """
    from filelock import FileLock

    stamp, version = home / "airflow.version", metadata.version("apache-airflow")
    with FileLock(home / "migrate.lock"):
        ready = stamp.read_text(encoding="utf-8") if stamp.is_file() else None
        if ready == version:
            return
        if ready is None:
            (home / "airflow.db").unlink(missing_ok=True)
        from airflow.utils import db

        if ready is None:
            db.initdb()
        else:
            db.upgradedb()
        stamp.write_text(version, encoding="utf-8")


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Notice Ctrl-C: Airflow takes it for the failure of a task. Yields a list that is empty until then."""
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGINT, before)
