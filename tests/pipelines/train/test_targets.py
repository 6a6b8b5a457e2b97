"""Several targets of one tenant: joined once, each with its task, its judge and its own registered model."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from models.ranked import Ranked, unranked
from pipelines import dataset
from pipelines.core.errors import ConfigError, NotReady, SqlError
from pipelines.core.tenant import Tenant
from pipelines.core.train_params import TargetParams
from pipelines.features import join
from pipelines.lake.catalog import Lake
from pipelines.promotion.promote import promote
from pipelines.registry.champion import load_alias, load_champion
from pipelines.registry.status import model_status
from pipelines.registry.tracking import CHALLENGER, HOLDOUT, connect, run_table
from pipelines.train import experiment, freeze
from pipelines.train.compare import compare
from pipelines.train.data import distinct, training_set, training_sets
from pipelines.train.reproduce import reproduce
from pipelines.train.step import train
from tests.conftest import MakeTenant
from tests.gates import easy, gated
from tests.pipelines.train.test_train import CONTRACT, INTERVAL, LABEL, SMALL, VIEW, visits, write

SPENDING = """
select guest_id, visited_at as event_time, {label} as label, visited_at + to_days($horizon_days::int) as known_at
from visits
where visited_at <= $as_of
"""
TARGETS: dict[str, dict[str, Any]] = {
    "conversion": {"horizon_days": 2},
    "spending": {"horizon_days": 1, "task": "regression", "rank": True},
    "visits": {"horizon_days": 1, "task": "regression"},
}
TIMES = [datetime(2026, 1, 1) + timedelta(hours=hour) for hour in range(4)]
Maker = Callable[..., Tenant]
events_drawn = st.tuples(st.sampled_from("cab"), st.sampled_from(TIMES))


@pytest.fixture
def make(make_tenant: MakeTenant) -> Maker:
    """A tenant with guests who come back, and what they spend; `spending` and `targets` change its parts."""

    def made(spending: str = "spent", targets: dict[str, dict[str, Any]] | None = None, least: int = 100) -> Tenant:
        wanted = TARGETS if targets is None else targets
        sql = {
            "features_guest.sql": VIEW,
            "labels/conversion.sql": LABEL,
            "mapping.sql": "-- table: visits\nselect * from leads\n",
            "labels/spending.sql": SPENDING.format(label=spending),
            "labels/visits.sql": SPENDING.format(label="length(coalesce(room, ''))::double"),
        }
        sql = {name: text for name, text in sql.items() if not name.startswith("labels/") or name[7:-4] in wanted}
        own = {"targets": wanted, "min_rows": least, "lightgbm": {**SMALL, "min_child_samples": 5}, "xgboost": SMALL}
        own["accept_leaks"] = ["mean_spent"]  # what a guest spent is nearly all there is to know here
        return make_tenant(params={"train": own}, contracts={"visits.yaml": CONTRACT}, sql=sql)

    return made


def test_features_of_an_event_are_joined_once_for_all_targets(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each target's rows are those it gets alone."""
    tenant = make()
    write(tenant, visits(400))
    contracts = load_contracts(tenant.contracts_dir)
    given = tenant, Lake(tenant), contracts, load_definitions(tenant, contracts)
    alone = [training_set(*given, target, INTERVAL) for target in TARGETS]
    joined: list[int] = []
    real = join.point_in_time

    def counted(tenant: Tenant, lake: Lake, definitions: Any, spine: pa.Table) -> pa.RecordBatchReader:
        joined.append(spine.num_rows)
        return real(tenant, lake, definitions, spine)

    monkeypatch.setattr(join, "point_in_time", counted)
    together = list(training_sets(*given, list(TARGETS), INTERVAL))
    assert joined == [381]  # every event of all but the last day
    for one, other in zip(together, alone, strict=True):
        assert not isinstance(one, NotReady)
        assert one.rows == other.rows
        assert one.keys == other.keys
        assert one.digest({}) == other.digest({})
        assert (one.snapshots, one.task) == (other.snapshots, other.task)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from("cab"), st.sampled_from(TIMES)), max_size=12), min_size=1, max_size=4)
)
def test_distinct_events_and_the_way_back(tables: list[list[tuple[str, datetime]]]) -> None:
    made = [
        pa.table(
            {
                "who": pa.array([who for who, _ in rows], pa.string()),
                "at": pa.array([time for _, time in rows], pa.timestamp("us")),
            }
        )
        for rows in tables
    ]
    events, places = distinct(made)
    every = sorted({row for rows in tables for row in rows}, key=lambda row: (row[1], row[0]))
    assert list(zip(*(events[name].to_pylist() for name in ("who", "at")), strict=True)) == every
    for table, place in zip(made, places, strict=True):
        assert events.take(pa.array(place)).equals(table.combine_chunks())


