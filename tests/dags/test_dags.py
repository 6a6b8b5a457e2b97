"""The DAGs as Airflow sees them, read in a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.core.params import load_params
from pipelines.core.settings import ROOT
from tests.conftest import write_params

STEPS = {
    "ingest": ["collect", "validate"],
    "features": ["features"],
    "train": ["train", "promote"],
    "score": ["score"],
    "monitor": ["monitor", "expire"],
}
TENANTS = load_params(ROOT / "params.yaml")
BANK = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["tenants"]["bank"]
HEAVY = ["pandas", "sklearn", "mlflow", "feast", "great_expectations", "evidently", "xgboost", "lightgbm", "duckdb"]

LOOK = f"""
import json, sys, time
import airflow.sdk, airflow.dag_processing.dagbag as bags
before = set(sys.modules)
began = time.process_time()
bag = bags.DagBag({str(ROOT / "dags")!r})
seconds = time.process_time() - began
heavy = sorted(set({HEAVY!r}) & (set(sys.modules) - before))
def dag(d):
    return {{
        "tasks": [t.task_id for t in d.topological_sort()],
        "start": str(d.start_date), "catchup": d.catchup, "active": d.max_active_runs, "tags": sorted(d.tags),
        "doc": d.doc_md, "description": d.description, "params": {{k: p.schema for k, p in d.params.items()}},
        "retries": [t.retries for t in d.tasks], "backoff": [float(t.retry_exponential_backoff) for t in d.tasks],
        "outlets": [[a.name, a.uri] for t in d.tasks for a in t.outlets],
        "waits": [a.name for a in getattr(getattr(d.timetable, "asset_condition", None), "objects", [])],
        "timetable": type(d.timetable).__name__,
    }}
print("RESULT" + json.dumps({{"seconds": seconds, "heavy": heavy, "errors": bag.import_errors,
    "dags": {{k: dag(d) for k, d in bag.dags.items()}}}}))
"""


STRETCHES = """
import json
from datetime import date
from types import SimpleNamespace
from airflow.sdk import DAG
from dags import factory
from dags.days import hand_on
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant
days = [Interval.of_days(date(2026, 3, day), date(2026, 3, day + 1)) for day in (3, 2, 4)]
event = SimpleNamespace(extra=hand_on(days))
run = SimpleNamespace(dag_id="demo_monitor", run_id="by hand")
factory.get_current_context = lambda: {"params": {}, "triggering_asset_events": {"scores": [event]}, "dag_run": run}
seen = {}
def work(tenant, interval):
    seen[last].append(interval.start.day)
    return Report("work", tenant.name, interval)
for last in (False, True):
    seen[last] = []
    with DAG("demo_monitor"):
        factory.step(Tenant.load("demo"), last=last)(work)().operator.python_callable()
print("RESULT" + json.dumps({"every": seen[False], "last": seen[True]}))
"""


def look(folder: Path, script: str = LOOK, **settings: str) -> dict[str, Any]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LEADWISE_", "AIRFLOW"))},
        **settings,
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    return json.loads(line.removeprefix("RESULT"))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return look(tmp_path_factory.mktemp("airflow"))


def dags(bag: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(tenant, step, bag["dags"][f"{tenant}_{step}"]) for tenant in TENANTS for step in STEPS]


def test_a_task_works_on_every_stretch_or_on_the_one_that_ends_last(tmp_path: Path) -> None:
    assert look(tmp_path, STRETCHES) == {"every": [2, 3, 4], "last": [4]}


def test_every_tenant_has_its_five_dags_and_nothing_else_is_found(bag: dict[str, Any]) -> None:
    assert bag["errors"] == {}
    assert set(bag["dags"]) == {f"{tenant}_{step}" for tenant in TENANTS for step in STEPS}


def test_parsing_is_quick_and_imports_nothing_heavy(bag: dict[str, Any]) -> None:
    assert bag["heavy"] == []
    assert bag["seconds"] < 1.0


def test_tasks_are_few_and_in_order(bag: dict[str, Any]) -> None:
    for tenant, step, dag in dags(bag):
        simulated = step == "ingest" and TENANTS[tenant].simulate is not None
        assert dag["tasks"] == (["market"] if simulated else []) + STEPS[step]


def test_the_start_stands_still_and_only_one_run_is_active(bag: dict[str, Any]) -> None:
    for tenant, _, dag in dags(bag):
        assert dag["start"] == f"{TENANTS[tenant].run.start} 00:00:00+00:00"
        assert dag["catchup"] is False
        assert dag["active"] == 1


def test_tasks_are_retried_with_growing_pauses(bag: dict[str, Any]) -> None:
    for _, _, dag in dags(bag):
        assert all(count >= 2 for count in dag["retries"])
        assert all(factor > 1 for factor in dag["backoff"])


def test_each_dag_says_what_it_does(bag: dict[str, Any]) -> None:
    for tenant, step, dag in dags(bag):
        assert len(dag["doc"]) > 200
        assert dag["description"] in dag["doc"]
        assert {tenant, step, TENANTS[tenant].use_case} <= set(dag["tags"])


def test_days_can_be_given_in_the_ui(bag: dict[str, Any]) -> None:
    for _, _, dag in dags(bag):
        assert {name: schema["format"] for name, schema in dag["params"].items()} == {"from": "date", "to": "date"}


def test_assets_link_the_dags_of_a_tenant_into_one_chain(bag: dict[str, Any]) -> None:
    for tenant in TENANTS:
        timetable = "MarketDays" if TENANTS[tenant].simulate else "NullTimetable"
        assert bag["dags"][f"{tenant}_ingest"]["timetable"] == timetable
        written: list[str] = []
        for step in STEPS:
            dag = bag["dags"][f"{tenant}_{step}"]
            assert dag["waits"] == written[-1:]
            written += [name for name, _ in dag["outlets"]]
        assert len(set(written)) == len(written) == len(STEPS) - 1
        assert all(name.startswith(f"{tenant}.") for name in written)


def test_a_wrong_parameter_is_told_in_the_import_error(tmp_path: Path) -> None:
    params = write_params(tmp_path / "params.yaml", {"quality": {"max_quarantin_share": 0.1}})
    found = look(tmp_path, LEADWISE_PARAMS=str(params))
    assert found["dags"] == {}
    assert len(found["errors"]) == len(STEPS)
    assert all("did you mean 'max_quarantine_share'?" in trace for trace in found["errors"].values())


def test_a_tenant_with_a_file_a_day_is_ingested_every_midnight(tmp_path: Path) -> None:
    path = "/exports/{date}.csv"
    calls = {"use_case": "bank_marketing", "sources": {"calls": {"path": path}}}
    params = write_params(tmp_path / "params.yaml", {"tenants": {"daily": {**BANK, **calls}}})
    found = look(tmp_path, LEADWISE_PARAMS=str(params))
    assert found["errors"] == {}
    assert found["dags"]["daily_ingest"]["timetable"] == "CronDataIntervalTimetable"
