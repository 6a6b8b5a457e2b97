"""Who becomes champion, and why."""

import json
from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest

from pipelines.core.errors import Busy, NotReady
from pipelines.core.interval import Interval
from pipelines.core.params import TrainParams
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant
from pipelines.promotion import promote as module
from pipelines.promotion.promote import promote
from pipelines.registry.champion import load_champion
from pipelines.registry.history import rollback
from pipelines.registry.ledger import Ledger
from pipelines.registry.tracking import CHALLENGER, CHAMPION, connect
from pipelines.train.data import TrainingSet
from pipelines.train.record import recipe
from pipelines.train.split import Split
from tests.gates import easy, gated
from tests.pipelines.registry.conftest import FEATURES, Recorder, training_set

ROWS = 2500


def data(**changes: object) -> TrainingSet:
    return training_set(ROWS, **changes)  # type: ignore[arg-type]


def run(tenant: Tenant) -> Report:
    return promote(tenant, tenant.whole_run)


def tags(tenant: Tenant, version: str) -> dict[str, str]:
    return dict(connect(tenant).get_model_version("demo.conversion", version).tags)


def checks(tenant: Tenant, version: str) -> dict[str, str]:
    """The status of each check, as the version's tags have it."""
    found = {name: value for name, value in tags(tenant, version).items() if name.startswith("gate.check ")}
    return {name.removeprefix("gate.check "): json.loads(value)["status"] for name, value in found.items()}


def failed(tenant: Tenant, version: str) -> set[str]:
    return {name for name, status in checks(tenant, version).items() if status == "failed"}


def champion(tenant: Tenant) -> str:
    alias = str(connect(tenant).get_model_version_by_alias("demo.conversion", CHAMPION).version)
    assert load_champion(tenant, "conversion").version == alias
    return alias


def standing(tenant: Tenant, recorder: Recorder, own: TrainingSet | None = None) -> None:
    """A champion of the true kind that learnt from wrong labels: weaker, and promoted since little is asked of it."""
    recorder(own or data(noise=0.6), only="linear")
    run(easy(tenant))


def test_no_challenger_is_one_sentence(tenant: Tenant) -> None:
    with pytest.raises(NotReady, match="has no challenger for 'conversion' yet"):
        run(tenant)


def test_the_first_one_that_beats_guess_and_linear_model_is_champion(tenant: Tenant, recorder: Recorder) -> None:
    recorder(data())
    report = run(tenant)
    assert champion(tenant) == "1"
    assert failed(tenant, "1") == set()
    assert {"holdout", "freshness", "leaks", "succession", "reproduction", "base rate", "linear model",
            "calibration", "coverage", "scoring time"} <= checks(tenant, "1").keys()  # fmt: skip
    assert tags(tenant, "1")["promotion"] == "promoted"
    assert "there was no champion" in tags(tenant, "1")["promotion.reason"]
    assert [row["who"] for row in report.details] == ["challenger", "base rate only"]
    version = connect(tenant).get_model_version("demo.conversion", "1")
    assert version.description.startswith("Promoted: there was no champion")
    assert "[Verdict](#/experiments/" in version.description
    [entry] = Ledger(tenant).entries("conversion")
    assert (entry.version, entry.previous, entry.action) == ("1", None, "promote")
    assert entry.digest == load_champion(tenant, "conversion").digest
    assert entry.evidence["checks"] == checks(tenant, "1")


def test_the_verdict_is_a_page_with_every_number(tenant: Tenant, recorder: Recorder) -> None:
    recorder(data())
    report = run(tenant)
    page = (tenant.home / report.links["verdict of conversion"]).read_text(encoding="utf-8")
    [kept] = tenant.settings.mlflow_dir.rglob("verdict.html")
    assert kept.read_text(encoding="utf-8") == page
    [told] = tenant.settings.mlflow_dir.rglob("verdict.json")
    verdict = json.loads(told.read_text(encoding="utf-8"))
    assert verdict["passed"] is True
    for check in verdict["checks"]:
        assert f'data-check="{check["name"]}" data-status="{check["status"]}"' in page
        for name, value in check["figures"].items():
            assert f"<td>{name}</td>" in page
            assert value is None or str(value) in page or json.dumps(value) in page
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_one_worse_than_the_linear_model_is_refused_as_the_first(tenant: Tenant, recorder: Recorder) -> None:
    """The linear model is the true one here: ten trees are worse than it."""
    version = recorder(data(), only="lightgbm")
    assert version.tags["kind"] == "lightgbm"
    assert "its run does not say what the linear model predicts" in run(tenant).notes[0]
    assert failed(tenant, "1") >= {"linear model"}


