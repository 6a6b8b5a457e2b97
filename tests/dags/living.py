"""A real `leadwise up` on a folder of its own, and what tests ask of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pipelines.cli.live.api import AirflowApi
from pipelines.cli.live.services import password

LEADWISE = (sys.executable, "-c", "from pipelines.cli.main import main; main()")
STEPS = ("ingest", "features", "train", "score", "monitor")


def until(done: Callable[[], Any], seconds: float, what: str, pause: float = 0.5) -> Any:
    """Wait for something true and return it."""
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(pause)
    return found


@dataclass
class Living:
    """`leadwise up` as a process, and a user who is logged in."""

    environment: dict[str, str]
    told: Path
    process: subprocess.Popen[str] = field(init=False)
    seconds: float = field(init=False)
    addresses: dict[str, str] = field(init=False)
    api: AirflowApi = field(init=False)

    @property
    def var(self) -> Path:
        return Path(self.environment["LEADWISE_VAR"])

    def start(self, *options: str) -> None:
        began = time.monotonic()
        with self.told.open("a") as target:
            self.process = subprocess.Popen(
                [*LEADWISE, "up", "--json", *options],
                env=self.environment, stdout=subprocess.PIPE, stderr=target, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.told.read_text()
        self.addresses = json.loads(line)
        self.seconds = time.monotonic() - began
        self.api = AirflowApi(self.addresses["airflow"], "admin", password(self.var / "airflow"))

    def stop(self) -> int:
        """Press Ctrl-C; returns the exit code."""
        self.api.close()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)

    def leadwise(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command beside it."""
        return subprocess.run(
            [*LEADWISE, *words], env=self.environment, capture_output=True, text=True, check=False, timeout=240
        )

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """Airflow's REST API."""
        answer = self.api._request(method, f"/api/v2{path}", **options)
        assert answer.status_code < 400, answer.text
        return answer.json() if answer.content else None

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", f"/dags/{dag_id}/dagRuns", params={"order_by": "id"})["dag_runs"]
        return found

    def trigger(self, dag_id: str, **body: Any) -> str:
        made = self.ask("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, **body})
        return str(made["dag_run_id"])

    def run_ends(self, dag_id: str, run_id: str, seconds: float = 240) -> str:
        """Wait for the end of one run; returns its state."""

        def state() -> str | None:
            found = self.ask("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
            return found if found in ("success", "failed") else None

        return str(until(state, seconds, f"{dag_id} {run_id}"))

    def calms_down(self, tenant: str, seconds: float = 600) -> None:
        """Wait until no DAG of the tenant runs or waits, for long enough that none is about to."""
        calm_since: list[float] = []

        def calm() -> bool:
            busy = any(run["state"] in ("queued", "running") for step in STEPS for run in self.runs(f"{tenant}_{step}"))
            if busy:
                calm_since.clear()
            elif not calm_since:
                calm_since.append(time.monotonic())
            return bool(calm_since) and time.monotonic() - calm_since[0] > 6

        until(calm, seconds, f"{tenant} calms down")

    def log(self, dag_id: str, run_id: str, task_id: str) -> list[str]:
        """Lines of a task's first try, as the UI shows them."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/1"
        return [entry["event"] for entry in self.ask("GET", path)["content"]]

    def sessions(self) -> set[int]:
        """The sessions of the operating system that its processes began."""
        return set(map(int, json.loads((self.var / "airflow" / "sessions.json").read_text())))


def members(sessions: set[int]) -> list[psutil.Process]:
    """Processes of those sessions, whoever their parent is."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
