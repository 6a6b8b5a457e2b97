"""Every estimator, by the same rules."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from models import Estimator, LeadScorer, load_state
from models.inputs import InputError
from models.members import LightGBM, Linear, Network, XGBoost
from models.metrics import auc

ROUNDS = 30
SMALL_MEMBERS = {
    "lightgbm": {"num_boost_round": ROUNDS, "min_child_samples": 10},
    "linear": {"C": 0.1},
}


def lightgbm() -> LightGBM:
    return LightGBM(num_boost_round=ROUNDS, min_child_samples=10)


def xgboost() -> XGBoost:
    return XGBoost(num_boost_round=ROUNDS, max_depth=3)


MAKERS: dict[str, Callable[[], Estimator]] = {
    "lightgbm": lightgbm,
    "xgboost": xgboost,
    "linear": Linear,
    "network": lambda: Network(epochs=8, units=(8,)),
    "scorer": lambda: LeadScorer(members=SMALL_MEMBERS),
}


def market(rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Columns of every kind with gaps, and labels that depend on them."""
    rng = np.random.default_rng(seed)
    amount = rng.normal(50, 20, rows)
    city = rng.choice(["north", "south", "west"], rows).astype(object)
    member = rng.random(rows) < 0.4
    odds = -1 + 0.1 * (amount - 50) + np.where(city == "north", 1.5, 0) + member
    y = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(int)
    amount[rng.random(rows) < 0.1] = np.nan
    city[rng.random(rows) < 0.1] = None
    members = member.astype(object)
    members[rng.random(rows) < 0.1] = None
    return pd.DataFrame({"amount": amount, "city": city, "member": members, "empty": np.full(rows, np.nan)}), y


@pytest.fixture(scope="module", params=list(MAKERS))
def fitted(request: pytest.FixtureRequest) -> Estimator:
    return MAKERS[request.param]().fit(*market(1500))


def test_learns(fitted: Estimator) -> None:
    X, y = market(1000, seed=1)
    p = fitted.predict_proba(X)
    assert p.shape == (1000, 2)
    assert p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert auc(y, p[:, 1]) > 0.75


def test_state_round_trip_predicts_the_same_bits(fitted: Estimator) -> None:
    X, _ = market(1000, seed=2)
    again = load_state(fitted.state(), threads=2)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert again.state().keys() == fitted.state().keys()
    assert again.importance() == pytest.approx(fitted.importance())


def test_state_is_text_json_or_ubj_and_no_pickle(fitted: Estimator) -> None:
    for name, data in fitted.state().items():
        assert name.endswith((".json", ".txt", ".ubj", ".h5"))
        assert b"sklearn" not in data
        assert not data.startswith(b"\x80")
        if name.endswith(".json"):
            json.loads(data)


def test_reasons_add_up_and_the_strongest_come_first(fitted: Estimator) -> None:
    X, _ = market(200, seed=2)
    why = fitted.explain(X, top=2)
    raw = fitted.raw_matrix(fitted.inputs_.encode(X))
    np.testing.assert_allclose(why.base + why.contributions.sum(axis=1) + why.rest, raw, atol=1e-5)
    assert (np.abs(why.contributions[:, 0]) >= np.abs(why.contributions[:, 1])).all()
    if fitted.attributes:
        assert "amount" in np.array(fitted.inputs_.names)[why.features[:, 0]]
    with pytest.raises(InputError, match="top must be 1 to 4"):
        fitted.explain(X, top=5)


def test_column_order_and_further_columns_do_not_matter(fitted: Estimator) -> None:
    X, _ = market(50, seed=3)
    other = X[list(X)[::-1]].assign(further="x")
    np.testing.assert_array_equal(fitted.predict_proba(other), fitted.predict_proba(X))


def test_unseen_categories_count_as_missing(fitted: Estimator) -> None:
    X, _ = market(50, seed=4)
    unseen = fitted.predict_proba(X.assign(city="nowhere"))
    np.testing.assert_array_equal(unseen, fitted.predict_proba(X.assign(city=None)))


def test_infinite_numbers_count_as_missing(fitted: Estimator) -> None:
    X, _ = market(50, seed=4)
    np.testing.assert_array_equal(
        fitted.predict_proba(X.assign(amount=np.inf)), fitted.predict_proba(X.assign(amount=np.nan))
    )


