"""The numbers of a card against a second way to get them."""

import numpy as np
import pandas as pd
import pytest

from models import metrics
from pipelines.train.card_charts import ticks
from pipelines.train.card_figures import (
    GAP,
    bins_of,
    compared,
    coverage_of,
    gain_of,
    periods_of,
    segments_of,
)


def sample(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 4, n).round(2)  # with ties
    return (rng.random(n) < p).astype(float), p


def test_the_interval_of_a_share_is_as_wide_as_theory_says() -> None:
    y, p = sample(2000)
    found = compared(y, {"a": p}, "a", True, draws=400)["a"]["base_rate"]
    expected = 2 * 1.96 * np.sqrt(y.mean() * (1 - y.mean()) / len(y))
    assert found.high - found.low == pytest.approx(expected, rel=0.15)
    fourfold = np.tile(np.arange(500), 4)
    same = compared(np.tile(y[:500], 4), {"a": np.tile(p[:500], 4)}, "a", True, fourfold, draws=400)["a"]["base_rate"]
    apart = compared(np.tile(y[:500], 4), {"a": np.tile(p[:500], 4)}, "a", True, draws=400)["a"]["base_rate"]
    assert (same.high - same.low) / (apart.high - apart.low) == pytest.approx(2, rel=0.25)


def test_a_gap_is_paired() -> None:
    """Two models that differ by a constant loss: its interval has no width, whatever is drawn."""
    y, p = sample()
    p = np.clip(p, 0.01, 0.99)
    found = compared(y, {"a": p, "b": p, "c": 1 - p}, "a", True, draws=50)
    assert (found["b"][GAP].low, found["b"][GAP].high) == (0, 0)
    assert found["c"][GAP].low > 0
    assert found["c"][GAP].value == pytest.approx(metrics.logloss(y, 1 - p) - metrics.logloss(y, p))


def test_bins_hold_every_row_once() -> None:
    y, p = sample(407)
    bins = bins_of(y, p, True)
    predicted, observed, rows = metrics.calibration(y, p)
    assert [one.rows for one in bins] == list(rows)
    assert [one.predicted for one in bins] == pytest.approx(list(predicted))
    assert [one.observed.value for one in bins] == pytest.approx(list(observed))
    assert all(one.observed.low <= one.observed.value <= one.observed.high for one in bins)


def test_gain_begins_at_nothing_and_ends_with_all() -> None:
    y, p = sample()
    taken, reached = gain_of(y, p, points=400)
    assert (taken[0], reached[0], taken[-1], reached[-1]) == (0, 0, 1, 1)
    best = np.argsort(-p, kind="stable")[:100]
    assert reached[np.searchsorted(taken, 0.25)] == pytest.approx(y[best].sum() / y.sum())


def test_small_groups_stand_together() -> None:
    y, p = sample(1000)
    values = np.array(["large"] * 700 + ["middle"] * 240 + ["x", "y", "z"] * 19 + [None] * 3, dtype=object)
    [found] = segments_of({"place": values}, y, p, True).values()
    assert [(one.name, one.rows) for one in found] == [("large", 700), ("middle", 240), ("others (4 together)", 60)]
    assert found[2].observed.value == pytest.approx(y[940:].mean())


@pytest.mark.parametrize(("days", "word", "rule"), [(5, "day", "D"), (60, "week", "W-MON"), (400, "month", "MS")])
def test_periods_are_those_of_pandas(days: int, word: str, rule: str) -> None:
    y, p = sample(1000)
    times = np.datetime64("2026-01-07T03:00", "us") + (np.linspace(0, days, 1000) * 86400e6).astype("timedelta64[us]")
    found_word, periods = periods_of(times, y, p, True)
    expected = pd.Series(y, pd.DatetimeIndex(times)).resample(rule, label="left", closed="left").agg(["size", "mean"])
    assert found_word == word
    assert [one.name for one in periods] == [str(t)[: len(periods[0].name)] for t in expected.index]
    assert [one.rows for one in periods] == list(expected["size"])
    assert [one.observed.value for one in periods] == pytest.approx(list(expected["mean"]))


def test_coverage_of_values_counts_rows_and_of_probabilities_bins() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=4000)
    half = 1.2815515655  # a normal value lies within with probability .8
    ends = np.tile([-half, half], (4000, 1))
    ends[::5] = np.nan
    [found] = coverage_of(y, np.zeros(4000), {0.8: ends}, binary=False)
    known = np.isfinite(ends[:, 0])
    assert found.held.value == pytest.approx(np.mean(np.abs(y[known]) <= half))
    assert found.held.low < 0.8 < found.held.high
    assert found.width == pytest.approx(2 * half)
    p = rng.random(3000)
    ones = (rng.random(3000) < p).astype(float)
    around = np.column_stack([p - 0.1, p + 0.1])
    assert coverage_of(ones, p, {0.9: around}, binary=True)[0].held.value == 1
    assert coverage_of(ones, p, {0.9: around + 0.5}, binary=True)[0].held.value == 0


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 17), (0, 0.0013), (5e5, 9e6)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 9
    assert low - 1e-9 <= found[0]
    assert found[-1] <= high * (1 + 1e-9)
    assert np.ptp(np.diff(found)) == pytest.approx(0, abs=(high - low) * 1e-9)
