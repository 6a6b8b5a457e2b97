"""Ranges of probabilities against simulated leads whose true probability is known."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.isotonic import IsotonicRegression

from models import metrics
from models.base import expit, logit
from models.inputs import Floats, InputError
from models.scorer.ranges import FEWEST_PAIRS, Range, later_outcomes


def leads(rng: np.random.Generator, n: int, spread: float) -> tuple[Floats, Floats]:
    """The calibrated log odds of leads that differ by `spread` around a centre, and their true probabilities."""
    centre = rng.normal(-2, 1, n)
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    mean = expit(centre[:, None] + spread * nodes) @ (weights / weights.sum())
    return logit(mean), expit(centre + spread * rng.standard_normal(n))


def learnt(seed: int, n: int = 20_000, spread: float = 1.0) -> Range:
    """From two outcomes of each lead, both scored alike."""
    rng = np.random.default_rng(seed)
    raw, true = leads(rng, n, spread)
    raw, true, who = np.tile(raw, 2), np.tile(true, 2), np.tile(np.arange(n), 2)
    return of_groups(raw, rng.random(2 * n) < true, who)


def of_groups(raw: npt.ArrayLike, labels: npt.ArrayLike, who: npt.ArrayLike) -> Range:
    """What rows in time order teach, all of them judged."""
    return Range.learn(raw, labels, later_outcomes(labels, who))


@pytest.mark.parametrize("spread", [0.5, 1.0, 1.5])
def test_the_spread_between_leads_is_found(spread: float) -> None:
    found = np.array([learnt(seed, spread=spread).spread for seed in range(5)])
    assert found.mean() == pytest.approx(spread, abs=0.1)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.97])
def test_ranges_hold_the_true_probability_as_often_as_wanted(coverage: float) -> None:
    inside = []
    for seed in range(5):
        raw, true = leads(np.random.default_rng(100 + seed), 20_000, 1.0)
        inside.append(metrics.coverage(true, learnt(seed).interval(raw, coverage)))
    # The probability itself always lies within, which at half coverage adds a little
    assert np.mean(inside) == pytest.approx(coverage, abs=0.03)


def test_every_tenth_of_scores_is_covered() -> None:
    raw, true = leads(np.random.default_rng(3), 50_000, 1.0)
    found = learnt(4, 50_000).interval(raw)
    shares = [metrics.coverage(true[part], found[part]) for part in np.array_split(np.argsort(raw), 10)]
    assert min(shares) > 0.85
    assert max(shares) < 0.95


def test_a_score_that_knows_the_first_outcome_still_shows_the_spread() -> None:
    """Scores that learn of outcomes (as a rate of reactions does) must not hide that leads differ."""
    rng = np.random.default_rng(5)
    n, steps, spread = 6_000, 6, 1.0
    traits = np.linspace(-4, 4, 81) * spread
    belief = np.tile(np.exp(-(traits**2) / 2 / spread**2), (n, 1))
    own = spread * rng.standard_normal(n)
    raw, outcomes, doubts = [], [], []
    for _ in range(steps):  # an ideal scorer: its score is the mean of what it believes of a lead's trait
        belief /= belief.sum(axis=1, keepdims=True)
        chances = expit(-1.5 + traits)
        raw.append(logit(belief @ chances))
        doubts.append(np.sqrt(belief @ traits**2 - (belief @ traits) ** 2).mean())
        outcomes.append(rng.random(n) < expit(-1.5 + own))
        belief *= np.where(outcomes[-1][:, None], chances, 1 - chances)
    found = of_groups(np.concatenate(raw), np.concatenate(outcomes), np.tile(np.arange(n), steps))
    assert found.spread == pytest.approx(np.mean(doubts[:-1]), abs=0.12)


def test_later_outcomes_are_those_of_the_same_lead() -> None:
    found = later_outcomes([1, 0, 1, 1, 0, 0], ["a", "b", "a", "a", "a", "b"])
    nothing = np.nan
    np.testing.assert_array_equal(
        found,
        [
            [1, 1, 0],
            [0, nothing, nothing],
            [1, 0, nothing],
            [0, nothing, nothing],
            [nothing, nothing, nothing],
            [nothing, nothing, nothing],
        ],
    )


def test_later_outcomes_need_not_be_judged_themselves() -> None:
    rng = np.random.default_rng(13)
    raw, true = leads(rng, 30_000, 1.0)
    later = np.full((30_000, 3), np.nan)
    later[:, 0] = rng.random(30_000) < true
    assert Range.learn(raw, rng.random(30_000) < true, later).spread == pytest.approx(1.0, abs=0.15)


def test_leads_that_do_not_differ_have_a_small_spread() -> None:
    assert learnt(6, spread=0.0).spread < 0.3


def test_without_groups_the_range_is_that_of_venn_abers() -> None:
    rng = np.random.default_rng(7)
    raw = rng.choice(np.linspace(-3, 1, 40), 2_000)
    labels = (rng.random(2_000) < expit(raw)).astype(float)
    found = Range.learn(raw, labels)
    assert (found.spread, found.pairs) == (0.0, 0)
    for score in np.unique(raw)[[0, 7, 20, 39]]:
        low, high = found.interval(np.array([score]))[0]
        ends = [
            IsotonicRegression().fit(np.append(raw, score), np.append(labels, label)).predict([score])[0]
            for label in (0, 1)
        ]
        # Vovk & Petej 2014: isotonic regression with one more row of this score, once a 0 and once a 1
        assert low == pytest.approx(min(ends[0], expit(np.array(score))), abs=1e-5)
        assert high == pytest.approx(max(ends[1], expit(np.array(score))), abs=1e-5)


def test_disagreement_widens_where_the_spread_is_not_known() -> None:
    rng = np.random.default_rng(8)
    raw = rng.normal(-2, 1, 2_000)
    labels = rng.random(2_000) < expit(raw)
    plain = Range.learn(raw, labels)
    wide, narrow = (np.diff(plain.interval(raw, 0.9, np.full(2_000, d)), axis=1) for d in (0.5, 0.0))
    assert (wide > narrow).all()
    known = of_groups(np.tile(raw, 2), np.tile(labels, 2), np.tile(np.arange(2_000), 2))
    np.testing.assert_array_equal(known.interval(raw, 0.9, np.full(2_000, 0.5)), known.interval(raw))


def test_more_coverage_never_means_a_narrower_range_and_the_probability_lies_within() -> None:
    raw = np.linspace(-12, 8, 200)
    found = learnt(9, 3_000)
    ends = [found.interval(raw, coverage) for coverage in np.linspace(0.01, 0.99, 30)]
    for inner, outer in zip(ends, ends[1:], strict=False):
        assert (outer[:, 0] <= inner[:, 0]).all()
        assert (outer[:, 1] >= inner[:, 1]).all()
    assert metrics.coverage(expit(raw), ends[0]) == 1.0
    assert ((ends[-1] >= 0) & (ends[-1] <= 1)).all()


def test_state_comes_back_the_same() -> None:
    found, raw = learnt(10, 2_000), np.linspace(-6, 3, 50)
    np.testing.assert_array_equal(Range.from_json(found.to_json()).interval(raw, 0.8), found.interval(raw, 0.8))


@pytest.mark.parametrize("labels", [[1.0], [0.0] * 20, [0.0, 1.0] * 10])
def test_few_rows_or_one_outcome_give_a_wide_range_rather_than_an_error(labels: list[float]) -> None:
    raw = np.linspace(-1, 1, len(labels))
    found = of_groups(raw, labels, np.zeros(len(labels)))
    assert found.pairs < FEWEST_PAIRS
    assert found.spread == 0
    low, high = found.interval(raw).T
    assert (high - low > 0.04).all()


def test_constant_scores_are_one_cell() -> None:
    rng = np.random.default_rng(11)
    raw = np.full(5_000, -1.0)
    low, high = Range.learn(raw, rng.random(5_000) < expit(raw)).interval(raw[:1])[0]
    assert low <= expit(raw)[0] <= high
    assert high - low < 0.05


def test_the_order_of_groups_and_their_type_do_not_matter() -> None:
    rng = np.random.default_rng(12)
    raw, true = leads(rng, 1_000, 1.0)
    raw, labels, who = np.tile(raw, 3), rng.random(3_000) < np.tile(true, 3), np.tile(np.arange(1_000), 3)
    as_texts = np.array([f"lead {one * 7919 % 1_000}" for one in who])
    assert of_groups(raw, labels, who).spread == pytest.approx(of_groups(raw, labels, as_texts).spread, rel=1e-6)


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90.0])
def test_a_coverage_out_of_range_is_refused(coverage: float) -> None:
    with pytest.raises(InputError, match="coverage must lie between 0 and 1"):
        Range.learn(np.zeros(20), np.arange(20) % 2).interval(np.zeros(1), coverage)


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="3 groups do not fit 4 rows"):
        later_outcomes(np.zeros(4), np.zeros(3))
    with pytest.raises(InputError, match="later outcomes must be 3 for each of 4 rows"):
        Range.learn(np.zeros(4), np.zeros(4), np.zeros(4))
    with pytest.raises(InputError, match="make no range"):
        Range.learn(np.zeros(4), np.zeros(3))
    with pytest.raises(InputError, match="must be finite"):
        Range.learn(np.array([0.0, np.nan]), np.zeros(2))