def test_missing_column_is_named(fitted: Estimator) -> None:
    X, _ = market(5)
    with pytest.raises(InputError, match="'amount' is missing"):
        fitted.predict_proba(X.drop(columns="amount"))


def test_text_in_a_number_is_named(fitted: Estimator) -> None:
    X, _ = market(5)
    with pytest.raises(InputError, match="'amount' must be a number, not 'much'"):
        fitted.predict_proba(X.assign(amount="much"))


def test_one_row_alone_or_among_many_or_as_a_dict(fitted: Estimator) -> None:
    X, _ = market(1000, seed=5)
    many = fitted.predict_proba(X)[:20]
    alone = np.vstack([fitted.predict_proba(X.iloc[i : i + 1]) for i in range(20)])
    lists = {name: X[name].iloc[:20].astype(object).where(X[name].iloc[:20].notna(), None).tolist() for name in X}
    np.testing.assert_allclose(alone, many, rtol=1e-12)
    np.testing.assert_array_equal(fitted.predict_proba(lists), fitted.predict_proba(X.iloc[:20]))


def test_no_row_gives_no_probability(fitted: Estimator) -> None:
    assert fitted.predict_proba(market(10)[0].iloc[:0]).shape == (0, 2)


def test_importance_is_a_share_and_finds_what_matters(fitted: Estimator) -> None:
    shares = fitted.importance()
    assert list(shares) == ["amount", "city", "member", "empty"]
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.__getitem__) == "amount"
    assert shares["empty"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("kind", list(MAKERS))
def test_fitting_twice_gives_the_same(kind: str) -> None:
    X, y = market(400)
    a, b = (MAKERS[kind]().fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", list(MAKERS))
def test_event_time_decides_the_order_not_the_rows(kind: str) -> None:
    X, y = market(600)
    times = np.datetime64("2026-01-01", "us") + np.arange(600) * np.timedelta64(1, "h")
    shuffled = np.random.default_rng(0).permutation(600)
    a = MAKERS[kind]().fit(X, y, event_time=times).predict_proba(X)
    b = MAKERS[kind]().fit(X.iloc[shuffled], y[shuffled], event_time=times[shuffled]).predict_proba(X)
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", [lightgbm, xgboost])
def test_early_stopping_looks_at_the_latest_rows(make: Callable[[], LightGBM | XGBoost]) -> None:
    """Where the latest rows contradict the earlier ones, no tree helps, and growing stops at once."""
    X, y = market(2000)
    contradicted = np.where(np.arange(2000) >= 1700, 1 - y, y)
    steady, turned = make(), make()
    steady.early_stopping_rounds = turned.early_stopping_rounds = 3
    steady.fit(X, y)
    turned.fit(X, contradicted)
    assert turned.rounds_ < 5 < steady.rounds_


@pytest.mark.parametrize(
    ("labels", "message"), [([0] * 20, "one class only"), ([0, 2] * 10, "not 2.0"), (["a", "b"] * 10, "must be 0, 1")]
)
def test_unusable_labels_are_refused(labels: list[object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Linear().fit(market(20)[0], labels)


def test_linear_agrees_with_scikit_learn_on_plain_numbers() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(3, 5, (800, 4)), columns=list("abcd"))
    y = (X["a"] + rng.normal(size=800) > 3).astype(int)
    oracle = make_pipeline(StandardScaler(), LogisticRegression(C=1.0)).fit(X, y)
    ours = Linear(C=1.0).fit(X, y.to_numpy())
    np.testing.assert_allclose(ours.predict_proba(X), oracle.predict_proba(X), atol=2e-3)


def test_incomplete_or_broken_state_is_refused() -> None:
    X, y = market(200)
    state = lightgbm().fit(X, y).state()
    with pytest.raises(InputError, match="incomplete"):
        load_state({name: data for name, data in state.items() if name != "lightgbm.txt"})
    with pytest.raises(InputError, match="another"):
        load_state({**state, "estimator.json": b'{"kind": "forest"}'})
    broken = xgboost().fit(X, y).state() | {"xgboost.ubj": b"nonsense"}
    with pytest.raises(InputError, match="unreadable"):
        load_state(broken)
