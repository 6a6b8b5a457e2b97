"""`leadwise experiments` and `leadwise compare`, as a person and as a program use them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.core.tenant import Tenant
from tests.conftest import MakeTenant
from tests.pipelines.registry.conftest import Recorder, empty_mlflow, recorder, tenant, training_set  # noqa: F401


def told(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def two(recorder: Recorder, tenant: Tenant) -> Tenant:  # noqa: F811
    recorder(training_set(), only="lightgbm")
    recorder(training_set(), digest="d2", only="linear")
    return tenant


def test_runs_are_listed_newest_first(two: Tenant) -> None:
    found = json.loads(told("experiments", "--json"))
    assert [(run["version"], run["alias"]) for run in found] == [("v2", "challenger"), ("v1", None)]
    shown = told("experiments")
    assert all(run["run"] in shown for run in found)


def test_nothing_trained_is_told(make_tenant: MakeTenant) -> None:
    make_tenant()
    assert "Nothing was trained for 'demo' yet: leadwise train --tenant demo" in told("experiments")
    assert json.loads(told("experiments", "--json")) == []


def test_a_comparison_for_a_person_and_for_a_program(two: Tenant, tmp_path: Path) -> None:
    picture = tmp_path / "difference.png"
    shown = told("compare", "v1", "v2", "--draws", "200", "--plot", str(picture))
    assert "is better by" in shown
    assert str(picture) in shown
    assert picture.stat().st_size > 5000
    found = json.loads(told("compare", "v1", "v2", "--draws", "200", "--json"))
    assert found["verdict"] in shown
    assert [one["measure"] for one in found["measures"]] == ["logloss", "auc", "brier", "ece"]
    assert (found["A"]["version"], found["B"]["version"]) == ("v1", "v2")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("v1", "v1"), "both are the run"),
        (("v1", "v7"), "tenant 'demo' has no run 'v7'"),
        (("v1", "v2", "--plot", "d.pdf"), "the picture d.pdf must be a PNG: name it d.png"),
        (("v1", "v2", "--plot", "none/d.png"), "the picture none/d.png can't be written"),
    ],
)
def test_what_is_wrong_is_one_sentence(two: Tenant, words: tuple[str, ...], sentence: str) -> None:
    done = CliRunner().invoke(app, ["compare", *words])
    assert done.exit_code == 1
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
