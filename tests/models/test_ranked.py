"""A served rank: where a prediction stands among those of the training rows, kept in native files."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import percentileofscore

from models import LeadScorer, load_state
from models.inputs import InputError
from models.members import LightGBM, Linear
from models.ranked import POINTS, Ranked, unranked

Floats = npt.NDArray[np.float64]
finite = st.floats(-1e6, 1e6)
several = st.lists(finite | st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)


def spent(rows: int, seed: int = 0) -> tuple[dict[str, Floats], Floats]:
    """Mostly nothing, now and then a sum that grows with `habit`."""
    rng = np.random.default_rng(seed)
    habit = rng.normal(size=rows)
    bought = rng.random(rows) < 0.2
    return {"habit": habit, "noise": rng.normal(size=rows)}, bought * np.exp(habit) * 100


def ranking(values: Floats) -> Ranked:
    X, y = spent(50)
    return Ranked.of(Linear("regression").fit(X, y), values)


@settings(max_examples=60, deadline=None)
@given(several, several)
def test_ranks_agree_with_scipy_where_few_values_are_kept_whole(training: list[float], asked: list[float]) -> None:
    ranked = ranking(np.array(training))
    found = ranked.rank(np.array(training))
    assert found == pytest.approx([percentileofscore(training, value, kind="mean") for value in training])
    others = ranked.rank(np.array(asked))
    lower = [percentileofscore(training, value, kind="strict") for value in asked]
    upper = [percentileofscore(training, value, kind="weak") for value in asked]
    assert (others >= np.array(lower) - 1e-9).all()
    assert (others <= np.array(upper) + 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(several, several)
def test_a_higher_value_never_ranks_lower(training: list[float], asked: list[float]) -> None:
    ranks = ranking(np.array(training)).rank(np.sort(np.array(asked)))
    assert (np.diff(ranks) >= 0).all()
    assert ((ranks >= 0) & (ranks <= 100)).all()


def test_an_interval_is_ranked_by_its_ends() -> None:
    X, y = spent(300)
    inner = LeadScorer("regression", members={"linear": {}}).fit(X, y)
    ranked = Ranked.of(inner, inner.expected(X))
    ranks, ends = ranked.expected_within(X, 0.8)
    np.testing.assert_array_equal(ranks, ranked.expected(X))
    assert ends is not None
    np.testing.assert_array_equal(ends[:, 1], ranked.rank(inner.predict_interval(X, 0.8)[:, 1]))
    assert (ends[:, 0] <= ends[:, 1]).all()
    assert ranking(np.array([1.0, 2.0])).expected_within(spent(5)[0])[1] is None  # a linear model knows none


def test_many_values_are_kept_as_quantiles_and_rank_to_a_tenth() -> None:
    values = np.random.default_rng(0).lognormal(size=20_000)
    values[:8_000] = 0.0
    ranked = ranking(values)
    assert len(ranked.values_) <= POINTS
    found = ranked.rank(values)
    exact = np.array([percentileofscore(values, value, kind="mean") for value in values[::97]])
    assert np.abs(found[::97] - exact).max() <= 0.1
    assert found.mean() == pytest.approx(50, abs=0.1)
    assert set(found[:8_000]) == {20.0}  # all that are alike share the middle of their places
    assert ranked.rank(np.array([-1.0, 1e9])).tolist() == [0.0, 100.0]


def test_it_fits_predicts_and_comes_back_from_its_files() -> None:
    X, y = spent(2_000)
    ranked = Ranked(LightGBM("regression", num_boost_round=20, early_stopping_rounds=None)).fit(X, y)
    inner = unranked(ranked)
    fresh, _ = spent(300, seed=1)
    ranks = ranked.expected(fresh)
    assert np.array_equal(ranked.predict(fresh), ranks)
    assert np.array_equal(np.argsort(inner.expected(fresh), kind="stable"), np.argsort(ranks, kind="stable")) or (
        np.corrcoef(np.argsort(np.argsort(inner.expected(fresh))), ranks)[0, 1] > 0.99
    )
    assert ranked.expected(X).mean() == pytest.approx(50, abs=0.2)
    back = load_state(ranked.state())
    assert isinstance(back, Ranked)
    assert np.array_equal(back.expected(fresh), ranks)
    assert np.array_equal(unranked(back).expected(fresh), inner.expected(fresh))
    matrix = ranked.inputs_.encode(fresh)
    assert ranked.contributions_matrix(matrix).sum(axis=1) == pytest.approx(inner.expected(fresh))
    assert ranked.importance() == inner.importance()
    assert len(ranked.expected({name: values[:0] for name, values in fresh.items()})) == 0


def test_what_can_not_be_ranked_is_one_sentence() -> None:
    with pytest.raises(InputError, match="only a regression is ranked"):
        Ranked(Linear("binary"))
    for values in (np.array([]), np.array([1.0, np.nan]), np.array([np.inf])):
        with pytest.raises(InputError, match="finite predictions"):
            ranking(values)
    with pytest.raises(InputError, match="no probabilities"):
        ranking(np.array([1.0])).predict_proba(spent(3)[0])
