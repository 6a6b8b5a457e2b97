"""From a score of an audience file back to all that it rests on."""

import json

import numpy as np
import pyarrow.csv
import pytest
from typer.testing import CliRunner

from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from pipelines.cli.main import app
from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.tenant import Tenant
from pipelines.deliver.candidates import candidates
from pipelines.deliver.explain import Explained, explain
from pipelines.features.join import point_in_time
from pipelines.lake.catalog import Lake
from pipelines.registry.ledger import Ledger
from pipelines.registry.tracking import connect


@pytest.fixture(scope="module")
def told(demo: Tenant) -> tuple[dict[str, object], Explained]:
    """A row of the audience file, and what is told of it."""
    rows = pyarrow.csv.read_csv(demo.audience_dir / demo.whole_run.label / "audience.csv")
    row = rows.slice(3, 1).to_pylist()[0]
    return row, explain(demo, str(row["score_id"]))


def test_the_score_is_that_of_the_file_and_comes_out_again(told: tuple[dict[str, object], Explained]) -> None:
    row, found = told
    assert found.score["score_id"] == row["score_id"]
    assert found.score["entity_id"] == row["lead_id"]
    first, *beside = found.models
    assert (first.target, first.said) == ("conversion", found.score["probability"])
    assert first.model["version"] == str(row["model_version"])
    assert [one.target for one in beside] == [name for name in ("churn", "quality") if row.get(name) is not None]
    assert all(one.same for one in found.models)
    assert found.notes == []


def test_the_features_are_those_of_then(demo: Tenant, told: tuple[dict[str, object], Explained]) -> None:
    """Against the join of all candidates of the date."""
    row, found = told
    contracts = load_contracts(demo.contracts_dir)
    definitions, lake = load_definitions(demo, contracts), Lake(demo)
    spine = candidates(demo, lake, definitions, contracts, demo.whole_run.as_of)
    joined = point_in_time(demo, lake, definitions, spine).read_all()
    [mine] = [one for one in joined.to_pylist() if one["lead_id"] == row["lead_id"]]
    assert found.features == {name: value for name, value in mine.items() if name not in spine.schema.names}
    for reason in found.models[0].reasons:
        assert reason.value == mine[reason.feature]
        assert reason.means


def test_the_reasons_add_up_to_the_score_before_calibration(demo: Tenant, told) -> None:
    found = told[1]
    for one in found.models:
        moved = [reason.moved for reason in one.reasons]
        assert np.abs(moved).tolist() == sorted(np.abs(moved).tolist(), reverse=True)
        assert np.isfinite([one.start, one.rest, *moved]).all()


def test_the_way_leads_to_run_data_sql_commit_and_decision(demo: Tenant, told) -> None:
    first = told[1].models[0]
    version = connect(demo).get_model_version(first.model["name"], first.model["version"])
    assert first.run["run_id"] == version.run_id
    assert first.run["git_commit"] == version.tags["git_commit"]
    assert first.data == json.loads(version.tags["data_snapshots"])
    assert first.sql == json.loads(version.tags["sql_hashes"])
    [entry] = Ledger(demo).entries("conversion")
    assert first.decision == entry.to_dict()
    assert first.model["digest"] == entry.digest


def test_the_command_tells_a_person_and_a_program(demo: Tenant, told, monkeypatch: pytest.MonkeyPatch) -> None:
    row, found = told
    monkeypatch.setattr("pipelines.core.tenant.Tenant.load", lambda name: demo)
    shown = CliRunner().invoke(app, ["explain", str(row["score_id"]), "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout) == found.to_dict()
    assert json.loads(shown.stdout)["models"][0]["same"] is True


def test_unknown_ids_and_tenants_without_scores_are_one_sentence(demo: Tenant, make_tenant) -> None:
    with pytest.raises(ConfigError, match="has no score 'nope': ids are the column score_id of audience"):
        explain(demo, "nope")
    with pytest.raises(NotReady, match="has no scores yet: run `leadwise score --tenant demo` first"):
        explain(make_tenant("demo"), "nope")
