"""LeadScorer as a whole: what it keeps, how it follows a moving market, its reasons."""

import random
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models import LeadScorer, load_state
from models.base import expit
from models.inputs import InputError
from models.metrics import auc, ece, logloss
from models.scorer.folds import Fold

TREES = {"num_boost_round": 60, "min_child_samples": 20, "num_leaves": 7}
QUICK: dict[str, dict[str, Any]] = {
    "lightgbm": TREES,
    "xgboost": {"num_boost_round": 60, "max_depth": 3},
    "linear": {"C": 0.1},
    "network": {"epochs": 6, "units": (8,)},
}
NO_NETWORK = {name: QUICK[name] for name in ("lightgbm", "linear")}


def market(rows: int, seed: int = 0, shift: float = 0.0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Columns of every kind, labels, and the true probabilities; `shift` is how far the odds climb over the rows."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    city = rng.choice(["north", "south", "west"], rows).astype(object)
    odds = -1 + a + 1.5 * (b > 0.5) * (city == "north") + shift * np.linspace(-0.5, 0.5, rows)
    p = expit(odds)
    a[rng.random(rows) < 0.1] = np.nan
    return pd.DataFrame({"a": a, "b": b, "city": city}), (rng.random(rows) < p).astype(int), p


def times(rows: int) -> np.ndarray:
    return np.datetime64("2026-01-01", "us") + np.arange(rows) * np.timedelta64(1, "h")


@pytest.fixture(scope="module")
def fitted() -> LeadScorer:
    X, y, _ = market(3000)
    return LeadScorer(members=QUICK).fit(X, y)


def test_is_as_good_as_its_best_member_and_calibrated(fitted: LeadScorer) -> None:
    X, y, p = market(6000, seed=1)
    found = fitted.expected(X)
    best = min(logloss(y, member.expected(X)) for member in fitted.members_.values())
    assert logloss(y, found) <= best + 0.002
    assert auc(y, found) > auc(y, p) - 0.03
    assert ece(y, found) < 0.03


def test_what_does_not_help_is_not_kept(fitted: LeadScorer) -> None:
    assert set(fitted.trials_) == set(QUICK)  # all were tried
    assert set(fitted.members_) == set(fitted.weights_) < set(QUICK)
    assert all(weight > 0 for weight in fitted.weights_.values())
    assert {name.partition("/")[0] for name in fitted.state() if "/" in name} == set(fitted.weights_)


def test_every_kind_of_member_survives_its_state() -> None:
    X, y, _ = market(600)
    for kind in QUICK:
        scorer = LeadScorer(members={kind: QUICK[kind]}).fit(X, y)
        again = load_state(scorer.state(), threads=2)
        np.testing.assert_array_equal(again.expected(X), scorer.expected(X))
        assert isinstance(again, LeadScorer)
        np.testing.assert_array_equal(again.explain(X).raw, scorer.explain(X).raw)


def test_the_newest_rows_set_the_level_of_a_climbing_market() -> None:
    X, y, _ = market(8000, shift=6)
    past, future = slice(0, 7000), slice(7000, 7500)
    timed = LeadScorer(members=NO_NETWORK).fit(X[past], y[past], event_time=times(7000))
    plain = LeadScorer(members=NO_NETWORK).fit(X[past], y[past])
    assert logloss(y[future], timed.expected(X[future])) < logloss(y[future], plain.expected(X[future])) - 0.05
    assert abs(timed.expected(X[future]).mean() - y[future].mean()) < 0.1
    assert all(trial.half_life is not None for trial in timed.trials_.values())


def test_a_horizon_may_be_the_time_that_a_model_serves() -> None:
    X, y, _ = market(2000)
    at, rows = times(2000), np.random.default_rng(0).permutation(2000)
    days = LeadScorer(members=NO_NETWORK, horizon=timedelta(days=5)).fit(X.iloc[rows], y[rows], event_time=at[rows])
    judged = days.judged_[2]
    np.testing.assert_array_equal(judged, np.arange(1040, 2000))  # eight times 120 hours leave half of them before
    numbers = LeadScorer(members=NO_NETWORK, horizon=timedelta(hours=120))
    with pytest.raises(InputError, match="not int64"):
        numbers.fit(X, y, event_time=np.arange(2000))


@pytest.mark.parametrize("horizon", [0, 1.0, timedelta(0), float("nan")])
def test_a_horizon_is_a_share_or_a_time(horizon: float | timedelta) -> None:
    with pytest.raises(InputError, match="horizon must be a share between 0 and 1, or a time above 0"):
        LeadScorer(horizon=horizon)


def test_a_quiet_market_forgets_little() -> None:
    X, y, _ = market(4000, seed=3)
    timed = LeadScorer(members=NO_NETWORK).fit(X, y, event_time=times(4000))
    later, labels, _ = market(4000, seed=4)
    plain = LeadScorer(members=NO_NETWORK).fit(X, y)
    assert logloss(labels, timed.expected(later)) < logloss(labels, plain.expected(later)) + 0.01


@pytest.mark.parametrize("top", [1, 3])
def test_reasons_add_up_to_the_score_before_calibration(fitted: LeadScorer, top: int) -> None:
    X, _, _ = market(300, seed=5)
    why = fitted.explain(X, top=top)
    assert why.features.shape == why.contributions.shape == (300, top)
    np.testing.assert_allclose(why.base + why.contributions.sum(axis=1) + why.rest, why.raw)
    np.testing.assert_allclose(why.raw, fitted.raw_matrix(fitted.inputs_.encode(X)), atol=1e-5)
    np.testing.assert_allclose(why.base, why.base[0])
    assert (np.diff(np.abs(why.contributions), axis=1) <= 0).all()


def test_reasons_of_a_linear_member_are_its_terms() -> None:
    X, y, _ = market(1000)
    X = X[["a", "b"]].fillna(0.0)
    scorer = LeadScorer(members={"linear": {}}).fit(X, y)
    why = scorer.explain(X, top=2)
    by_input = np.take_along_axis(why.contributions, np.argsort(why.features, axis=1), axis=1)
    for at, name in enumerate("ab"):
        slope = np.polyfit(X[name], by_input[:, at], 1)
        np.testing.assert_allclose(np.polyval(slope, X[name]), by_input[:, at], atol=1e-9)
        assert by_input[:, at].mean() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(why.rest, 0, atol=1e-9)


def test_what_a_network_says_is_rest() -> None:
    X, y, _ = market(1000)
    why = LeadScorer(members={"network": QUICK["network"]}).fit(X, y).explain(X)
    assert not why.contributions.any()
    assert why.rest.std() > 0.1


def test_values_are_learnt_as_values() -> None:
    rng = np.random.default_rng(0)
    X, _, p = market(3000)
    y = 1000 * p + rng.normal(size=3000)
    scorer = LeadScorer("regression", members=QUICK).fit(X, y)
    later, _, truth = market(1000, seed=1)
    assert np.corrcoef(scorer.predict(later), 1000 * truth)[0, 1] > 0.9
    with pytest.raises(InputError, match="no probabilities"):
        scorer.predict_proba(later)


def test_few_rows_or_few_of_one_outcome_leave_the_linear_member_alone() -> None:
    X, y, _ = market(60)
    assert set(LeadScorer().fit(X, y).members_) == {"linear"}
    X, _, _ = market(3000)
    rare = np.zeros(3000)
    rare[::400] = 1
    assert set(LeadScorer(members=QUICK).fit(X, rare).members_) == {"linear"}


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"task": "ranking"}, "task must be one of binary, regression, not 'ranking'"),
        ({"members": {"forest": {}}}, "not 'forest'"),
        ({"members": {}}, "needs a member"),
    ],
)
def test_unusable_parameters_are_refused(params: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        LeadScorer(**params)


def test_too_many_reasons_are_refused(fitted: LeadScorer) -> None:
    with pytest.raises(InputError, match="top must be 1 to 3"):
        fitted.explain(market(5)[0], top=4)


def test_intervals_of_values_hold_what_they_say_and_survive_the_state() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(6000, 3)), columns=list("abc"))
    y = (X["a"] + np.exp(X["b"]) * rng.normal(size=6000)).to_numpy()
    scorer = LeadScorer("regression", members=NO_NETWORK).fit(X.iloc[:3000], y[:3000])
    later = X.iloc[3000:]
    for coverage in (0.5, 0.9):
        low, high = scorer.predict_interval(later, coverage).T
        assert np.mean((low <= y[3000:]) & (y[3000:] <= high)) == pytest.approx(coverage, abs=0.04)
    assert np.corrcoef(np.log(high - low), later["b"])[0, 1] > 0.5  # wide where it is hard
    again = load_state(scorer.state())
    assert isinstance(again, LeadScorer)
    np.testing.assert_array_equal(again.predict_interval(later), scorer.predict_interval(later))
    expected, ends = scorer.expected_within(later, 0.5)
    np.testing.assert_array_equal(expected, scorer.expected(later))
    np.testing.assert_array_equal(ends, scorer.predict_interval(later, 0.5))


