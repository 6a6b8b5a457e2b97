"""The best of many against one of them: the luck of the choice is taken off."""

import numpy as np
import pytest

from models.compare import paired
from models.metrics import losses
from models.selection import gain

DRAWS = 300


def tried(rng: np.random.Generator, rows: int, count: int, lift: float = 0.0) -> np.ndarray:
    """Losses of one and of `count` others that differ from it by noise; the first of them is better by `lift`."""
    base = rng.normal(size=rows)
    gaps = 0.3 * (np.sqrt(0.3) * rng.normal(size=rows) + np.sqrt(0.7) * rng.normal(size=(count, rows)))
    gaps[0] -= lift
    return np.vstack([base, base + gaps])


def test_the_best_of_many_equal_ones_is_seldom_called_better() -> None:
    """A plain paired interval is fooled in half of the samples; this one in no more than a twentieth or so."""
    rng = np.random.default_rng(0)
    found = [gain(tried(rng, 400, 30), 0, draws=DRAWS, seed=i) for i in range(120)]
    plain = np.mean([one.high - one.optimism < 0 for one in found])
    assert plain > 0.3
    assert np.mean([one.high < 0 for one in found]) < 0.1
    seen, left = (abs(np.mean([getattr(one, name) for one in found])) for name in ("difference", "expected"))
    assert left < seen / 3  # and most of what is seen is taken off


def test_what_is_better_is_found() -> None:
    rng = np.random.default_rng(1)
    found = [gain(tried(rng, 1000, 30, lift=0.06), 0, draws=DRAWS, seed=i) for i in range(30)]
    assert np.mean([one.best == 1 for one in found]) > 0.9
    assert np.mean([one.high < 0 for one in found]) > 0.9
    assert np.mean([one.low <= -0.06 <= one.high for one in found]) > 0.8


def test_with_one_other_it_is_nearly_the_paired_interval() -> None:
    """Against `compare.paired`: where there is next to no choice, next to no luck is taken off."""
    rng = np.random.default_rng(2)
    y = (rng.random(600) < 0.3).astype(float)
    groups = rng.integers(0, 80, 600)
    good, bad = np.clip(0.3 + 0.3 * (y - 0.3) + rng.normal(0, 0.05, 600), 0.01, 0.99), np.full(600, 0.3)
    ours = gain([losses(y, bad), losses(y, good)], 0, groups, draws=3000)
    theirs = paired(y, bad, good, groups, draws=3000)["logloss"]
    assert ours.best == 1
    assert ours.difference == pytest.approx(theirs.difference)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_of_errors_that_are_squared_the_root_is_compared() -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=500)
    table = np.array([(y - p) ** 2 for p in (np.zeros(500), 0.5 * y, 0.4 * y)])
    found = gain(table, 0, total=np.sqrt, draws=DRAWS)
    assert found.best == 1
    assert found.difference == pytest.approx(-0.5 * np.sqrt(np.mean(y**2)))
    assert found.low < found.difference < found.high


def test_the_reference_stays_where_nothing_is_better() -> None:
    table = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.2, 0.2, 0.3]])
    found = gain(table, 0)
    assert (found.best, found.difference) == (0, 0.0)
    assert found.low == found.high == found.optimism


def test_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        gain(np.empty((2, 0)), 0)
