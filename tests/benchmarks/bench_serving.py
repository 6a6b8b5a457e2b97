"""The endpoint beside `mlflow models serve`: the same champion, the same rows, both servers up, asked by turns."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from tests.benchmarks.bench_whole_way import LEADWISE
from tests.benchmarks.measure import Row, run_python
from tests.benchmarks.measure import run as command
from tests.benchmarks.pressure import Asked, overload, steady
from tests.conftest import write_params
from tests.gates import EASY
from tests.pipelines.features.servers import RedisServer

_ROUNDS, _SECONDS = 3, 4.0
_HEAVY = 20
"""Rows of a request of the overload: four times as many requests of one row a worker can't even refuse."""

_ROWS = """
import json
from datetime import datetime
import pyarrow.parquet as pq
from pipelines.core.tenant import Tenant
from pipelines.features.online import read_online
tenant = Tenant.load("demo")
leads = pq.read_table(tenant.audience_dir / "2026-03-31" / "audience.parquet")["lead_id"].to_pylist()[:100]
rows = read_online(tenant, "conversion", [{"lead_id": one, "event_time": datetime(2026, 3, 31, 12)} for one in leads])
rows.pop("lead_id")
print(json.dumps({"leads": leads, "columns": rows}))
"""


def run() -> list[Row]:
    """Medians of three interleaved rounds of four seconds, begun when all workers are ready; then what ours bears."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        params = write_params(home / "params.yaml", {"promotion": {"gate": EASY}})
        env = {"LEADWISE_VAR": str(home / "var"), "LEADWISE_PARAMS": str(params)}
        for words in (["simulate"], ["run", "--no-airflow"]):
            command([LEADWISE, *words], env)
        asked = json.loads(run_python(_ROWS, env).output.splitlines()[-1])
        own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # MLflow looks there for uvicorn
        mlflow = {**env, **own, "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'var/mlflow/mlflow.db'}"}
        ours, theirs = _free(), _free()
        serve = [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "--env-manager", "local"]
        model, rows = "models:/demo.conversion@champion", []
        for workers in (1, 2):
            mine = [LEADWISE, "serve", "--port", str(ours), "--workers", str(workers)]
            other = [*serve, "-m", model, "-p", str(theirs), "-w", str(workers)]
            with (
                _server(other, mlflow, theirs, "/ping") as (slow, _),
                _server(mine, env, ours, "/health") as (took, one),
            ):
                if workers == 1:
                    rows += _alone(ours, theirs, asked)
                    rows.append(Row.of("start to ready", took, slow, "s", "whole command; the champion staged"))
                    rows.append(
                        Row.of("a worker's memory", _worker(one), None, "MB", "its own (USS); reach: under 150")
                    )
                else:
                    rows += _together(ours, theirs, asked)
        mine, other = [LEADWISE, "serve", "--port", str(ours)], [*serve, "-m", model, "-p", str(theirs), "-w", "1"]
        with _server(mine, env, ours, "/health"):
            rows += steady(Asked(ours, _ours(asked, 1), 1)) + overload(Asked(ours, _ours(asked, _HEAVY), _HEAVY))
        with (
            _redis(home, env) as filled,
            _server(other, mlflow, theirs, "/ping"),
            _server(mine, filled, ours, "/health"),
        ):
            return [*rows, _by_id(ours, theirs, asked)]


def _alone(ours: int, theirs: int, asked: dict[str, Any]) -> list[Row]:
    """One connection, one worker."""
    one, many, by_id = _ours(asked, 1), _ours(asked, 100), json.dumps({"leads": [{"lead_id": asked["leads"][0]}]})
    found = _rounds(
        {
            "ours": (ours, "/v1/score", 1, one),
            "theirs": (theirs, "/invocations", 1, _theirs(asked, 1)),
            "ours 100": (ours, "/v1/score", 1, many),
            "theirs 100": (theirs, "/invocations", 1, _theirs(asked, 100)),
            "by id": (ours, "/v1/score", 1, by_id),
            "passed on": (ours, "/invocations", 1, _theirs(asked, 1)),
        }
    )
    p50 = {name: 1000 * median(one["p50"] for one in each) for name, each in found.items()}
    rate = {name: 100 * median(one["rate"] for one in each) for name, each in found.items()}
    return [
        Row.of("one row, features given, p50", p50["ours"], p50["theirs"], "ms", "1 connection; reach: 6"),
        Row.rate("100 rows a request", rate["ours 100"], rate["theirs 100"], "rows/s", "1 connection; reach: 3"),
        Row.of(
            "one lead by its id, SQLite, p50", p50["by id"], p50["theirs"], "ms", "theirs looks nothing up; reach: 1"
        ),
        Row.of("MLflow's own path through ours, p50", p50["passed on"], p50["theirs"], "ms", "beside"),
    ]


def _together(ours: int, theirs: int, asked: dict[str, Any]) -> list[Row]:
    """Eight connections, two workers."""
    found = _rounds(
        {
            "ours": (ours, "/v1/score", 8, _ours(asked, 1)),
            "theirs": (theirs, "/invocations", 8, _theirs(asked, 1)),
        }
    )
    rate = {name: median(one["rate"] for one in each) for name, each in found.items()}
    return [
        Row.rate("one row, features given", rate["ours"], rate["theirs"], "req/s", "8 connections, 2 workers; reach: 8")
    ]


def _rounds(asked: dict[str, tuple[int, str, int, str]]) -> dict[str, list[dict[str, float]]]:
    """Figures of each, round by round, from a client that is a process of its own."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in asked}
    for _ in range(_ROUNDS):
        for name, (port, path, connections, body) in asked.items():
            words = [sys.executable, "-m", "tests.benchmarks.load", str(port), path, str(connections), str(_SECONDS)]
            done = subprocess.run(words, input=body.encode(), capture_output=True, check=True)
            found[name].append(json.loads(done.stdout))
            if found[name][-1]["errors"]:
                raise RuntimeError(f"{name}: {found[name][-1]}")
    return found


