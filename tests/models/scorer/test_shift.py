"""The correction for a moved base rate, against simulated outcomes whose true level is known."""

import numpy as np
import pytest

from models.base import expit
from models.scorer.folds import forward, spaced
from models.scorer.shift import prior_shift
from models.scorer.trial import Ground

ROWS, HALF_LIFE = 20_000, 2_000.0


def ground(labels: np.ndarray, known: np.ndarray | None = None, counting: np.ndarray | None = None) -> Ground:
    folds = forward(labels, spaced(len(labels), 10, 0.5, 0.05), "binary", known=known)
    return Ground(np.zeros((len(labels), 1)), labels, None, folds, "binary", "squared", counting, moving=True)


def market(level: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log odds that know nothing of the level, and outcomes that follow it."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(-2, 1, ROWS)
    return raw, (rng.random(ROWS) < expit(raw + level)).astype(float)


@pytest.mark.parametrize("moved", [-1.0, 1.0])
def test_a_level_that_moved_is_found(moved: float) -> None:
    raw, y = market(np.where(np.arange(ROWS) < ROWS * 0.6, 0.0, moved), seed=1)
    found = ground(y)
    shift, shifts = prior_shift(found.judged(raw), found, HALF_LIFE, 1.0)
    assert shift == pytest.approx(moved, abs=0.3)
    late = np.concatenate([fold.judge for fold in found.folds]) > ROWS * 0.9
    assert shifts[late].mean() == pytest.approx(moved, abs=0.3)
    assert not shifts[: len(found.folds[0].judge)].any()  # before the first stretch nothing was judged


def test_of_a_level_that_stands_still_hardly_anything_is_made() -> None:
    found = [ground(market(np.zeros(ROWS), seed)[1]) for seed in range(40)]
    raws = [market(np.zeros(ROWS), seed)[0] for seed in range(40)]
    shifts = [prior_shift(one.judged(raw), one, HALF_LIFE, 1.0)[0] for one, raw in zip(found, raws, strict=True)]
    assert np.mean(np.array(shifts) != 0) < 0.3
    assert np.abs(shifts).max() < 0.15


def test_a_level_that_jumps_from_stretch_to_stretch_is_not_followed() -> None:
    jumps = np.where(np.arange(ROWS) // (ROWS // 20) % 2 == 0, 0.8, -0.8)
    raw, y = market(jumps, seed=3)
    found = ground(y)
    shift, shifts = prior_shift(found.judged(raw), found, ROWS / 80, 1.0)
    assert shift == 0.0
    assert not shifts.any()


def test_labels_that_were_not_known_yet_say_nothing() -> None:
    raw, y = market(np.where(np.arange(ROWS) < ROWS * 0.6, 0.0, 1.0), seed=4)
    never = np.where(np.arange(ROWS) < ROWS / 2, 0, ROWS)  # no judged row's label is known before the end
    found = ground(y, known=never)
    shift, shifts = prior_shift(found.judged(raw), found, HALF_LIFE, 1.0)
    assert shift == 0.0
    assert not shifts.any()


def test_what_counts_more_decides() -> None:
    raw, y = market(np.where(np.arange(ROWS) < ROWS * 0.8, 0.0, 1.0), seed=5)
    early = np.where(np.arange(ROWS) < ROWS * 0.75, 1.0, 0.0)
    assert prior_shift(ground(y).judged(raw), ground(y), HALF_LIFE, 1.0)[0] > 0.5
    only = ground(y, counting=early)  # of what came before the level moved
    assert prior_shift(only.judged(raw), only, HALF_LIFE, 1.0)[0] == 0.0