def test_ranges_of_probabilities_hold_the_truth_of_leads_that_differ() -> None:
    """Leads with a trait that no column shows: only their several outcomes tell how far they are apart."""
    rng = np.random.default_rng(1)
    lead = np.repeat(np.arange(4000), 3)[rng.permutation(12_000)]
    X = pd.DataFrame({"a": rng.normal(size=4000)[lead], "b": rng.normal(size=12_000)})
    truth = expit(-1 + X["a"].to_numpy() + rng.normal(size=4000)[lead])
    y = (rng.random(12_000) < truth).astype(int)
    scorer = LeadScorer(members=NO_NETWORK).fit(X, y, event_time=times(12_000), groups=lead)
    low, high = scorer.predict_interval(X, 0.9).T
    # Of the judged rows some hundreds have a later outcome of their lead: the spread is known to a fifth or so
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.9, abs=0.05)
    assert ((low <= scorer.expected(X)) & (scorer.expected(X) <= high)).all()
    with pytest.raises(InputError, match="groups do not fit"):
        scorer.fit(X, y, groups=lead[1:])


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_twenty_rows_give_an_interval_too(task: Any) -> None:
    X, y, _ = market(20)
    found = LeadScorer(task).fit(X, y).predict_interval(X)
    assert found.shape == (20, 2)
    assert (found[:, 0] <= found[:, 1]).all()


