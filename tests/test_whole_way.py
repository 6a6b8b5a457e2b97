"""The whole way through Airflow's own runner, on both use cases, by the command line a person uses."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.chain import CHAIN, steps_of
from pipelines.cli.status import collect
from pipelines.cli.steps import call
from pipelines.core.settings import get_settings
from pipelines.core.tenant import Tenant
from pipelines.registry.tracking import connect
from tests.conftest import BANK_FILE, REAL_DATA, write_params
from tests.gates import EASY
from tests.servers import Started
from tests.tables import contents

pytestmark = pytest.mark.slow

QUICK = {"lightgbm": {"num_boost_round": 60}, "xgboost": {"num_boost_round": 60}}
DEMO = {
    "train": {**QUICK, "min_rows": 100},
    "promotion": {"gate": EASY},
    "tenants": {
        "demo": {
            "run": {"start": "2026-01-01", "end": "2026-02-10", "dates": ["2026-02-08"]},
            "simulate": {"leads": 2500, "days": 40},
        }
    },
}
BANK = {"train": QUICK}
CENTRES = {"binary": "train_base_rate", "regression": "train_mean"}
MEASURES = {"binary": {"auc", "logloss", "ece", "base_rate"}, "regression": {"spearman", "rmse", "mae", "mean"}}


@dataclass(frozen=True)
class Ran:
    """A tenant after `leadwise run`, what the command said, and the JSON it printed."""

    tenant: Tenant
    environment: dict[str, str]
    told: str
    outcome: dict[str, Any]


def leadwise(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from pipelines.cli.main import main; main()", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=540)


def went(name: str, home: Path, change: dict[str, Any], served: dict[str, str]) -> Ran:
    own = {
        **served,
        "LEADWISE_VAR": str(home / "var"),
        "LEADWISE_DATA": str(REAL_DATA),
        "LEADWISE_PARAMS": str(write_params(home / "params.yaml", change)),
    }
    environment = {**os.environ, **own}
    done = leadwise(environment, "run", "--tenant", name, "--json")
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in own.items():
            patch.setenv(variable, value)
        tenant = Tenant.load(name, get_settings())
    return Ran(tenant, environment, done.stderr, json.loads(done.stdout))


@pytest.fixture(scope="module", params=["demo", pytest.param("bank", marks=pytest.mark.local)])
def ran(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, services: Started | None
) -> Iterator[Ran]:
    name = str(request.param)
    if name == "bank" and not BANK_FILE.is_file():
        pytest.skip(f"the real file is not at {BANK_FILE}: set LEADWISE_DATA")
    served = services.fresh(redis=2) if services else {}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in served.items():
            patch.setenv(variable, value)
        yield went(name, tmp_path_factory.mktemp(name), DEMO if name == "demo" else BANK, served)


def test_every_dag_ran_for_every_date_and_reported(ran: Ran) -> None:
    steps = [step for dag in CHAIN for step in steps_of(ran.tenant, dag)]
    reported = [(report["interval"]["to"], report["step"]) for report in ran.outcome["reports"]]
    wanted = [(interval.to_dict()["to"], step) for interval in ran.tenant.runs() for step in steps]
    assert [item for item in reported if item[1] != "simulate"] == wanted


def test_the_terminal_shows_progress_and_no_noise_of_libraries(ran: Ran) -> None:
    lines = ran.told.strip().splitlines()
    for interval in ran.tenant.runs():
        for dag in CHAIN:
            assert any(line.startswith(f"{interval.label}  {dag}") for line in lines)
    extra = 1 + (ran.tenant.params.simulate is not None)  # Airflow's own line, and the market's
    assert len(lines) == len(ran.tenant.runs()) * len(CHAIN) + extra
    assert (ran.tenant.settings.airflow_dir / "logs" / f"{ran.tenant.name}_run.log").stat().st_size > 10_000


def test_status_has_the_promised_shape(ran: Ran) -> None:
    done = leadwise(ran.environment, "status", "--tenant", ran.tenant.name, "--json")
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    assert state == ran.outcome["status"] == json.loads(json.dumps(collect(ran.tenant)))
    assert list(state) == ["tenant", "use_case", "tables", "features", "models", "scores", "drift"]
    assert (state["tenant"], state["use_case"]) == (ran.tenant.name, ran.tenant.use_case)
    for table in state["tables"].values():
        assert set(table) == {"rows", "quarantined", "snapshot_id", "newest_event"}
        assert table["rows"] > 0
    for view in state["features"].values():
        assert set(view) == {"rows", "online_entities"}
        assert 0 < view["online_entities"] <= view["rows"]
    for target in ran.tenant.target():
        task = ran.tenant.params.train.targets[target].task
        if target not in state["models"]:
            assert target == "churn", "few opt out of so small a market: there may be none to learn from"
            continue
        model = state["models"][target]
        assert set(model) == {
            "name", "version", "alias", "task", "metrics", "train_rows", CENTRES[task], "holdout_rows",
            "data_snapshots", "production", "problem", "waiting", "shadow",
        }  # fmt: skip
        assert (model["problem"], model["waiting"], model["shadow"]) == (None, None, None)
        assert (model["production"] is None) == (model["alias"] == "challenger")
        assert model["task"] == task
        assert set(model["metrics"]) == MEASURES[task]
        if target == "conversion":
            assert model["alias"] == "champion"
            assert model["metrics"]["auc"] > 0.5
    assert set(state["scores"]) == {"rows", "as_of", "model_version", "tiers"}
    assert state["scores"]["rows"] == sum(state["scores"]["tiers"].values()) > 0
    assert set(state["scores"]["tiers"]) == {"A", "B", "C", "D"}
    assert state["scores"]["as_of"].startswith(ran.tenant.params.run.end.isoformat())
    assert set(state["drift"]) == {"share", "columns"}
    assert 0 <= state["drift"]["share"] <= 1


def test_no_feature_of_honest_data_seems_to_know_the_outcome(ran: Ran) -> None:
    client = connect(ran.tenant)
    for target in ran.tenant.target():
        for version in client.search_model_versions(f"name = '{ran.tenant.model_name(target)}'"):
            assert "leaks" not in version.tags, version.tags["leaks.told"]


def test_an_audience_lies_ready_for_every_date(ran: Ran) -> None:
    for interval in ran.tenant.runs():
        folder = ran.tenant.audience_dir / interval.label
        with (folder / "audience.csv").open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened))
        assert len(rows) > 0
        assert not {"phone", "_phone"} & set(rows[0])
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        assert {*manifest["files"], "manifest.json", "report.html"} == {path.name for path in folder.iterdir()}
        assert manifest["counts"]["audience"] == len(rows)


def test_the_results_are_where_the_summary_says(ran: Ran) -> None:
    places = ran.outcome["where"]
    for name in ("audience", "data docs", "drift report"):
        assert Path(places[name]).exists()
    assert Path(places["data docs"]).name == "index.html"
    assert Path(places["drift report"]).suffix == ".html"


@pytest.mark.parametrize("dag", CHAIN)
def test_a_step_run_twice_gives_the_same_tables(ran: Ran, dag: str) -> None:
    before = contents(ran.tenant)
    last = ran.tenant.runs()[-1]
    for step in CHAIN[dag]:
        call(step, ran.tenant, last)
    assert contents(ran.tenant) == before


@pytest.mark.parametrize("ran", [pytest.param("bank", marks=pytest.mark.local)], indirect=True)
def test_the_real_file_loses_no_row(ran: Ran) -> None:
    [table] = collect(ran.tenant)["tables"].values()
    assert table["rows"] + table["quarantined"] == 45_211


def test_a_missing_source_ends_the_run_with_its_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "LEADWISE_VAR": str(tmp_path / "var"), "LEADWISE_DATA": str(tmp_path)}
    done = leadwise(environment, "run", "--tenant", "bank")
    assert done.returncode == 1
    assert "bank-full.csv" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