def test_three_targets_from_training_to_a_champion_each(make: Maker) -> None:
    tenant = make()
    models = ["lightgbm", "xgboost", "scorer", "linear"]
    section = tenant.params.train.model_copy(update={"candidates": models})
    tenant = replace(tenant, params=tenant.params.model_copy(update={"train": section}))
    write(tenant, visits(400))
    report = train(tenant, INTERVAL)
    shown = {(row["target"], row["model"]): row for row in report.details}
    assert [model for target, model in shown if target == "spending"] == [*models, "training mean only"]
    assert {"spearman", "rmse", "mae", "train mean"} <= set(shown["spending", "linear"])
    assert "auc" not in shown["spending", "linear"]
    promoted = promote(easy(tenant), INTERVAL)
    assert {name: value for name, value in promoted.counts.items() if name.startswith("spending")} == {
        "spending: champion": "1"
    }
    status = model_status(tenant)["spending"]
    assert (status["task"], status["alias"]) == ("regression", "champion")
    assert set(status["metrics"]) == {"spearman", "rmse", "mae", "mean"}
    assert status["metrics"]["spearman"] > 0.8  # habit makes the sum, and the view has its mean

    champion = load_champion(tenant, "spending")
    held = run_table(tenant.settings.tracking_uri, champion.run_id, HOLDOUT)
    assert held is not None
    ranks, values = champion.predict(held), champion.judged(held)
    assert isinstance(champion.estimator, Ranked)
    assert ((ranks >= 0) & (ranks <= 100)).all()
    assert np.array_equal(ranks, champion.estimator.rank(values))
    assert np.corrcoef(values, held["label"].to_numpy())[0, 1] > 0.8
    assert np.array_equal(np.asarray(champion.model.predict(held.to_pandas())), ranks)
    sample = champion.reference()
    assert sample is not None
    assert sample["score"].mean() == pytest.approx(50, abs=5)
    plain = load_alias(tenant, "visits", CHALLENGER)
    assert plain is not None
    assert unranked(plain.estimator) is plain.estimator
    assert plain.train_base_rate == pytest.approx(float(plain.tags["train_base_rate"]))

    made = reproduce(tenant, champion.run_id)
    assert (made.same_rows, made.same_predictions, made.differences) == (True, True, [])
    again = train(tenant, INTERVAL)
    assert sum("stays the challenger" in note for note in again.notes) == 3


def test_a_worse_regression_is_refused_and_runs_compare_by_rmse(make: Maker) -> None:
    tenant = make()
    write(tenant, visits(400))
    train(tenant, INTERVAL, "spending")
    promote(easy(tenant), INTERVAL, "spending")
    poor = {"num_boost_round": 1, "early_stopping_rounds": 1, "learning_rate": 0.01}
    section = tenant.params.train
    changed = section.model_copy(
        update={
            "lightgbm": section.lightgbm.model_copy(update=poor),
            "linear": section.linear.model_copy(update={"C": 1e-9}),
        }
    )
    worse = replace(tenant, params=tenant.params.model_copy(update={"train": changed}))
    train(worse, INTERVAL, "spending")
    report = promote(gated(worse, rows=20), INTERVAL, "spending")
    [note] = report.notes
    assert "version 2 of demo.spending is refused: RMSE" in note
    assert "so it is not shown to be better" in note
    found = compare(tenant, "v1", "v2", "spending")
    assert list(found.measures) == ["rmse", "mae", "spearman"]
    assert found.measures["rmse"].better == 1
    assert "is better by" in found.verdict
    assert "RMSE" in found.verdict