def _ours(asked: dict[str, Any], count: int) -> str:
    columns = asked["columns"]
    return json.dumps({"leads": [{"features": {name: columns[name][n] for name in columns}} for n in range(count)]})


def _theirs(asked: dict[str, Any], count: int) -> str:
    columns = asked["columns"]
    data = [[columns[name][n] for name in columns] for n in range(count)]
    return json.dumps({"dataframe_split": {"columns": list(columns), "data": data}})


def _by_id(ours: int, theirs: int, asked: dict[str, Any]) -> Row:
    """One connection, one worker, a Redis."""
    by_id = json.dumps({"leads": [{"lead_id": asked["leads"][0]}]})
    found = _rounds({"ours": (ours, "/v1/score", 1, by_id), "theirs": (theirs, "/invocations", 1, _theirs(asked, 1))})
    p50 = {name: 1000 * median(one["p50"] for one in each) for name, each in found.items()}
    note = "theirs looks nothing up; reach: 1"
    return Row.of("one lead by its id, Redis, p50", p50["ours"], p50["theirs"], "ms", note)


@contextmanager
def _redis(home: Path, env: dict[str, str]) -> Iterator[dict[str, str]]:
    """A Redis with the market's features, and the environment that leads to it."""
    folder = home / "redis"
    folder.mkdir()
    server = RedisServer(folder, kept=True)
    try:
        filled = {**env, "LEADWISE_ONLINE_URL": server.url()}
        command([LEADWISE, "features", "--date", "2026-03-31"], filled)  # it finds the store empty, and fills it
        yield filled
    finally:
        server.kill()


@contextmanager
def _server(words: list[str], env: dict[str, str], port: int, path: str) -> Iterator[tuple[float, psutil.Process]]:
    """A server that answers, and the seconds it took to get there."""
    began = time.perf_counter()
    process = subprocess.Popen(words, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}") from None
                time.sleep(0.05)
        took = time.perf_counter() - began
        time.sleep(2)
        yield took, psutil.Process(process.pid)
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(30)
        _, left = psutil.wait_procs(family, timeout=10)
        for one in left:
            one.kill()


def _worker(server: psutil.Process) -> float:
    """Megabytes of its largest worker's own memory."""
    found = [one for one in server.children() if "spawn_main" in " ".join(one.cmdline())]
    return max(float(one.memory_full_info().uss) for one in found) / 1e6


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
