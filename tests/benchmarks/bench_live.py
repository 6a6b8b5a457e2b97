"""A living Airflow: how soon it answers, what it takes while idle, how long a simulated day takes from end to end."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil

from pipelines.cli.airflow_run import environment
from pipelines.cli.live.ports import free
from pipelines.core.settings import get_settings
from tests.benchmarks.measure import Row
from tests.dags.living import Living, until

DAYS = 4
_CHAIN = ("demo_ingest", "demo_features", "demo_train", "demo_score")


def run() -> list[Row]:
    """Figures of `leadwise up` on the market of `params.yaml`, and of `airflow standalone` on the same DAGs."""
    with tempfile.TemporaryDirectory() as folder:
        var = Path(folder)
        living = Living({**os.environ, "LEADWISE_VAR": str(var / "var")}, var / "told.txt")
        began = time.monotonic()
        living.start("--day-seconds", "60")
        try:
            days = _days(living)
            history = time.monotonic() - began
            idle = _idle(living, psutil.Process(living.process.pid))
        finally:
            living.stop()
        seconds, standalone = _standalone(var / "standalone")
    median = statistics.median(days)
    shown = ", ".join(f"{day:.0f}" for day in days)
    return [
        Row.of(
            "from nothing to answering", living.seconds, seconds, "s", "airflow standalone, without MLflow; reach: 60"
        ),
        Row.of("memory while idle", idle, standalone, "MB", "shared pages counted once; reach: under 2,000"),
        Row.of("a day, ingest to scores", median, None, "s", f"median of {shown}, unattended; reach: under 90"),
        Row.of("history and these days", history, None, "s", "90 days at once, then day by day"),
    ]


def _days(living: Living) -> list[float]:
    """Seconds from the start of a day's ingest to the end of the scores that came of it, for scheduled days."""
    known: dict[tuple[str, str], set[str]] = {}

    def sources(dag: str, run: str) -> set[str]:
        """Ids of the runs whose updates started a run: by the clock alone a run may begin before its cause is over."""
        if (dag, run) not in known:
            events = living.ask("GET", f"/dags/{dag}/dagRuns/{quote(run)}/upstreamAssetEvents")["asset_events"]
            known[dag, run] = {event["source_run_id"] for event in events}
        return known[dag, run]

    def scored() -> list[float]:
        ends = {dag: [run for run in living.runs(dag) if run["state"] == "success"] for dag in _CHAIN}
        begun = {run["dag_run_id"]: run for run in ends["demo_ingest"] if run["run_type"] == "scheduled"}
        carried = {run: {run} for run in begun}  # the days that came down to a run
        done: dict[str, float] = {}
        for dag in _CHAIN[1:]:
            here = {run["dag_run_id"]: sources(dag, run["dag_run_id"]) for run in ends[dag]}
            carried = {run: set().union(*(carried.get(one, set()) for one in told)) for run, told in here.items()}
        for run in sorted(ends[_CHAIN[-1]], key=lambda run: _moment(run["end_date"])):
            for day in carried[run["dag_run_id"]]:
                done.setdefault(day, (_moment(run["end_date"]) - _moment(begun[day]["start_date"])).total_seconds())
        taken = [done[day] for day in sorted(done, key=lambda day: _moment(begun[day]["start_date"]))]
        return taken if len(taken) > DAYS else []

    # The first day stands in line behind the history.
    found: list[float] = until(scored, 1800, "days from ingest to scores", pause=3)
    return found[1 : 1 + DAYS]


def _idle(living: Living, head: psutil.Process) -> float:
    """Megabytes of all processes once nothing runs and no day is due."""
    living.ask("PATCH", "/dags/demo_ingest", json={"is_paused": True})
    living.calms_down("demo")
    return _proportional(head)


def _standalone(home: Path) -> tuple[float, float]:
    """Seconds until `airflow standalone` is healthy, and the megabytes that it takes then."""
    home.mkdir()
    settings = get_settings().model_copy(update={"var": home})
    port = free(8080)
    ports = {
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{port}/execution/",
    }
    here = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}  # it starts `airflow` by name
    env = {**os.environ, **environment(settings), **ports, **here}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow", "standalone"],
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip

    def healthy() -> bool:
        try:
            told: dict[str, Any] = httpx.get(f"http://localhost:{port}/api/v2/monitor/health", trust_env=False).json()
        except (httpx.HTTPError, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return all((told.get(part) or {}).get("status") == "healthy" for part in parts)

    try:
        until(healthy, 300, "airflow standalone")
        seconds = time.monotonic() - began
        time.sleep(30)
        return seconds, _proportional(psutil.Process(process.pid))
    finally:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in family:
            one.terminate()
        for one in psutil.wait_procs(family, timeout=20)[1]:
            one.kill()


def _proportional(head: psutil.Process) -> float:
    return sum(one.memory_full_info().pss for one in (head, *head.children(recursive=True))) / 1e6


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