def test_one_that_rests_on_a_leak_is_refused_until_somebody_accepts_it_by_name(
    tenant: Tenant, recorder: Recorder
) -> None:
    own = data()
    told = pa.array(np.where(np.arange(ROWS) % 20 == 0, 1 - own.labels, own.labels))  # one in twenty is wrong
    leaky = replace(own, rows=own.rows.append_column("told", told), features=(*FEATURES, ("told", "numeric")))
    version = recorder(leaky, only="linear")
    assert json.loads(version.tags["leaks"]) == ["told"]
    report = run(tenant)
    assert "refused: it rests on a feature that may know the outcome: 'told'" in report.notes[0]
    assert "accept_leaks: [told]" in report.notes[0]
    assert tags(tenant, "1")["promotion"] == "refused"
    assert failed(tenant, "1") == {"leaks"}

    def accepting(train: TrainParams) -> Report:
        return run(replace(tenant, params=tenant.params.model_copy(update={"train": train})))

    params = tenant.params.train
    assert "refused" in accepting(params.model_copy(update={"accept_leaks": ("amount",)})).notes[0]
    target = params.targets["conversion"].model_copy(update={"accept_leaks": ("told",)})
    accepted = params.model_copy(update={"targets": {"conversion": target}})
    other = replace(tenant, params=tenant.params.model_copy(update={"train": accepted}))
    assert recipe(tenant, "conversion") == recipe(other, "conversion")
    assert "promoted" in accepting(accepted).notes[0]
    version = connect(tenant).get_model_version("demo.conversion", "1")
    assert version.description.startswith("Promoted: ")
    assert version.tags["card"] in version.description


def test_running_again_changes_nothing(tenant: Tenant, recorder: Recorder) -> None:
    recorder(data())
    run(tenant)
    before = tags(tenant, "1"), Ledger(tenant).entries("conversion"), Ledger(tenant).looks("conversion")
    report = run(tenant)
    assert "is the champion already: nothing changed" in report.notes[0]
    assert (tags(tenant, "1"), Ledger(tenant).entries("conversion"), Ledger(tenant).looks("conversion")) == before


def test_one_that_does_not_beat_the_base_rate_is_refused(tenant: Tenant, recorder: Recorder) -> None:
    recorder(data(contrary=True), only="linear")
    report = run(tenant)
    assert "is refused" in report.notes[0]
    assert "base rate" in failed(tenant, "1")
    assert report.counts["conversion: champion"] == "none"
    with pytest.raises(NotReady):
        load_champion(tenant, "conversion")
    assert Ledger(tenant).entries("conversion") == []
    assert connect(tenant).get_model_version_by_alias("demo.conversion", CHALLENGER).version == 1


def test_a_better_one_is_promoted_and_a_worse_one_refused(tenant: Tenant, recorder: Recorder) -> None:
    standing(tenant, recorder)
    recorder(data(), digest="d2", only="linear")
    report = run(tenant)
    assert champion(tenant) == "2"
    rows = {row["who"]: row for row in report.details}
    assert rows["challenger"]["logloss"] < rows["champion"]["logloss"] < rows["base rate only"]["logloss"]
    recorder(data(noise=0.6), digest="d3", only="linear")
    run(tenant)
    assert champion(tenant) == "2"
    assert "log loss" in failed(tenant, "3")
    assert tags(tenant, "3")["promotion"] == "refused"
    assert [entry.version for entry in Ledger(tenant).entries("conversion")] == ["1", "2"]


