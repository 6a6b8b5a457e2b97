"""Scores of a date and target are replaced at once and bear the same ids each time."""

from collections.abc import Iterator
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.core.tiers import TIERS, tiers_of
from pipelines.deliver.score import rechunked, score_status
from pipelines.deliver.table import TABLE, latest_date, score_id, score_rows, write_scores
from pipelines.lake.catalog import Lake
from tests.conftest import MakeTenant

MULTIPLES = {"A": 2.0, "B": 1.0, "C": 0.5}


def rows(tenant: Tenant, day: int, scores: dict[str, float], target: str = "conversion") -> pa.Table:
    interval = Interval.day(date(2026, 1, day))
    columns = {
        "as_of": interval.as_of,
        "probability": pa.array(list(scores.values()), pa.float64()),
        "tier": pa.array(tiers_of(np.array(list(scores.values())), 0.2, MULTIPLES)),
        "model_name": "m",
        "model_version": "3",
        "feature_service": target,
        "run_id": "r",
        "_loaded_at": datetime(2026, 1, 1),
    }
    return score_rows(tenant, interval, target, pa.array(list(scores), pa.string()), columns)


def stored(lake: Lake) -> list[tuple[str, str, str, float]]:
    table = lake.read(TABLE)
    found = zip(*(table[name].to_pylist() for name in ("date", "target", "entity_id", "probability")), strict=True)
    return sorted((day.isoformat(), *rest) for day, *rest in found)


def test_only_the_rows_of_the_same_date_and_target_are_replaced(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    lake = Lake(tenant)
    write_scores(lake, "conversion", "2026-01-01", [rows(tenant, 1, {"a": 0.1})])
    write_scores(lake, "conversion", "2026-01-02", [rows(tenant, 2, {"a": 0.2}), rows(tenant, 2, {"b": 0.3})])
    write_scores(lake, "churn", "2026-01-02", [rows(tenant, 2, {"a": 0.4}, "churn")])

    count = write_scores(lake, "conversion", "2026-01-02", [rows(tenant, 2, {"c": 0.5})])

    assert count == 1
    assert stored(lake) == [
        ("2026-01-01", "conversion", "a", 0.1),
        ("2026-01-02", "churn", "a", 0.4),
        ("2026-01-02", "conversion", "c", 0.5),
    ]
    assert latest_date(lake, TABLE) == "2026-01-02"


def test_the_table_is_partitioned_by_date(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    lake = Lake(tenant)
    write_scores(lake, "conversion", "2026-01-01", [rows(tenant, 1, {"a": 0.1})])

    table = lake.table(TABLE)

    assert table is not None
    assert [field.name for field in table.spec().fields] == ["date"]


def test_a_run_that_dies_half_way_publishes_nothing(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    lake = Lake(tenant)
    write_scores(lake, "conversion", "2026-01-01", [rows(tenant, 1, {"a": 0.1})])

    def dying() -> Iterator[pa.Table]:
        yield rows(tenant, 1, {"a": 0.9, "b": 0.9})
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_scores(lake, "conversion", "2026-01-01", dying())

    assert stored(Lake(tenant)) == [("2026-01-01", "conversion", "a", 0.1)]


def test_status_before_and_after_the_first_scores(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    assert score_status(tenant) == {"rows": 0, "as_of": None, "model_version": None, "tiers": dict.fromkeys(TIERS, 0)}
    write_scores(Lake(tenant), "conversion", "2026-01-01", [rows(tenant, 1, {"z": 0.9})])
    write_scores(
        Lake(tenant), "conversion", "2026-01-02", [rows(tenant, 2, {"a": 0.4, "b": 0.2, "c": 0.19, "d": 0.01})]
    )

    assert score_status(tenant) == {
        "rows": 4,
        "as_of": "2026-01-03T00:00:00",
        "model_version": "3",
        "tiers": {"A": 1, "B": 1, "C": 1, "D": 1},
    }


def test_ids_are_deterministic_and_differ_in_every_part() -> None:
    one = ("demo", "conversion", "lead", "2026-01-01")
    others = [(*one[:n], "x", *one[n + 1 :]) for n in range(4)]

    assert score_id(*one) == score_id(*one)
    assert len({score_id(*one), *(score_id(*other) for other in others)}) == 5
    assert score_id("a", "bc", "d", "e") != score_id("ab", "c", "d", "e")


@given(st.lists(st.integers(0, 7), max_size=9), st.integers(1, 10))
def test_rechunking_keeps_rows_and_order(sizes: list[int], rows: int) -> None:
    numbers = iter(range(1000))
    batches = [pa.record_batch({"n": pa.array([next(numbers) for _ in range(size)], pa.int64())}) for size in sizes]

    chunks = list(rechunked(batches, rows))

    assert [n for chunk in chunks for n in chunk["n"].to_pylist()] == list(range(sum(sizes)))
    assert all(chunk.num_rows == rows for chunk in chunks[:-1])
    assert all(0 < chunk.num_rows <= rows for chunk in chunks)


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0.001, 0.5))
def test_tiers_are_what_their_thresholds_say(probabilities: list[float], base_rate: float) -> None:
    def by_hand(p: float) -> str:
        return next((tier for tier, multiple in MULTIPLES.items() if p >= multiple * base_rate), "D")

    assert tiers_of(np.array(probabilities), base_rate, MULTIPLES) == [by_hand(p) for p in probabilities]


def test_columns_of_other_targets_are_added_when_they_come(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    lake = Lake(tenant)
    interval = Interval.day(date(2026, 1, 2))
    write_scores(lake, "conversion", "2026-01-01", [rows(tenant, 1, {"a": 0.1})])
    [given] = rows(tenant, 2, {"b": 0.2}).to_pylist()
    columns = {**given, "churn": pa.array([0.03]), "churn_version": "5"}
    wider = score_rows(tenant, interval, "conversion", pa.array(["b"]), columns, ["churn"])
    write_scores(lake, "conversion", "2026-01-02", [wider], beside=["churn"])
    write_scores(lake, "conversion", "2026-01-03", [rows(tenant, 3, {"c": 0.3})])

    found = lake.read(TABLE).sort_by("date")
    assert found["churn"].to_pylist() == [None, 0.03, None]
    assert found["churn_version"].to_pylist() == [None, "5", None]
    assert stored(lake)[1] == ("2026-01-02", "conversion", "b", 0.2)
