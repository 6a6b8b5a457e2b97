"""Intervals against simulated values whose spread is known, and how they follow a market that moves."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from models import metrics
from models.inputs import Floats, InputError, Inputs
from models.scorer.difficulty import Difficulty
from models.scorer.intervals import Intervals

Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats, Floats]]


def homoscedastic(rng: np.random.Generator, n: int) -> tuple[Floats, Floats, Floats]:
    """Predictions, values and difficulties: the same noise everywhere."""
    centre = rng.normal(0, 3, n)
    return centre, centre + rng.standard_normal(n), np.ones(n)


def heteroscedastic(rng: np.random.Generator, n: int) -> tuple[Floats, Floats, Floats]:
    """Skewed noise whose size has nothing to do with the prediction."""
    centre, size = rng.normal(0, 3, n), rng.lognormal(0, 1, n)
    return centre, centre + size * (rng.exponential(1, n) - 1), size


def piled(rng: np.random.Generator, n: int) -> tuple[Floats, Floats, Floats]:
    """Values of which 2 to 98 % are 0 and the others are 50 and more."""
    share, size = rng.uniform(0.02, 0.98, n), rng.lognormal(5, 1, n)
    values = np.where(rng.random(n) < share, 0, 50 + rng.exponential(size))
    return (1 - share) * (50 + size), values, size


DRAWS: list[Draw] = [homoscedastic, heteroscedastic, piled]


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.97])
@pytest.mark.parametrize("draw", DRAWS)
def test_intervals_cover_new_rows_as_often_as_wanted(draw: Draw, coverage: float) -> None:
    rng = np.random.default_rng(5)
    n, new = 4_000, 20_000
    centre, values, size = draw(rng, n)
    learnt = Intervals.learn(centre, values, size)
    centre, values, size = draw(rng, new)
    inside = metrics.coverage(values, learnt.interval(centre, coverage, size))
    # What n rows leave open of a conformal interval's coverage, and chance on the new rows. A pile is covered whole or
    # not at all, so that it may add as much as a lower end would have left out
    chance = 4 * np.sqrt(coverage * (1 - coverage) * (1 / n + 1 / new))
    assert coverage - chance < inside < coverage + chance + (0.01 if draw is not piled else (1 - coverage) / 2)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_hard_rows_are_covered_as_often_as_easy_ones(part: int) -> None:
    rng = np.random.default_rng(6)
    learnt = Intervals.learn(*heteroscedastic(rng, 6_000))
    centre, values, size = heteroscedastic(rng, 30_000)
    third = np.array_split(np.argsort(size), 3)[part]
    inside = metrics.coverage(values[third], learnt.interval(centre[third], 0.9, size[third]))
    assert inside == pytest.approx(0.9, abs=0.04)


def test_the_score_comes_near_that_of_the_true_quantiles() -> None:
    rng = np.random.default_rng(7)
    learnt = Intervals.learn(*heteroscedastic(rng, 6_000))
    centre, values, size = heteroscedastic(rng, 30_000)
    ideal = centre[:, None] + size[:, None] * (stats.expon.ppf([0.05, 0.95]) - 1)
    best = metrics.winkler(values, ideal, 0.9)
    ours = metrics.winkler(values, learnt.interval(centre, 0.9, size), 0.9)
    assert best <= ours < 1.04 * best
    assert metrics.winkler(values, Intervals.learn(centre, values).interval(centre), 0.9) > 1.2 * best


def test_a_lower_end_stands_at_the_pile_or_beyond_the_gap_above_it() -> None:
    rng = np.random.default_rng(8)
    learnt = Intervals.learn(*piled(rng, 4_000))
    centre, _, size = piled(rng, 4_000)
    low, high = learnt.interval(centre, 0.9, size).T
    assert np.isin(low[low < 50], 0.0).all()
    assert (low == 0).any()
    assert (low > 50).any()
    assert (high >= low).all()


@pytest.mark.parametrize("draw", DRAWS)
def test_more_coverage_never_means_a_narrower_interval(draw: Draw) -> None:
    rng = np.random.default_rng(9)
    learnt = Intervals.learn(*draw(rng, 2_000))
    centre, _, size = draw(rng, 500)
    ends = [learnt.interval(centre, coverage, size) for coverage in np.linspace(0.01, 0.99, 40)]
    for inner, outer in zip(ends, ends[1:], strict=False):
        assert (outer[:, 0] <= inner[:, 0]).all()
        assert (outer[:, 1] >= inner[:, 1]).all()


def test_quantiles_are_those_of_split_conformal_prediction() -> None:
    rng = np.random.default_rng(10)
    centre, values = np.zeros(99), rng.standard_normal(99)
    low, high = Intervals.learn(centre, values).interval(np.zeros(1), 0.9)[0]
    ranked = np.sort(values)
    # Lei et al. 2018: the ceil((n + 1) q)-th of n values, from either side
    assert (low, high) == (pytest.approx(ranked[4]), pytest.approx(ranked[94]))


@pytest.mark.parametrize("grows", [3.0, 8.0])
def test_a_growing_spread_is_followed(grows: float) -> None:
    ours, plain = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        n, new = 3_000, 1_000
        size = np.linspace(1, grows, n + new) ** 1.5
        values = size * rng.standard_normal(n + new)
        centre = np.zeros(n + new)
        learnt = Intervals.learn(centre[:n], values[:n])
        ours.append(metrics.coverage(values[n:], learnt.interval(centre[n:])))
        usual = np.quantile(np.abs(values[:n]), 0.9)
        plain.append(float(np.mean(np.abs(values[n:]) <= usual)))
    assert np.mean(plain) < 0.8
    assert np.mean(ours) > 0.86
    assert np.mean(ours) < 0.96


def test_a_level_that_moved_once_is_forgotten() -> None:
    rng = np.random.default_rng(12)
    values = np.concatenate([rng.normal(5, 1, 1_000), rng.normal(0, 1, 3_000)])
    learnt = Intervals.learn(np.zeros(4_000), values)
    assert learnt.half_life < np.inf
    low, high = learnt.interval(np.zeros(1))[0]
    assert high - low < np.diff(np.quantile(values, [0.05, 0.95]))[0]


@pytest.mark.parametrize("seed", range(5))
def test_a_market_that_stands_still_forgets_nothing(seed: int) -> None:
    learnt = Intervals.learn(*homoscedastic(np.random.default_rng(seed), 3_000))
    assert learnt.half_life == np.inf


@pytest.mark.parametrize("draw", DRAWS)
def test_state_comes_back_the_same(draw: Draw) -> None:
    rng = np.random.default_rng(13)
    learnt = Intervals.learn(*draw(rng, 1_000))
    centre, _, size = draw(rng, 100)
    again = Intervals.from_json(learnt.to_json())
    np.testing.assert_array_equal(again.interval(centre, 0.8, size), learnt.interval(centre, 0.8, size))
    assert (again.least, again.half_life) == (learnt.least, learnt.half_life)


@pytest.mark.parametrize("rows", [1, 2, 20])
def test_few_rows_give_wide_intervals_rather_than_errors(rows: int) -> None:
    rng = np.random.default_rng(14)
    centre, values, size = homoscedastic(rng, rows)
    found = Intervals.learn(centre, values, size).interval(centre, 0.95, size)
    assert np.isfinite(found).all()
    assert metrics.coverage(values, found) == 1.0


def test_constant_predictions_are_one_bin() -> None:
    rng = np.random.default_rng(15)
    values = rng.standard_normal(2_000)
    learnt = Intervals.learn(np.full(2_000, 0.5), values)
    assert len(learnt.middles) == 1
    assert metrics.coverage(rng.standard_normal(20_000), learnt.interval(np.full(20_000, 0.5))) == pytest.approx(
        0.9, abs=0.03
    )


def test_values_that_were_always_right_give_an_interval_of_no_width() -> None:
    values = np.arange(300.0)
    found = Intervals.learn(values, values, np.ones(300)).interval(values, 0.9, np.ones(300))
    np.testing.assert_allclose(found, np.column_stack([values, values]), atol=1e-5)


def test_rows_of_no_weight_count_as_absent() -> None:
    rng = np.random.default_rng(16)
    centre, values, size = homoscedastic(rng, 1_000)
    weights = np.ones(1_000)
    weights[::2], values[::2] = 0, 1e6
    kept = Intervals.learn(centre[1::2], values[1::2], size[1::2])
    weighed = Intervals.learn(centre, values, size, weights)
    np.testing.assert_allclose(weighed.interval(centre, 0.9, size), kept.interval(centre, 0.9, size))


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1.0, 90.0])
def test_a_coverage_out_of_range_is_refused(coverage: float) -> None:
    learnt = Intervals.learn(np.zeros(20), np.arange(20.0))
    with pytest.raises(InputError, match="coverage must lie between 0 and 1"):
        learnt.interval(np.zeros(1), coverage)


@pytest.mark.parametrize(
    ("values", "says"), [(np.zeros(3), "3 values and 4 predictions"), (np.array([0, 1, np.nan, 2]), "must be finite")]
)
def test_rows_that_cannot_be_learnt_from_are_refused(values: Floats, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Intervals.learn(np.zeros(4), values)


def test_difficulty_knows_where_residuals_are_large() -> None:
    rng = np.random.default_rng(17)
    n = 3_000
    matrix = rng.uniform(0, 1, (n, 2))
    size = 1 + 9 * matrix[:, 0]
    values = size * rng.standard_normal(n)
    inputs = Inputs.learn({"a": matrix[:, 0], "b": matrix[:, 1]})
    learnt = Difficulty.learn(inputs, matrix, np.zeros(n), values)
    assert learnt is not None
    difficulty, unseen = learnt
    found = difficulty.of(matrix, np.zeros(n))
    assert np.corrcoef(unseen, size)[0, 1] > 0.85
    assert (found >= 0).all()
    again = Difficulty.from_learnt(inputs, difficulty.learnt())
    np.testing.assert_array_equal(again.of(matrix, np.zeros(n)), found)
    assert Difficulty.learn(inputs, matrix[:20], np.zeros(20), values[:20]) is None
