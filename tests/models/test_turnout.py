"""How what was said turned out: intervals hold what they say, also where rows belong together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.inputs import Floats
from models.turnout import FEW, means, turnout

Rows = tuple[Floats, Floats, np.ndarray]


def market(rng: np.random.Generator, entities: int, each: int, spread: float, shift: float = 0.0) -> Rows:
    """Outcomes of a model that knows each entity's taste but not its mood, which its rows share."""
    taste = rng.normal(-2.2, 0.8, entities)
    groups = np.repeat(np.arange(entities), each)
    mood = np.repeat(rng.normal(0, spread, entities), each)
    draws = rng.normal(0, spread, (4000, 1))
    p = (1 / (1 + np.exp(-(taste + draws)))).mean(axis=0)  # what is expected over all moods
    y = (rng.random(entities * each) < 1 / (1 + np.exp(-(np.repeat(taste, each) + mood + shift)))).astype(float)
    return y, np.repeat(p, each), groups


@pytest.mark.slow
@pytest.mark.parametrize(("entities", "each", "spread"), [(300, 1, 0.0), (200, 4, 1.0), (1000, 3, 0.7)])
def test_intervals_of_means_hold(entities: int, each: int, spread: float) -> None:
    """95 % intervals of the gap hold 0, and of what is observed its expectation, in 92 to 98 % of 400 markets."""
    rng = np.random.default_rng(7)
    gap = observed = 0
    for _ in range(400):
        y, p, groups = market(rng, entities, each, spread)
        found = means(y, p, groups)
        gap += found["gap"].low <= 0 <= found["gap"].high
        observed += found["observed"].low <= p.mean() <= found["observed"].high
    assert 0.92 <= gap / 400 <= 0.98
    assert 0.92 <= observed / 400 <= 0.99  # of the entities at hand the expectation is known: a little too wide


@pytest.mark.slow
def test_a_market_that_changed_is_seen() -> None:
    rng = np.random.default_rng(3)
    seen = 0
    for _ in range(100):
        found = means(*market(rng, 1000, 2, 0.5, shift=0.5))
        seen += found["gap"].low > 0
    assert seen >= 95


def test_rows_that_belong_together_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    y = np.repeat(rng.integers(0, 2, 50).astype(float), 20)
    p = np.full(1000, 0.5)
    apart, together = (means(y, p, groups)["gap"] for groups in (np.arange(1000), np.repeat(np.arange(50), 20)))
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(np.sqrt(20), rel=0.05)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 0.99), st.integers(0, 5)), min_size=1, max_size=60))
def test_shares_stay_shares(rows: list[tuple[bool, float, int]]) -> None:
    y, p, groups = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    found = turnout(y, p, groups.astype(int), draws=20)
    observed = found["observed"]
    assert 0 <= observed.low <= observed.value <= observed.high <= 1
    assert found["gap"].value == pytest.approx(y.mean() - p.mean())
    assert ("logloss" in found) == (len(y) >= FEW)


def test_measures_are_the_usual_ones_and_lie_in_their_intervals() -> None:
    from sklearn.metrics import log_loss, roc_auc_score

    y, p, groups = market(np.random.default_rng(5), 800, 2, 0.3)
    found = turnout(y, p, groups)
    assert found["auc"].value == pytest.approx(roc_auc_score(y, p))
    assert found["logloss"].value == pytest.approx(log_loss(y, p))
    for name in ("auc", "logloss"):
        assert found[name].low < found[name].value < found[name].high
    assert "coverage" not in found


def test_coverage_of_ranges() -> None:
    rng = np.random.default_rng(2)
    p = rng.normal(0, 1, 2000)
    y = p + rng.normal(0, 1, 2000)
    ends = np.column_stack([p - 1.645, p + 1.645])
    ends[:100] = np.nan  # told without a range
    found = turnout(y, p, np.arange(2000), "regression", ends)
    assert found["coverage"].low < 0.9 < found["coverage"].high
    assert found["rmse"].value == pytest.approx(1, abs=0.05)


def test_one_entity_tells_nothing_for_sure() -> None:
    found = means(np.array([0.0, 1.0]), np.array([0.5, 0.5]), np.array([4, 4]))
    assert np.isnan(found["gap"].low)
    assert found["observed"].value == 0.5
