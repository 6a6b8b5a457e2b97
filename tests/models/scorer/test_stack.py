"""Stacks against scikit-learn and against what is known of simulated members."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from models.base import expit
from models.metrics import ece
from models.scorer.stack import Stack, stacked, steadied
from models.scorer.trial import _rounds


def outcomes(odds: np.ndarray, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(len(odds)) < expit(odds)).astype(float)


def learn(raws: dict[str, np.ndarray], labels: np.ndarray, weights: np.ndarray | None = None) -> Stack:
    return stacked(raws, labels, weights, task="binary", loss="squared", least_gain=1.0)


def test_two_halves_of_the_truth_are_both_kept_and_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20_000))
    y = outcomes(1.2 * a + 0.8 * b - 1)
    stack = learn({"a": a, "b": b}, y)
    oracle = LogisticRegression(C=np.inf).fit(np.column_stack([a, b]), y)
    np.testing.assert_allclose([stack.weights["a"], stack.weights["b"]], oracle.coef_[0], atol=0.05)
    assert stack.intercept == pytest.approx(oracle.intercept_[0], abs=0.05)


def test_noise_and_a_worse_copy_get_no_weight() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=20_000)
    y = outcomes(truth)
    raws = {"noise": rng.normal(size=20_000), "copy": truth + rng.normal(size=20_000) * 0.5, "truth": truth}
    assert set(learn(raws, y).weights) == {"truth"}


def test_a_member_against_the_outcome_gets_no_negative_weight() -> None:
    truth = np.random.default_rng(2).normal(size=5000)
    stack = learn({"against": -truth, "truth": truth}, outcomes(truth))
    assert set(stack.weights) == {"truth"}


def test_an_overconfident_member_is_calibrated() -> None:
    truth = np.random.default_rng(3).normal(size=30_000) - 1
    y = outcomes(truth)
    stack = learn({"loud": 3 * truth + 2}, y)
    assert stack.weights["loud"] == pytest.approx(1 / 3, rel=0.1)
    assert ece(y, expit(stack.combine({"loud": 3 * truth + 2}))) < 0.01 < ece(y, expit(3 * truth + 2))


def test_rows_that_count_more_move_the_intercept() -> None:
    """Newest rows of a market whose base rate climbed: the prior shifts towards them."""
    raw = np.zeros(20_000)
    y = outcomes(np.repeat([-3.0, 0.0], 10_000))
    even, newest = learn({"raw": raw}, y), learn({"raw": raw}, y, np.repeat([0.01, 1.0], 10_000))
    assert expit(np.array([even.intercept]))[0] == pytest.approx(y.mean(), abs=0.01)
    assert expit(np.array([newest.intercept]))[0] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_values_in_any_unit(loss: str) -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 5000))
    for unit in (1e-3, 1e5):
        y = unit * (2 * a + b + 7 + rng.normal(size=5000) * 0.1)
        stack = stacked(
            {"a": unit * a, "b": unit * b},
            y,
            None,
            task="regression",
            loss=loss,
            least_gain=1.0,  # type: ignore[arg-type]
        )
        assert stack.weights["a"] == pytest.approx(2, rel=0.05)
        assert stack.intercept == pytest.approx(7 * unit, rel=0.02)


def test_members_as_good_as_each_other_are_evenly_weighed_where_outcomes_move() -> None:
    rng = np.random.default_rng(5)
    truth = rng.normal(size=4000)
    raws = {name: truth + rng.normal(size=4000) * 0.6 for name in ("a", "b")}
    stack = steadied(raws, outcomes(truth), None, least_gain=1.0)
    assert stack.weights["a"] == pytest.approx(stack.weights["b"], abs=0.05)
    assert sum(stack.weights.values()) == pytest.approx(1.0, abs=0.15)


def test_a_rate_that_jumped_is_no_intercept_where_outcomes_move() -> None:
    said = np.random.default_rng(6).normal(size=4000) - 2
    y = outcomes(said + 1.5)
    assert learn({"a": said}, y).intercept > 1.0
    assert steadied({"a": said}, y, None, least_gain=1.0).intercept == 0.0


def test_a_member_that_harms_beyond_chance_is_left_out_where_outcomes_move() -> None:
    truth = np.random.default_rng(7).normal(size=4000)
    raws = {"against": -3 * truth, "truth": truth}
    assert set(steadied(raws, outcomes(truth), None, least_gain=1.0).weights) == {"truth"}


def test_trees_are_not_fewer_than_the_least() -> None:
    worsening = [(np.linspace(0.3, 0.5, 40), 100)]
    assert _rounds(worsening, 1) == 1
    assert _rounds(worsening, 25) == 25
    assert _rounds(worsening, 90) == 40
