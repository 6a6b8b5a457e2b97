"""What every estimator does at the edges: it works as told here, or says in a sentence why it can't."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models import Estimator, LeadScorer
from models.base import TASKS, Task
from models.inputs import InputError
from models.members import LightGBM, Linear, Network, XGBoost
from models.metrics import auc

TREES: dict[str, Any] = {"num_boost_round": 12, "early_stopping_rounds": 4}
TINY: dict[str, dict[str, Any]] = {
    "lightgbm": {**TREES, "min_child_samples": 10},
    "linear": {"C": 0.1},
}


def scorer(task: Task) -> LeadScorer:
    return LeadScorer(task, members=TINY, folds=2, forward_folds=2, half_lives=())


MAKERS: dict[str, Callable[[Task], Estimator]] = {
    "lightgbm": lambda task: LightGBM(task, **TREES, min_child_samples=10),
    "xgboost": lambda task: XGBoost(task, **TREES, max_depth=3),
    "linear": Linear,
    "network": lambda task: Network(task, epochs=3, units=(8,)),
    "scorer": scorer,
}
ROWS = 500


# A network costs seconds where the others cost milliseconds: one task of it tells the same.
PAIRS = [(kind, task) for kind in MAKERS for task in TASKS if (kind, task) != ("network", "regression")]


@pytest.fixture(params=list(MAKERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=PAIRS, ids=lambda pair: "-".join(pair))
def pair(request: pytest.FixtureRequest) -> tuple[str, Task]:
    found: tuple[str, Task] = request.param
    return found


@pytest.fixture
def task(pair: tuple[str, Task]) -> Task:
    return pair[1]


@pytest.fixture
def make(pair: tuple[str, Task]) -> Callable[[], Estimator]:
    return lambda: MAKERS[pair[0]](pair[1])


def market(task: Task, rows: int = ROWS, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Two numbers and a text; the outcome follows the first number."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "amount": rng.normal(50, 20, rows),
            "noise": rng.normal(size=rows),
            "city": rng.choice(["north", "south", "west"], rows),
        }
    )
    signal = (X["amount"].to_numpy() - 50) / 10
    if task == "regression":
        return X, 100 + 10 * signal + rng.normal(size=rows)
    return X, (rng.random(rows) < 1 / (1 + np.exp(-signal))).astype(float)


def same(a: Estimator, b: Estimator, X: pd.DataFrame) -> None:
    np.testing.assert_allclose(a.expected(X), b.expected(X), rtol=1e-6, atol=1e-9)


def sane(found: np.ndarray, task: Task, rows: int) -> None:
    """Finite, one a row, and a probability where it is to be one."""
    assert found.shape == (rows,)
    assert np.isfinite(found).all()
    assert task == "regression" or ((found >= 0) & (found <= 1)).all()


def test_one_class_is_refused(kind: str) -> None:
    X, _ = market("binary")
    for only in (0.0, 1.0):
        with pytest.raises(
            InputError, match=r"labels hold one class only \(500 rows\): there is nothing to tell apart"
        ):
            MAKERS[kind]("binary").fit(X, np.full(ROWS, only))


def test_one_class_among_the_rows_that_count_is_refused(kind: str) -> None:
    X, y = market("binary")
    with pytest.raises(InputError, match=rf"one class only \({int(y.sum())} rows\)"):
        MAKERS[kind]("binary").fit(X, y, sample_weight=y)


def test_one_value_alone_is_what_a_regression_predicts(kind: str) -> None:
    X, _ = market("regression")
    found = MAKERS[kind]("regression").fit(X, np.full(ROWS, 7.5)).predict(X)
    np.testing.assert_allclose(found, 7.5, atol=0.5 if kind == "network" else 1e-3)


@pytest.mark.parametrize("timed", [False, True])
def test_twenty_rows_are_enough(make: Callable[[], Estimator], task: Task, timed: bool) -> None:
    X, y = market(task, 20)
    times = pd.date_range("2026-01-01", periods=20) if timed else None
    unseen, _ = market(task, 100, seed=1)
    sane(make().fit(X, y, event_time=times).expected(unseen), task, 100)


def test_two_rows_are_no_crash(make: Callable[[], Estimator], task: Task) -> None:
    X, _ = market(task, 2)
    sane(make().fit(X, [0.0, 1.0]).expected(X), task, 2)


@pytest.mark.parametrize("value", [3.0, np.nan, None, "same"])
def test_a_column_of_one_value_adds_nothing(make: Callable[[], Estimator], task: Task, value: Any) -> None:
    X, y = market(task)
    X["odd"] = pd.Series([value] * ROWS, dtype=object if value is None or isinstance(value, str) else float)
    model = make().fit(X, y)
    sane(model.expected(X), task, ROWS)
    assert model.importance()["odd"] == pytest.approx(0, abs=1e-6)
    terms = model.contributions_matrix(model.inputs_.encode(X))
    np.testing.assert_allclose(terms[:, 3], 0, atol=1e-6)


def test_nothing_but_columns_of_one_value_gives_the_base(make: Callable[[], Estimator], pair: tuple[str, Task]) -> None:
    kind, task = pair
    _, y = market(task)
    X = pd.DataFrame({"constant": np.ones(ROWS), "empty": np.full(ROWS, np.nan)})
    found = make().fit(X, y).expected(X)
    sane(found, task, ROWS)
    assert np.ptp(found) < 1e-9
    near = (0.15 if task == "binary" else 10.0) if kind == "network" else 0.02 if task == "binary" else 1.0
    assert found[0] == pytest.approx(y.mean(), abs=near)


def test_ten_thousand_texts_do_not_drown_a_number(make: Callable[[], Estimator], task: Task) -> None:
    """Each row has a text of its own, so that none is seen again."""
    rows = 10_000
    X, y = market(task, rows)
    X["id"] = [f"text {i}" for i in range(rows)]
    unseen, outcomes = market(task, 2000, seed=1)
    unseen["id"] = [f"other {i}" for i in range(2000)]
    model = make().fit(X, y)
    found = model.expected(unseen)
    sane(found, task, 2000)
    if task == "binary":
        assert auc(outcomes, found) > 0.8
    else:
        assert np.corrcoef(outcomes, found)[0, 1] > 0.8


def test_a_text_never_seen_is_a_missing_one(make: Callable[[], Estimator], task: Task) -> None:
    X, y = market(task)
    model = make().fit(X, y)
    missing = X.assign(city=pd.Series([None] * ROWS, dtype=object))
    np.testing.assert_array_equal(model.expected(X.assign(city="nowhere")), model.expected(missing))


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_number_is_a_missing_one(make: Callable[[], Estimator], task: Task, value: float) -> None:
    X, y = market(task)
    some = np.arange(ROWS) % 7 == 0
    infinite = X.assign(amount=np.where(some, value, X["amount"]))
    missing = X.assign(amount=np.where(some, np.nan, X["amount"]))
    a, b = make().fit(infinite, y), make().fit(missing, y)
    np.testing.assert_array_equal(a.expected(infinite), b.expected(missing))


def test_huge_numbers_are_no_crash(make: Callable[[], Estimator], task: Task) -> None:
    X, y = market(task)
    X["noise"] = np.where(np.arange(ROWS) % 50 == 0, 1e300, X["noise"])
    sane(make().fit(X, y).expected(X), task, ROWS)


def test_columns_may_stand_in_any_order_and_others_beside(make: Callable[[], Estimator], task: Task) -> None:
    X, y = market(task)
    model = make().fit(X, y)
    other = X[["city", "noise", "amount"]].assign(further="x")
    np.testing.assert_array_equal(model.expected(other), model.expected(X))


def test_a_missing_column_is_named(make: Callable[[], Estimator], task: Task) -> None:
    X, y = market(task)
    model = make().fit(X, y)
    with pytest.raises(InputError, match=r"'city' is missing from the input \(1 in all\): did you mean 'citty'\?"):
        model.expected(X.rename(columns={"city": "citty"}))


def test_no_column_and_two_of_one_name_are_refused(make: Callable[[], Estimator], task: Task) -> None:
    X, y = market(task)
    with pytest.raises(InputError, match="there is no feature to learn from"):
        make().fit(X[[]], y)
    twice = pd.concat([X, X[["amount"]]], axis=1)
    with pytest.raises(InputError, match="'amount' stands there 2 times"):
        make().fit(twice, y)


def test_a_row_of_weight_zero_is_absent(make: Callable[[], Estimator], task: Task) -> None:
    """Its label and its text are not learnt either: the model is the one without the row."""
    X, y = market(task)
    kept = np.arange(ROWS) % 5 != 0
    wrong = np.where(kept, y, 1 - y if task == "binary" else 1e6)
    strange = X.assign(city=np.where(kept, X["city"], "strange"), amount=np.where(kept, X["amount"], 1e6))
    weights = np.where(kept, 1 + np.arange(ROWS) % 3, 0)
    a = make().fit(strange, wrong, sample_weight=weights)
    b = make().fit(X[kept], y[kept], sample_weight=weights[kept])
    assert a.inputs_ == b.inputs_
    same(a, b, X)


def test_weights_that_are_all_alike_change_nothing_much(make: Callable[[], Estimator], task: Task) -> None:
    X, y = market(task)
    a, b = make().fit(X, y), make().fit(X, y, sample_weight=np.ones(ROWS))
    near = 0.02 if task == "binary" else 2.0
    np.testing.assert_allclose(a.expected(X), b.expected(X), atol=near)


def test_a_heavier_row_counts_for_more(make: Callable[[], Estimator], task: Task) -> None:
    """Two halves that say the contrary: the heavy one is believed."""
    X, y = market(task)
    both = pd.concat([X, X], ignore_index=True)
    contrary = np.concatenate([y, 1 - y if task == "binary" else 200 - y])
    heavy = np.repeat([50.0, 1.0], ROWS)
    rows = np.random.default_rng(0).permutation(2 * ROWS)
    found = [
        make().fit(both.iloc[rows], contrary[rows], sample_weight=one[rows]).expected(X) for one in (heavy, heavy[::-1])
    ]
    assert np.corrcoef(found[0], X["amount"])[0, 1] > 0.3
    assert np.corrcoef(found[1], X["amount"])[0, 1] < -0.3


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (np.zeros(ROWS), "all weights are 0: there is no row to learn from"),
        (np.where(np.arange(ROWS) == 3, -1.0, 1.0), "a weight must be 0 or more, not -1.0"),
        (np.where(np.arange(ROWS) == 3, np.nan, 1.0), "a weight must be 0 or more, not nan"),
        (np.where(np.arange(ROWS) == 3, np.inf, 1.0), "a weight must be 0 or more, not inf"),
        (np.ones(ROWS - 1), "499 weights do not fit 500 rows"),
        (["much"] * ROWS, "weights must be numbers"),
    ],
)
def test_unusable_weights_are_refused(make: Callable[[], Estimator], task: Task, weights: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make().fit(*market(task), sample_weight=weights)


def test_time_may_go_backwards(make: Callable[[], Estimator], task: Task) -> None:
    X, y = market(task)
    times = pd.Series(pd.date_range("2026-01-01", periods=ROWS, freq="h"))
    back = np.arange(ROWS)[::-1]
    a = make().fit(X, y, event_time=times)
    b = make().fit(X.iloc[back], y[back], event_time=times.iloc[back])
    c = make().fit({name: X[name].tolist()[::-1] for name in X}, y[back], event_time=list(times[::-1]))
    same(a, b, X)
    same(a, c, X)


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ([pd.NaT, *pd.date_range("2026-01-01", periods=ROWS - 1)], "an event time is missing"),
        ([None, *[datetime(2026, 1, 1)] * (ROWS - 1)], "an event time is missing"),
        (np.full(ROWS, np.datetime64("NaT")), "an event time is missing"),
        (pd.date_range("2026-01-01", periods=ROWS - 1), "499 event times do not fit 500 rows"),
        (["noon", *[datetime(2026, 1, 1)] * (ROWS - 1)], "event times can't be put in order"),
    ],
)
def test_unusable_times_are_refused(make: Callable[[], Estimator], task: Task, times: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make().fit(*market(task), event_time=times)


@pytest.mark.parametrize(
    ("task_of", "odd", "sentence"),
    [
        ("binary", 2, "labels must be 0, 1, true or false, not 2.0"),
        ("binary", -1, "not -1.0"),
        ("binary", np.nan, "not nan"),
        ("binary", None, "not nan"),
        ("binary", "yes", "labels must be 0, 1, true or false$"),
        ("regression", np.inf, "labels must be finite numbers, not inf"),
        ("regression", np.nan, "labels must be finite numbers, not nan"),
        ("regression", "much", "labels must be finite numbers$"),
    ],
)
def test_a_target_outside_of_its_range_is_refused(kind: str, task_of: Task, odd: Any, sentence: str) -> None:
    X, y = market(task_of)
    with pytest.raises(InputError, match=sentence):
        MAKERS[kind](task_of).fit(X, [odd, *y[1:]])


def test_labels_that_do_not_fit_are_refused(make: Callable[[], Estimator], task: Task) -> None:
    X, y = market(task)
    with pytest.raises(InputError, match="499 labels do not fit 500 rows"):
        make().fit(X, y[1:])
    with pytest.raises(InputError, match=r"labels must be one column, not of shape \(500, 2\)"):
        make().fit(X, np.column_stack([y, y]))


def test_a_regression_has_no_probabilities_and_a_class_is_0_or_1(kind: str) -> None:
    with pytest.raises(InputError, match="a regression has no probabilities: use predict"):
        MAKERS[kind]("regression").fit(*market("regression")).predict_proba(market("regression")[0])
    X, y = market("binary")
    model = MAKERS[kind]("binary").fit(X, y)
    np.testing.assert_array_equal(model.predict(X), (model.predict_proba(X)[:, 1] >= 0.5).astype(float))
