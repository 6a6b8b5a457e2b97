"""`leadwise tune`, as a person and as a program use it."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.core.params import load_params
from pipelines.core.tenant import Tenant
from tests.conftest import MakeTenant
from tests.pipelines.registry.conftest import empty_mlflow  # noqa: F401 - a fixture
from tests.pipelines.train.search.conftest import PARAMS, Freeze, empty_studies, freeze  # noqa: F401

WORDS = ("tune", "--model", "linear", "--trials", "4")
NAIVE = {"C": 0.0002}  # shrunk to next to nothing


@pytest.fixture
def tenant(make_tenant: MakeTenant, var: Path, empty_mlflow: Path) -> Tenant:  # noqa: F811
    (var / "mlflow").mkdir(parents=True)
    shutil.copy(empty_mlflow, var / "mlflow" / "mlflow.db")
    return make_tenant(params={**PARAMS, "train": {**PARAMS["train"], "linear": NAIVE}})


def told(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_for_a_person_and_for_a_program(tenant: Tenant, freeze: Freeze) -> None:  # noqa: F811
    freeze()
    shown = told(*WORDS)
    found = json.loads(told(*WORDS, "--json"))
    [model] = found["models"]
    assert model["trials"] == 4
    assert model["better"] is True
    assert model["loss"]["low"] < model["loss"]["difference"] < 0
    assert found["yaml"] in shown
    assert f"C {NAIVE['C']} → {model['best']['C']:g}" in shown
    assert NAIVE["C"] == load_params(tenant.settings.params)["demo"].train.linear.C  # nobody asked to write


def test_what_is_better_is_written_and_then_is_the_present(tenant: Tenant, freeze: Freeze) -> None:  # noqa: F811
    freeze()
    shown = told(*WORDS, "--write")
    assert f"linear: written to {tenant.settings.params}, tenants.demo.train" in shown
    [model] = json.loads(told(*WORDS, "--json"))["models"]
    assert model["present"] == model["best"] == {"C": load_params(tenant.settings.params)["demo"].train.linear.C}
    assert model["better"] is False


def test_what_is_within_chance_is_written_by_force_alone(
    make_tenant: MakeTenant,
    tenant: Tenant,
    freeze: Freeze,  # noqa: F811
) -> None:
    freeze()
    close = {"low": 0.9, "high": 1.1}
    space = {"tune": {**PARAMS["tune"], "space": {"linear": {"C": close}}}}
    make_tenant(params={**PARAMS, **space, "train": {**PARAMS["train"], "linear": {"C": 1.0}}})
    before = tenant.settings.params.read_bytes()
    shown = told(*WORDS, "--write")
    assert "linear: not written, within chance; --force writes it all the same" in shown
    assert tenant.settings.params.read_bytes() == before
    told(*WORDS, "--force")
    [model] = json.loads(told(*WORDS, "--json"))["models"]
    assert load_params(tenant.settings.params)["demo"].train.linear.C == model["present"]["C"] != 1.0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--model", "forest"), "there is no model 'forest' to tune: choose one of lightgbm, linear, network, xgboost"),
        (("--target", "conversoin"), "tenant 'demo' has no target 'conversoin'"),
        ((), "tenant 'demo' has no data in"),
    ],
)
def test_what_is_wrong_is_one_sentence(tenant: Tenant, words: tuple[str, ...], sentence: str) -> None:
    done = CliRunner().invoke(app, ["tune", *words])
    assert done.exit_code == 1
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
