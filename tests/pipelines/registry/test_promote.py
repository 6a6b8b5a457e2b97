"""Who becomes champion, and why."""

import json
from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest

from pipelines.core.errors import NotReady
from pipelines.core.interval import Interval
from pipelines.core.params import TrainParams
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant
from pipelines.registry.champion import load_champion
from pipelines.registry.promote import promote
from pipelines.registry.tracking import CHALLENGER, connect
from pipelines.train.record import recipe
from tests.pipelines.registry.conftest import FEATURES, Recorder, training_set


def run(tenant: Tenant) -> Report:
    return promote(tenant, tenant.whole_run)


def tags(tenant: Tenant, version: str) -> dict[str, str]:
    return dict(connect(tenant).get_model_version("demo.conversion", version).tags)


def test_no_challenger_is_one_sentence(tenant: Tenant) -> None:
    with pytest.raises(NotReady, match="has no challenger for 'conversion' yet"):
        run(tenant)


def test_the_first_one_that_beats_the_base_rate_is_champion(tenant: Tenant, recorder: Recorder) -> None:
    recorder()
    report = run(tenant)
    assert load_champion(tenant, "conversion").version == "1"
    assert tags(tenant, "1")["promotion"] == "promoted"
    assert "there was no champion" in tags(tenant, "1")["promotion.reason"]
    assert [row["who"] for row in report.details] == ["challenger", "base rate only"]
    version = connect(tenant).get_model_version("demo.conversion", "1")
    assert version.description.startswith("Promoted: there was no champion")


def test_one_that_rests_on_a_leak_is_refused_until_somebody_accepts_it_by_name(
    tenant: Tenant, recorder: Recorder
) -> None:
    data = training_set()
    told = pa.array(np.where(np.arange(500) % 20 == 0, 1 - data.labels, data.labels))  # one in twenty is wrong
    leaky = replace(data, rows=data.rows.append_column("told", told), features=(*FEATURES, ("told", "numeric")))
    version = recorder(leaky)
    assert json.loads(version.tags["leaks"]) == ["told"]
    assert json.loads(connect(tenant).get_run(version.run_id).data.tags["leaks"]) == ["told"]
    report = run(tenant)
    assert "refused: it rests on a feature that may know the outcome: 'told'" in report.notes[0]
    assert "with AUC 0.9" in report.notes[0]
    assert "accept_leaks: [told]" in report.notes[0]
    assert tags(tenant, "1")["promotion"] == "refused"
    assert [row["who"] for row in report.details] == ["challenger", "base rate only"]

    def accepting(train: TrainParams) -> Report:
        return run(replace(tenant, params=tenant.params.model_copy(update={"train": train})))

    params = tenant.params.train
    assert "refused" in accepting(params.model_copy(update={"accept_leaks": ("amount",)})).notes[0]
    target = params.targets["conversion"].model_copy(update={"accept_leaks": ("told",)})
    assert recipe(tenant, "conversion") == recipe(
        replace(
            tenant,
            params=tenant.params.model_copy(
                update={"train": params.model_copy(update={"targets": {"conversion": target}})}
            ),
        ),
        "conversion",
    )
    assert "promoted" in accepting(params.model_copy(update={"targets": {"conversion": target}})).notes[0]
    version = connect(tenant).get_model_version("demo.conversion", "1")
    assert version.description.startswith("Promoted: ")
    assert version.description.endswith(version.tags["card"])


def test_running_again_changes_nothing(tenant: Tenant, recorder: Recorder) -> None:
    recorder()
    run(tenant)
    before = tags(tenant, "1")
    report = run(tenant)
    assert "is the champion already: nothing changed" in report.notes[0]
    assert tags(tenant, "1") == before


def test_one_that_does_not_beat_the_base_rate_is_refused(tenant: Tenant, recorder: Recorder) -> None:
    recorder(training_set(contrary=True), only="xgboost")
    report = run(tenant)
    assert "refused: it does not beat the base rate" in report.notes[0]
    assert report.counts["conversion: champion"] == "none"
    assert tags(tenant, "1")["promotion"] == "refused"
    with pytest.raises(NotReady):
        load_champion(tenant, "conversion")
    assert connect(tenant).get_model_version_by_alias("demo.conversion", CHALLENGER).version == 1


