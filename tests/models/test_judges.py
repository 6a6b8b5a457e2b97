"""The judges of both tasks against scikit-learn and scipy; paired intervals that hold what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import log_loss, mean_absolute_error, root_mean_squared_error

from models.compare import MEASURES, measures, paired
from models.judges import judge_of, spearman

values = st.lists(st.tuples(st.integers(-3, 5), st.integers(-3, 5)), min_size=2, max_size=30)


@settings(max_examples=60, deadline=None)
@given(values)
def test_measures_of_a_regression_agree_with_scikit_learn_and_scipy(pairs: list[tuple[int, int]]) -> None:
    y, p = np.array(pairs, dtype=float).T
    found = judge_of("regression").evaluate(y, p)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(y, p))
    assert found["mae"] == pytest.approx(mean_absolute_error(y, p))
    assert found["mean"] == pytest.approx(y.mean())
    constant = len(set(y)) == 1 or len(set(p)) == 1
    assert found["spearman"] == pytest.approx(0.0 if constant else spearmanr(y, p).statistic)
    assert judge_of("regression").score(y, p) == pytest.approx(found["rmse"])


def test_the_judge_of_a_probability_decides_by_log_loss() -> None:
    y, p = np.array([0, 1, 1, 0]), np.array([0.2, 0.7, 0.4, 0.1])
    judge = judge_of("binary")
    assert judge.score(y, p) == pytest.approx(log_loss(y, p))
    assert judge.evaluate(y, p)[judge.loss] == pytest.approx(log_loss(y, p))


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_better_model_is_better_beyond_chance_and_the_same_one_is_not(task: str) -> None:
    rng = np.random.default_rng(0)
    signal = rng.random(2_000)
    y = (rng.random(2_000) < signal).astype(float) if task == "binary" else signal + rng.normal(size=2_000)
    guess = np.full(2_000, y.mean())
    judge = judge_of(task)
    low, high = judge.difference_interval(y, signal, guess)
    assert low < high < 0
    assert low <= judge.score(y, signal) - judge.score(y, guess) <= high
    assert judge.difference_interval(y, signal, signal) == (0.0, 0.0)


def test_intervals_of_a_regression_cover_the_truth() -> None:
    """Paired differences of fresh samples, whose true value is that of a large one."""
    rng = np.random.default_rng(1)

    def sample(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, noise = rng.normal(size=rows), rng.normal(size=rows)
        return x + noise, 0.9 * x, 0.4 * x + 0.3

    y, first, second = sample(400_000)
    true = {name: measures(y, second, "regression")[name] - measures(y, first, "regression")[name]
            for name in ("rmse", "mae")}  # fmt: skip
    held = dict.fromkeys(true, 0)
    for seed in range(100):
        found = paired(*sample(300), draws=200, seed=seed, task="regression")
        assert list(found) == list(MEASURES["regression"])
        for name, value in true.items():
            held[name] += found[name].low <= value <= found[name].high
    assert all(88 <= count <= 100 for count in held.values()), held


def test_spearman_of_two_models_follows_their_order() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=500)
    close, far = y + rng.normal(size=500) * 0.3, y + rng.normal(size=500) * 3
    found = paired(y, far, np.exp(close), task="regression")["spearman"]
    assert (found.first, found.second) == (pytest.approx(spearman(y, far)), pytest.approx(spearman(y, close)))
    assert found.better == 2
    assert found.low < found.difference < found.high


def test_clusters_are_drawn_together() -> None:
    """Rows repeated ten times in one cluster each tell no more than once."""
    rng = np.random.default_rng(3)
    y, first, second = rng.normal(size=(3, 60))
    whole = paired(y, first, second, draws=400, task="regression")["rmse"]
    repeated = [np.repeat(one, 10) for one in (y, first, second)]
    together = paired(*repeated, clusters=np.repeat(np.arange(60), 10), draws=400, task="regression")["rmse"]
    alone = paired(*repeated, draws=400, task="regression")["rmse"]
    assert (together.low, together.high) == pytest.approx((whole.low, whole.high))
    assert alone.high - alone.low < 0.6 * (whole.high - whole.low)