def test_an_equal_one_is_refused_unless_not_worse_is_enough(tenant: Tenant, recorder: Recorder) -> None:
    recorder(data())
    run(tenant)
    recorder(data(), digest="d2")
    run(tenant)
    assert champion(tenant) == "1"
    assert failed(tenant, "2") == {"log loss"}
    gate = tenant.params.promotion.gate
    lenient = gated(tenant, loss=gate.loss.model_copy(update={"tolerance": 0.0005, "gain": None}))
    assert "promoted" in run(lenient).notes[0]
    assert champion(tenant) == "2"


def test_one_that_is_bad_in_one_segment_is_refused(tenant: Tenant, recorder: Recorder, monkeypatch) -> None:
    """Better on the whole, and the opposite of the truth in a third of the south."""
    standing(tenant, recorder)
    own = data()
    labels = own.labels.copy()
    turned = (own.rows["city"].to_numpy(zero_copy_only=False) == "south") & (np.arange(ROWS) >= ROWS * 0.8)
    chosen = turned & (np.abs(np.nan_to_num(own.rows["amount"].to_numpy(zero_copy_only=False))) > 1.2)
    labels[chosen] = 1 - labels[chosen]
    rows = own.rows.set_column(1, "label", pa.array(labels.astype("int64")))
    recorder(replace(own, rows=rows), digest="d2", only="linear")

    monkeypatch.setattr(module, "declared", lambda tenant, target: {"city": None})
    run(tenant)
    assert "segment city" in failed(tenant, "2")


def test_a_window_that_overlaps_what_was_learnt_is_refused(tenant: Tenant, recorder: Recorder) -> None:
    own = data()
    recorder(replace(own, parts=Split(np.arange(2200), np.arange(2000, ROWS), 0)), only="linear")
    assert "are no later than what it learnt from" in run(tenant).notes[0]
    assert "holdout" in failed(tenant, "1")


def test_rows_that_the_champion_learnt_from_do_not_count(tenant: Tenant, recorder: Recorder) -> None:
    """A champion that learnt from all but the last 100 rows leaves these to be judged on."""
    own = data()
    standing(tenant, recorder, replace(own, parts=Split(np.arange(2400), np.arange(2400, ROWS), 0)))
    recorder(data(), digest="d2", only="linear")
    run(tenant)
    told = json.loads(tags(tenant, "2")["gate.check holdout"])
    assert (told["rows"], told["left out"]) == (100, 400)
    assert [one.candidates for one in Ledger(tenant).looks("conversion")] == [1, 1]


def test_too_few_and_too_old_rows_are_refused(tenant: Tenant, recorder: Recorder) -> None:
    recorder(data(), only="linear")
    run(gated(tenant, rows=501, fresh_days=5))
    assert {"holdout", "freshness"} <= failed(tenant, "1")


def test_a_model_that_is_slow_is_refused(tenant: Tenant, recorder: Recorder) -> None:
    recorder(data(), only="linear")
    run(gated(tenant, row_ms=1e-6))
    assert failed(tenant, "1") == {"scoring time"}


def test_one_that_predicts_otherwise_when_loaded_back_is_refused(tenant: Tenant, recorder: Recorder) -> None:
    recorder(data(), only="linear")
    [file] = tenant.settings.mlflow_dir.rglob("linear.json")
    learnt = json.loads(file.read_text())
    learnt["intercept"] = learnt["intercept"] + 0.01
    file.write_text(json.dumps(learnt))
    run(tenant)
    assert "reproduction" in failed(tenant, "1")


def test_looks_at_a_window_are_counted_and_share_the_level(tenant: Tenant, recorder: Recorder) -> None:
    recorder(data(noise=0.1), only="linear")
    run(tenant)
    for number, noise in enumerate((0.12, 0.11, 0.1), 2):
        recorder(data(noise=noise), digest=f"d{number}", only="linear")
        run(tenant)
    looks = [int(tags(tenant, str(version))["gate.looks"]) for version in (1, 2, 3, 4)]
    assert looks == [2, 6, 12, 20]
    run(tenant)
    assert tags(tenant, "4")["gate.looks"] == "20"  # the same pair again is no new look


