"""Folds: every judged row is judged once, by rows that it may be judged by."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.inputs import InputError
from models.scorer.folds import forward, lasting, recency, shuffled, spaced


@settings(deadline=None)
@given(st.integers(40, 400), st.integers(1, 10), st.floats(0.1, 0.9), st.floats(0.01, 0.5), st.integers(0, 99))
def test_forward_folds_judge_what_comes_after(rows: int, count: int, share: float, horizon: float, seed: int) -> None:
    labels = (np.random.default_rng(seed).random(rows) < 0.5).astype(float)
    folds = forward(labels, spaced(rows, count, share, horizon), "binary")
    judged = np.concatenate([fold.judge for fold in folds]) if folds else np.empty(0)
    assert len(np.unique(judged)) == len(judged)
    for fold in folds:
        assert fold.learn.max() < fold.judge.min()
        assert len(fold.learn) == fold.judge.min()  # nothing before is left out
        assert len(fold.judge) <= max(1, rows * horizon)
        assert len(np.unique(labels[fold.learn])) == 2
    if folds:
        assert folds[-1].judge[-1] == rows - 1  # the newest rows are judged


@settings(deadline=None)
@given(st.integers(20, 300), st.integers(2, 7), st.integers(0, 99))
def test_shuffled_folds_part_the_rows_with_like_shares(rows: int, count: int, seed: int) -> None:
    labels = (np.random.default_rng(seed).random(rows) < 0.3).astype(float)
    labels[:count] = np.arange(count) % 2
    folds = shuffled(labels, count, seed, "binary")
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.judge for fold in folds])), np.arange(rows))
    for fold in folds:
        assert not set(fold.learn) & set(fold.judge)
        assert len(fold.learn) + len(fold.judge) == rows
        assert abs(labels[fold.judge].sum() - labels.sum() / count) <= 2


def test_shuffled_folds_of_values_have_like_means() -> None:
    values = np.random.default_rng(0).lognormal(0, 2, 5000)
    means = [values[fold.judge].mean() for fold in shuffled(values, 5, 0, "regression")]
    by_chance = [values[part].mean() for part in np.array_split(np.random.default_rng(1).permutation(5000), 5)]
    assert np.std(means) < np.std(by_chance)


def test_recency_halves() -> None:
    weights = recency(101, 10)
    assert weights[-1] == 1
    np.testing.assert_allclose(weights[-11], 0.5)
    np.testing.assert_allclose(weights[0], 0.5**10)


def test_no_instant_is_cut_in_two_and_no_label_is_used_before_it_was_known() -> None:
    rng = np.random.default_rng(0)
    day = np.sort(rng.integers(0, 30, 600))
    known_on = day + rng.integers(0, 6, 600)
    instants, known = np.searchsorted(day, day, side="left"), np.searchsorted(day, known_on, side="left")
    labels = (rng.random(600) < 0.5).astype(float)
    folds = forward(labels, spaced(600, 6, 0.5, 0.1), "binary", instants, known)
    assert len(folds) == 6
    for fold in folds:
        begins = day[fold.judge[0]]
        assert day[fold.learn].max() < begins
        assert (known_on[fold.learn] <= begins).all()
        assert set(fold.learn) == set(np.flatnonzero((day < begins) & (known_on <= begins)))
        assert fold.judge[-1] == 599 or day[fold.judge[-1]] < day[fold.judge[-1] + 1]


@settings(deadline=None)
@given(
    st.integers(2, 400), st.integers(1, 12), st.integers(1, 40), st.sampled_from(["D", "ms", "ns"]), st.integers(0, 99)
)
def test_stretches_that_last_so_long_are_the_latest_ones(
    rows: int, count: int, days: int, unit: str, seed: int
) -> None:
    day = np.sort(np.random.default_rng(seed).integers(0, 365, rows))
    times = (np.datetime64("2026-01-01") + day).astype(f"datetime64[{unit}]")
    found = lasting(times, count, timedelta(days=days))
    assert [start for start, _ in found[1:]] == [end for _, end in found[:-1]]
    assert found[-1][1] == rows
    assert len(found) <= count
    back = (day[-1] - day) // days  # how many whole lengths before the newest row
    if (back == 0).sum() > rows / 2:
        assert found == [(rows // 2, rows)]
        return
    assert found[0][0] >= rows / 2
    for start, end in found:
        assert len(set(back[start:end])) == 1  # no stretch is longer than told
        assert start == 0 or back[start - 1] > back[start]
    early = back[: found[0][0]]
    whole = [one for one in range(count) if (back > one).sum() >= rows / 2]
    assert not set(early) & set(whole)  # every length that leaves half of the rows before it is judged


def test_times_may_be_zoned_but_not_numbers() -> None:
    times = np.array([datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=at) for at in range(10)])
    assert lasting(times, 2, timedelta(hours=2)) == [(6, 8), (8, 10)]
    with pytest.raises(InputError, match="wants event times that are datetimes, not int64"):
        lasting(np.arange(10), 2, timedelta(hours=2))
