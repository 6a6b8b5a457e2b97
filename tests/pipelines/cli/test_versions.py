"""`leadwise history`, `rollback`, `approve` and `reject`, as a person and a program use them."""

import json

import pytest
from typer.testing import CliRunner, Result

from pipelines.cli.main import app
from pipelines.core.errors import LeadwiseError
from pipelines.core.tenant import Tenant
from pipelines.promotion.promote import promote
from pipelines.registry.ledger import Ledger
from tests.gates import easy
from tests.pipelines.promotion.conftest import empty_mlflow, recorder, tenant  # noqa: F401 - fixtures
from tests.pipelines.registry.conftest import Recorder, training_set


def leadwise(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.fixture
def two(tenant: Tenant, recorder: Recorder) -> Tenant:  # noqa: F811
    for number in range(2):
        recorder(training_set(600, seed=number), digest=f"d{number}", only="linear")
        promote(easy(tenant), tenant.whole_run)
    return tenant


def test_before_any_model_it_says_so(tenant: Tenant) -> None:  # noqa: F811
    done = leadwise("history")
    assert done.exit_code == 0
    assert "No model of 'demo' was in production yet" in done.stdout
    assert json.loads(leadwise("history", "--json").stdout) == []


def test_history_and_rollback(two: Tenant) -> None:
    known = json.loads(leadwise("history", "--json").stdout)
    assert [(row["version"], row["previous"], row["action"]) for row in known] == [
        ("1", None, "promote"), ("2", "1", "promote"),
    ]  # fmt: skip
    done = leadwise("rollback", "--target", "conversion", "--reason", "opt-outs doubled", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["counts"] == {"conversion: champion": "1"}
    before = known[0]["at"]
    assert [row["seq"] for row in json.loads(leadwise("history", "--at", before, "--json").stdout)] == [1]
    shown = leadwise("history").stdout
    assert "rollback" in shown
    assert "opt-outs" in shown


def test_words_that_are_missing_or_wrong_change_nothing(two: Tenant) -> None:
    for words, said in (
        (("rollback", "--reason", "why"), "has 3 targets: name one with --target: conversion, churn, quality"),
        (("rollback", "--target", "conversions", "--reason", "why"), "did you mean 'conversion'"),
        (("rollback", "--target", "conversion", "--reason", " "), "needs a reason"),
        (("rollback", "--target", "conversion", "--to", "9", "--reason", "why"), "has no version 9"),
        (("approve", "--target", "conversion", "--reason", "seen"), "waits for a person"),
        (("reject", "--target", "churn", "--reason", "seen"), "waits for a person"),
        (("history", "--at", "yesterday"), "yesterday"),
    ):
        done = leadwise(*words)
        assert done.exit_code != 0, words
        told = str(done.exception) if isinstance(done.exception, LeadwiseError) else done.output
        assert said in told, words
    assert leadwise("rollback", "--target", "conversion").exit_code == 2  # no reason
    assert len(Ledger(two).entries("conversion")) == 2