def test_a_version_that_was_taken_back_is_not_promoted_again_by_itself(tenant: Tenant, recorder: Recorder) -> None:
    standing(tenant, recorder)
    recorder(data(), digest="d2", only="linear")
    run(tenant)
    rollback(tenant, "conversion", "opt-outs doubled")
    report = run(tenant)
    assert "it was taken back on" in report.notes[0]
    assert "opt-outs doubled" in report.notes[0]
    assert champion(tenant) == "1"


def test_somebody_elses_decision_meanwhile_wins(tenant: Tenant, recorder: Recorder, monkeypatch) -> None:
    standing(tenant, recorder)
    recorder(data(), digest="d2", only="linear")
    run(tenant)
    recorder(data(), digest="d3", only="linear")
    judged = module.judge

    def slow(*given, **named):
        found = judged(*given, **named)
        rollback(tenant, "conversion", "in between")
        return found

    monkeypatch.setattr(module, "judge", slow)
    with pytest.raises(Busy, match="somebody else decided"):
        run(easy(tenant))
    assert champion(tenant) == "1"
    assert [entry.version for entry in Ledger(tenant).entries("conversion")] == ["1", "2", "1"]


def test_a_backfill_replaces_no_later_champion(tenant: Tenant, recorder: Recorder) -> None:
    standing(tenant, recorder)
    recorder(data(as_of="2026-01-15T00:00:00"), digest="d2", only="linear")
    assert "it was trained as of 2026-01-15, the champion as of 2026-02-01" in run(tenant).notes[0]
    assert champion(tenant) == "1"


def test_days_trained_before_any_was_judged_are_judged_each_by_itself(tenant: Tenant, recorder: Recorder) -> None:
    """The outcome is that of days trained and judged one after the other."""
    recorder(data(as_of="2026-01-31T00:00:00", noise=0.6), only="linear")
    recorder(data(), digest="d2", only="linear")
    first = promote(easy(tenant), Interval.day(date(2026, 1, 30)))
    assert first.counts["conversion: champion"] == "1"
    assert promote(tenant, Interval.day(date(2026, 1, 31))).counts["conversion: champion"] == "2"
    assert [tags(tenant, version)["promotion"] for version in ("1", "2")] == ["promoted", "promoted"]


def test_an_old_day_is_scored_by_the_champion_of_then(tenant: Tenant, recorder: Recorder) -> None:
    standing(tenant, recorder, data(as_of="2026-01-15T00:00:00", noise=0.6))
    recorder(data(), digest="d2", only="linear")
    run(tenant)

    def by(year: int, month: int, day: int) -> str:
        return load_champion(tenant, "conversion", datetime(year, month, day)).version

    assert [by(2026, 2, 1), by(2026, 3, 1)] == ["2", "2"]
    assert [by(2026, 1, 15), by(2026, 1, 31)] == ["1", "1"]
    assert by(2026, 1, 14) == "2"  # nothing was trained by then: better one that knows too much than none


def test_a_lost_holdout_is_one_sentence(tenant: Tenant, recorder: Recorder) -> None:
    recorder()
    for path in tenant.settings.mlflow_dir.rglob("holdout.parquet"):
        path.unlink()
    with pytest.raises(NotReady, match="lost its holdout"):
        run(tenant)


def test_a_champion_that_this_version_cannot_read_does_not_stand_in_the_way(tenant: Tenant, recorder: Recorder) -> None:
    recorder(data(), only="linear")
    [head] = tenant.settings.mlflow_dir.rglob("estimator.json")
    whole = head.read_text()
    head.write_text('{"kind": "mean"}')  # a kind of estimator that an earlier version knew
    with pytest.raises(Exception, match="mean"):
        run(tenant)
    head.write_text(whole)
    run(tenant)
    head.write_text('{"kind": "mean"}')
    recorder(data(seed=1), digest="d2", only="linear")
    run(tenant)
    assert "champion" in failed(tenant, "2")  # its files are not those that were promoted: a person looks first