def test_rows_are_thinned_only_where_both_outcomes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.scorer import trial

    monkeypatch.setattr(trial, "_ENOUGH", 100)
    labels = np.zeros(1000)
    labels[0] = 1
    ground = trial.Ground(np.zeros((1000, 1)), labels, None, [], "binary", "squared")
    fold = Fold(np.arange(1000), np.empty(0, dtype=np.intp))
    assert len(trial._thinned(fold, ground).learn) == 1000  # every tenth from the newest would lose the only 1
    labels[9] = 1
    thinned = trial._thinned(fold, ground).learn
    np.testing.assert_array_equal(thinned, np.arange(9, 1000, 10))


def test_a_network_leaves_the_generators_of_others_alone() -> None:
    X, y, _ = market(300)
    random.seed(5)
    np.random.seed(5)  # the generator that Keras seeds too
    wanted = random.random(), float(np.random.random())
    random.seed(5)
    np.random.seed(5)
    LeadScorer(members={"network": QUICK["network"]}).fit(X, y)
    assert (random.random(), float(np.random.random())) == wanted


def test_weights_count_in_the_range_as_they_do_in_the_score() -> None:
    """Zeros that were drawn one in ten and weigh ten: the range lies where that of all of them does."""
    X, y, p = market(30_000, seed=7)
    kept = (y == 1) | (np.arange(len(y)) % 10 == 0)
    members = {"linear": QUICK["linear"]}
    weighed = LeadScorer(members=members).fit(X[kept], y[kept], sample_weight=np.where(y[kept] == 1, 1.0, 10.0))
    low, high = weighed.predict_interval(X).T
    assert (high - low).mean() < 0.2
    assert abs((low.mean() + high.mean()) / 2 - p.mean()) < 0.03
