"""Challengers that are broken on purpose: each is refused, for the right reason."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.core.report import Report
from pipelines.core.tenant import Tenant
from pipelines.promotion import checks
from pipelines.promotion.promote import promote
from pipelines.registry.champion import Champion
from pipelines.registry.ledger import Ledger
from pipelines.registry.tracking import connect
from pipelines.train.split import Split
from tests.gates import easy, gated
from tests.pipelines.registry.conftest import Recorder, training_set

ROWS = 1500
UNTOLD = checks.untold
Judged = Callable[[Champion, Any], Any]


def statuses(tenant: Tenant, version: str) -> dict[str, str]:
    told = connect(tenant).get_model_version("demo.conversion", version).tags
    found = {name: value for name, value in told.items() if name.startswith("gate.check ")}
    return {name.removeprefix("gate.check "): json.loads(value)["status"] for name, value in found.items()}


def refused(tenant: Tenant, report: Report, version: str, *names: str) -> None:
    """The version failed these checks, at least, and nothing else happened."""
    assert f"version {version} of demo.conversion is refused" in report.notes[0]
    assert {name for name, status in statuses(tenant, version).items() if status == "failed"} >= set(names)
    assert version not in {entry.version for entry in Ledger(tenant).entries("conversion")}


def saying(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any], version: str = "1") -> None:
    """Let a version predict otherwise, the gate's way of asking included."""
    real: Judged = Champion.judged

    def judged(model: Champion, columns: Any) -> Any:
        found = real(model, columns)
        return change(found) if model.version == version else found

    monkeypatch.setattr(Champion, "judged", judged)


def test_a_constant_predictor(tenant: Tenant, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder(training_set(ROWS), only="linear")
    saying(monkeypatch, lambda p: np.full(len(p), 0.5))
    refused(tenant, promote(easy(tenant), tenant.whole_run), "1", "base rate", "reproduction")


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.2, 1.3])
def test_predictions_that_are_none(tenant: Tenant, recorder: Recorder, monkeypatch, value: float) -> None:
    recorder(training_set(ROWS), only="linear")
    saying(monkeypatch, lambda p: np.concatenate([[value], p[1:]]))
    refused(tenant, promote(easy(tenant), tenant.whole_run), "1", "base rate", "calibration")


def test_predictions_of_the_champion_that_are_none(tenant: Tenant, recorder: Recorder, monkeypatch) -> None:
    recorder(training_set(ROWS), only="linear")
    promote(easy(tenant), tenant.whole_run)
    recorder(training_set(ROWS, seed=1), digest="d2", only="linear")
    saying(monkeypatch, lambda p: p * np.nan)
    refused(tenant, promote(easy(tenant), tenant.whole_run), "2", "log loss", "AUC")


def test_a_window_that_the_champion_learnt_from_as_a_whole(tenant: Tenant, recorder: Recorder) -> None:
    """Nothing is left to judge on: what can't be computed has failed."""
    own = training_set(ROWS)
    late = replace(own, parts=Split(np.arange(ROWS - 50), np.arange(ROWS - 50, ROWS), 0))
    recorder(late, only="linear")
    promote(easy(tenant), tenant.whole_run)
    assert [entry.version for entry in Ledger(tenant).entries("conversion")] == ["1"]
    early = replace(own, parts=Split(np.arange(900), np.arange(900, 1200), 0))
    recorder(early, digest="d2", only="linear")
    report = promote(easy(tenant), tenant.whole_run)
    refused(tenant, report, "2", "holdout", "freshness", "log loss", "AUC", "calibration", "scoring time")
    assert len(Ledger(tenant).looks("conversion")) == 1  # there was nothing to look at


def test_a_declared_segment_that_the_rows_do_not_tell(tenant: Tenant, recorder: Recorder, monkeypatch) -> None:
    recorder(training_set(ROWS), only="linear")
    monkeypatch.setattr("pipelines.promotion.checks.untold", UNTOLD)
    report = promote(easy(tenant), tenant.whole_run)
    refused(tenant, report, "1", "segment state", "segment carrier")
    assert (
        "column 'state' is declared as a segment by a contract, and neither a feature nor a clean row tells it"
        in (report.notes[0])
    )


def test_one_that_is_slightly_worse(tenant: Tenant, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same model with its log odds two per cent too large."""
    recorder(training_set(ROWS), only="linear")
    promote(easy(tenant), tenant.whole_run)
    recorder(training_set(ROWS), digest="d2", only="linear")
    saying(monkeypatch, lambda p: 1 / (1 + ((1 - p) / p) ** 1.02), version="2")
    report = promote(gated(tenant, calibration=1.0, coverage=0.95), tenant.whole_run)
    refused(tenant, report, "2", "log loss", "reproduction")
    assert statuses(tenant, "2")["AUC"] == "passed"