def test_a_target_that_is_not_ready_hinders_no_other(make: Maker) -> None:
    tenant = make(spending="5.0")
    write(tenant, visits(400))
    report = train(tenant, INTERVAL)
    assert {row["target"] for row in report.details} == {"conversion", "visits"}
    [note] = [note for note in report.notes if "left out: tenant" in note]
    assert "the training rows hold only the label 5.0" in note
    promoted = promote(easy(tenant), INTERVAL)
    assert "tenant 'demo' has no challenger for 'spending' yet" in promoted.notes
    assert "conversion: champion" in promoted.counts
    with pytest.raises(NotReady, match=r"hold only the label 5\.0"):
        train(tenant, INTERVAL, "spending")
    with pytest.raises(NotReady, match="no challenger for 'spending' yet: run"):
        promote(tenant, INTERVAL, "spending")


@pytest.mark.parametrize(
    ("spending", "value"), [("'nan'::double", "nan"), ("'-infinity'::double", "-inf"), ("1e308 * 10", "inf")]
)
def test_a_number_that_is_none_is_one_sentence(make: Maker, spending: str, value: str) -> None:
    tenant = make(spending=f"case when visit_id = 'v7' then {spending} else spent end")
    write(tenant, visits(400))
    with pytest.raises(NotReady, match=f"target 'spending': a label is {value}, not a finite number: mend"):
        train(tenant, INTERVAL, "spending")


def test_a_class_that_is_none_is_one_sentence(make: Maker) -> None:
    targets = {"conversion": {"horizon_days": 2}, "spending": {"horizon_days": 1}}
    tenant = make(spending="2", targets=targets)
    write(tenant, visits(400))
    with pytest.raises(NotReady, match="target 'spending': a label is 2, not 0 or 1: mend"):
        train(tenant, INTERVAL, "spending")
    fraction = make(spending="0.5::double", targets=targets)
    with pytest.raises(SqlError, match=r"spending\.sql:1: column 'label' is double: cast it to int64, or set task"):
        train(fraction, INTERVAL, "spending")


def test_a_missing_number_is_no_row(make: Maker) -> None:
    tenant = make(spending="case when visit_id <> 'v7' then spent end")
    write(tenant, visits(400))
    found = dataset("demo", "spending", "2026-01-21")
    assert len(found) == 380
    assert found["label"].dtype == np.float64
    assert found["label"].max() > 2
    assert dataset("demo", "conversion", "2026-01-21")["label"].dtype == np.int64


def test_an_experiment_with_a_regression(make: Maker, tmp_path: Path) -> None:
    tenant = make()
    write(tenant, visits(400))
    frozen = tmp_path / "training_set.parquet"
    freeze.freeze(tenant, INTERVAL, "spending", frozen)
    data = freeze.thaw(tenant, "spending", frozen)
    assert data.task == "regression"
    assert data.labels.max() > 2
    experiment.fit(tenant, "spending", frozen, tmp_path / "models")
    report = experiment.evaluate(
        tenant, "spending", frozen, tmp_path / "models", tmp_path / "metrics.json", tmp_path / "plots"
    )
    assert any("nothing was registered" in note for note in report.notes)
    told = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert {"rmse", "mae", "spearman"} <= set(told)
    assert set(told["candidates"]) == {"rmse"}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"calibration.csv", "gain.csv"}
    binary = make(targets={**TARGETS, "spending": {"horizon_days": 1}}, spending="(spent > 50)::bigint")
    with pytest.raises(ConfigError, match="was frozen with task regression, not binary"):
        freeze.thaw(binary, "spending", frozen)


def test_ranks_are_for_regressions() -> None:
    for task, rank in product(("binary", "regression"), (False, True)):
        if (task, rank) == ("binary", True):
            with pytest.raises(ValueError, match="rank needs task: regression"):
                TargetParams.model_validate({"horizon_days": 1, "task": task, "rank": rank})
        else:
            TargetParams.model_validate({"horizon_days": 1, "task": task, "rank": rank})


def test_the_run_of_a_regression_has_its_pictures(make: Maker) -> None:
    tenant = make()
    write(tenant, visits(400))
    train(tenant, INTERVAL, "spending")
    client = connect(tenant)
    run_id = client.get_model_version_by_alias("demo.spending", CHALLENGER).run_id
    pictures = {Path(item.path).stem for item in client.list_artifacts(run_id, "plots")}
    assert pictures == {"calibration", "importance", "values", "mean", "gain", "lift"}
    metrics = client.get_run(run_id).data.metrics
    assert {"rmse", "linear.rmse", "spearman", "train_base_rate"} <= set(metrics)
    assert date.fromisoformat(client.get_run(run_id).data.tags["as_of"][:10]) == INTERVAL.as_of.date()
