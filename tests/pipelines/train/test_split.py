"""Maturity, the order of time, and purging."""

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.train.split import matured, ordered, split

START = datetime(2026, 1, 1)
events = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 10), st.sampled_from([0, 1, None])), min_size=1, max_size=80
)


def spine(rows: list[tuple[int, int, int | None]]) -> pa.Table:
    """Rows of (day of the event, days until the label is known, label)."""
    times = [START + timedelta(days=day) for day, _, _ in rows]
    known = [START + timedelta(days=day + delay) for day, delay, _ in rows]
    return pa.table(
        {
            "lead_id": pa.array([f"l{i}" for i in range(len(rows))]),
            "event_time": pa.array(times, pa.timestamp("us")),
            "label": pa.array([label for _, _, label in rows], pa.int64()),
            "known_at": pa.array(known, pa.timestamp("us")),
        }
    )


@given(events, st.integers(0, 40), st.randoms())
def test_only_matured_rows_in_an_order_of_their_own(rows: list, day: int, random) -> None:
    as_of = START + timedelta(days=day)
    found = matured(spine(rows), "lead_id", as_of)
    expected = [row for row in spine(rows).to_pylist() if row["label"] is not None and row["known_at"] <= as_of]
    assert sorted(found.to_pylist(), key=str) == sorted(expected, key=str)
    times = found["event_time"].to_pylist()
    assert times == sorted(times)
    shuffled = spine(rows).to_pylist()
    random.shuffle(shuffled)
    assert matured(pa.Table.from_pylist(shuffled, spine(rows).schema), "lead_id", as_of).equals(found)


def test_a_cut_among_rows_of_one_instant_does_not_part_the_outcomes() -> None:
    rng = np.random.default_rng(0)
    table = spine([(0, int(label), int(label)) for label in rng.random(4000) < 0.3])
    table = table.append_column("amount", pa.array(rng.random(4000)))
    rows = ordered(table, "lead_id", ["amount"])
    labels = rows["label"].to_numpy()
    assert labels[split(rows, 0.2).holdout].mean() == pytest.approx(labels.mean(), abs=0.05)


@given(events, st.floats(0.05, 0.6))
def test_holdout_is_last_and_training_knew_nothing_of_its_time(rows: list, share: float) -> None:
    table = matured(spine(rows), "lead_id", START + timedelta(days=100))
    parts = split(table, share)
    assert len(parts.holdout) == round(table.num_rows * share)
    assert len(parts.train) + parts.purged + len(parts.holdout) == table.num_rows
    assert not set(parts.train) & set(parts.holdout)
    if not len(parts.holdout):
        return
    times, known = table["event_time"].to_numpy(), table["known_at"].to_numpy()
    begins = times[parts.holdout].min()
    assert parts.holdout.tolist() == list(range(table.num_rows - len(parts.holdout), table.num_rows))
    assert (times[parts.train] <= begins).all()
    assert (known[parts.train] <= begins).all()
    purged = np.setdiff1d(np.arange(parts.holdout[0]), parts.train)
    assert (known[purged] > begins).all()


def test_rows_of_the_holdouts_first_day_are_purged_when_labels_take_a_day() -> None:
    table = matured(spine([(day // 3, 1, day % 2) for day in range(30)]), "lead_id", START + timedelta(days=100))
    parts = split(table, 0.2)  # 6 rows: days 8 and 9
    assert parts.purged == 0  # day 7 was known when day 8 began
    parts = split(table, 4 / 30)  # 4 rows: the last of day 8, and day 9
    assert parts.purged == 2


@pytest.mark.parametrize("rows", [1, 2, 5, 11])
def test_small_spines_split(rows: int) -> None:
    parts = split(spine([(day, 0, 0) for day in range(rows)]), 0.2)
    assert len(parts.holdout) == round(rows * 0.2)