def test_a_worse_challenger_is_refused_and_a_better_one_promoted(tenant: Tenant, recorder: Recorder) -> None:
    """The linear model is the true one here: ten trees are worse than it, on the same holdout."""
    recorder(only="lightgbm")
    run(tenant)
    recorder(digest="d2", only="linear")
    report = run(tenant)
    assert load_champion(tenant, "conversion").version == "2"
    rows = {row["who"]: row for row in report.details}
    assert rows["challenger"]["kind"] == "linear"
    assert rows["challenger"]["logloss"] < rows["champion"]["logloss"] < rows["base rate only"]["logloss"]
    recorder(digest="d3", only="lightgbm")
    report = run(tenant)
    assert load_champion(tenant, "conversion").version == "2"
    assert "it is worse than the champion by more than 0.0005" in report.notes[0]
    assert tags(tenant, "3")["promotion"] == "refused"
    assert tags(tenant, "1")["promotion"] == "promoted"


def test_an_equal_challenger_is_promoted(tenant: Tenant, recorder: Recorder) -> None:
    recorder()
    run(tenant)
    recorder(digest="d2")
    assert "not worse than the champion" in run(tenant).notes[0]
    assert load_champion(tenant, "conversion").version == "2"


def test_a_backfill_replaces_no_later_champion(tenant: Tenant, recorder: Recorder) -> None:
    recorder(only="lightgbm")
    run(tenant)
    recorder(training_set(as_of="2026-01-15T00:00:00"), digest="d2", only="linear")
    assert "it was trained as of 2026-01-15, the champion as of 2026-02-01" in run(tenant).notes[0]
    assert load_champion(tenant, "conversion").version == "1"


def test_days_trained_before_any_was_judged_are_judged_each_by_itself(tenant: Tenant, recorder: Recorder) -> None:
    """The outcome is that of days trained and judged one after the other."""
    recorder(training_set(as_of="2026-01-31T00:00:00"), only="lightgbm")
    recorder(digest="d2")
    first = promote(tenant, Interval.day(date(2026, 1, 30)))
    assert first.counts["conversion: champion"] == "1"
    assert promote(tenant, Interval.day(date(2026, 1, 31))).counts["conversion: champion"] == "2"
    assert [tags(tenant, version)["promotion"] for version in ("1", "2")] == ["promoted", "promoted"]


def test_an_old_day_is_scored_by_the_champion_of_then(tenant: Tenant, recorder: Recorder) -> None:
    recorder(training_set(as_of="2026-01-15T00:00:00"), only="lightgbm")
    run(tenant)
    recorder(digest="d2")
    run(tenant)
    recorder(training_set(as_of="2026-01-20T00:00:00", contrary=True), digest="d3", only="xgboost")
    assert "refused" in run(tenant).notes[0]

    def by(year: int, month: int, day: int) -> str:
        return load_champion(tenant, "conversion", datetime(year, month, day)).version

    assert [by(2026, 2, 1), by(2026, 3, 1)] == ["2", "2"]
    assert [by(2026, 1, 15), by(2026, 1, 31)] == ["1", "1"]
    assert by(2026, 1, 14) == "2"  # nothing was trained by then: better one that knows too much than none


def test_the_linear_model_is_the_candidate_where_it_wins(tenant: Tenant, recorder: Recorder) -> None:
    version = recorder()
    assert dict(version.tags)["kind"] == "linear"


def test_a_lost_holdout_is_one_sentence(tenant: Tenant, recorder: Recorder) -> None:
    recorder()
    for path in tenant.settings.mlflow_dir.rglob("holdout.parquet"):
        path.unlink()
    with pytest.raises(NotReady, match="lost its holdout"):
        run(tenant)


def test_a_champion_that_this_version_cannot_read_does_not_stand_in_the_way(tenant: Tenant, recorder: Recorder) -> None:
    recorder()
    run(tenant)
    [head] = tenant.settings.mlflow_dir.rglob("estimator.json")
    head.write_text('{"kind": "mean"}')  # a kind of estimator that an earlier version knew
    recorder(training_set(seed=1), digest="d2")
    report = run(tenant)
    assert "can't be read" in report.notes[0]
    assert "'mean'" in report.notes[0]
    assert load_champion(tenant, "conversion").version == "2"
