"""The sceptic's cases: what a gate must not let through, and what it must."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import gate
from models.gate.resamples import bounds
from tests.models.gate_windows import PARAMS, calibrated, equals, expit, nested, params

QUICK = params(draws=400)
TASKS = ("binary", "regression")


def by_name(checks: list[gate.Check]) -> dict[str, gate.Check]:
    return {check.name: check for check in checks}


def better(task: str, by: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Labels, a good model's predictions, those of one that is worse by noise, and the guess."""
    rng = np.random.default_rng(1)
    y, [ours, _], _ = equals(rng, 1000, 4, noise=0.0, task=task)
    wrong = rng.normal(0, by, len(y))
    theirs = expit(np.log(ours / (1 - ours)) + wrong) if task == "binary" else ours + wrong
    return y, ours, theirs, 0.3 if task == "binary" else 0.1


def every(y, ours, theirs, guess, task, **more) -> list[gate.Check]:
    """All checks at once."""
    size = np.size(ours)
    columns = {"state": np.resize(np.array(["AL", "TX"], dtype=object), size)}
    return [
        *gate.against(y, ours, theirs, guess, task=task, params=QUICK, **more),
        *gate.first(y, ours, guess, theirs, is_linear=False, task=task, params=QUICK, **more),
        gate.calibration(y, ours, task=task, params=QUICK),
        *gate.segments(y, ours, theirs, guess, columns, task=task, params=QUICK, **more),
        gate.not_worse("shadow", y, ours, theirs, task=task, params=QUICK, **more),
    ]


@pytest.mark.parametrize("task", TASKS)
def test_a_better_one_passes_everything_and_says_by_how_much(task: str) -> None:
    y, ours, theirs, guess = better(task)
    checks = every(y, ours, theirs, guess, task)
    assert {check.name: check.said for check in checks if check.status != "passed"} == {}
    assert gate.passed(checks)
    assert json.loads(json.dumps([dict(check.figures) for check in checks], allow_nan=False))
    loss = checks[0]
    assert loss.figures["decides"]
    assert 0 < loss.figures["lower"] < loss.figures["gain"] < loss.figures["upper"]
    assert f"{loss.figures['gain']:+.4f}" in loss.said
    assert not loss.said.endswith(".")


@pytest.mark.parametrize("task", TASKS)
def test_a_slightly_worse_one_and_the_same_one_fail_by_the_loss(task: str) -> None:
    y, good, worse, guess = better(task)
    slightly = 0.97 * good + 0.03 * worse[::-1]
    for ours in (slightly, good):
        checks = gate.against(y, ours, good, guess, task=task, params=QUICK)
        assert [check.status for check in checks] == ["failed", "passed", "passed"]
        assert "not shown to be better" in checks[0].said
    assert gate.not_worse("shadow", y, good, good, task=task, params=QUICK).status == "passed"
    assert gate.not_worse("shadow", y, worse, good, task=task, params=QUICK).status == "failed"


def test_a_gain_beyond_chance_that_is_smaller_than_asked_for_fails() -> None:
    y, ours, theirs, guess = better("binary")
    asked = params(draws=400, loss={"tolerance": 0.0, "gain": 0.2})
    check = gate.against(y, ours, theirs, guess, task="binary", params=asked)[0]
    assert check.status == "failed"
    assert check.figures["lower"] > 0
    assert "a gain of 0.2 is asked for" in check.said


@pytest.mark.parametrize("task", TASKS)
def test_better_on_average_and_bad_in_one_segment_fails_there_only(task: str) -> None:
    y, ours, theirs, guess = better(task, by=1.0)
    bad = np.arange(len(y)) % 10 == 0  # 400 rows
    ours = np.where(bad, np.random.default_rng(2).permutation(ours), ours)
    states = np.where(bad, "TX", np.where(np.arange(len(y)) % 10 < 5, "AL", "CA")).astype(object)
    assert gate.passed(gate.against(y, ours, theirs, guess, task=task, params=QUICK))
    columns = {"state": states, "carrier": np.resize(["a", "b"], len(y))}
    for other in (theirs, None):
        state, carrier = gate.segments(y, ours, other, guess, columns, task=task, params=QUICK)
        assert (state.status, carrier.status) == ("failed", "passed")
        assert "in TX (400 rows)" in state.said
        assert "AL" not in state.said


def test_rare_values_are_pooled_and_unjudged_where_still_too_few() -> None:
    y, ours, theirs, guess = better("binary")
    numbers = np.arange(len(y))
    columns = {
        "pooled": np.where(numbers < 500, numbers % 50, 99),
        "few": np.where(numbers < 250, None, "x"),
        "alone": np.full(len(y), np.nan),
    }
    found = by_name(gate.segments(y, ours, theirs, guess, columns, task="binary", params=QUICK))
    assert found["segment pooled"].figures["judged"] == 2  # 99, and 50 others together
    assert found["segment few"].figures["others (1 together): rows not judged"] == 250
    assert found["segment alone"].figures["missing: rows"] == 4000
    short = gate.segments(y[:250], ours[:250], None, guess, {"a": columns["few"][:250]}, task="binary", params=QUICK)
    assert [check.status for check in short] == ["not applicable"]
    entity = np.where(numbers < 2000, 0, numbers)
    half = gate.segments(
        y, ours, theirs, guess, {"a": numbers < 2000}, task="binary", params=QUICK, clusters=entity
    )  # one entity is a whole value: its rows say next to nothing
    assert half[0].figures["True: rows not judged"] == 2000


def test_no_segment_declared_does_not_apply() -> None:
    y, ours, theirs, guess = better("binary")
    [check] = gate.segments(y, ours, theirs, guess, {}, task="binary", params=QUICK)
    assert check.status == "not applicable"
    assert not gate.passed([check])
    assert not gate.passed([])


BROKEN = {
    "NaN prediction": (lambda y, p: (y, np.where(np.arange(len(p)) == 5, np.nan, p)), "1 of the 4000 predictions"),
    "infinite prediction": (lambda y, p: (y, np.where(np.arange(len(p)) == 5, np.inf, p)), "1 of the 4000 predictions"),
    "NaN label": (lambda y, p: (np.where(np.arange(len(p)) == 5, np.nan, y), p), "1 of the 4000 labels"),
    "no row": (lambda y, p: (y[:0], p[:0]), "no row"),
    "few rows": (lambda y, p: (y[:199], p[:199]), "199 rows to judge it on, and 200 are asked for"),
    "another length": (lambda y, p: (y, p[:-1]), "are not 4000 numbers"),
    "no numbers": (lambda y, p: (y, np.full(len(p), "x")), "are not 4000 numbers"),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_computed_fails_with_its_reason(case: str, task: str) -> None:
    y, ours, theirs, guess = better(task)
    change, reason = BROKEN[case]
    labels, predicted = change(y, ours)
    other = theirs[: len(labels)]
    for check in every(labels, predicted, other, guess, task):
        assert check.status == "failed", check
        assert reason in check.said


def test_labels_and_probabilities_out_of_range_fail() -> None:
    y, ours, theirs, guess = better("binary")
    assert "no probabilities" in every(y, ours + 0.5, theirs, guess, "binary")[0].said
    assert "neither 0 nor 1" in every(y * 2, ours, theirs, guess, "binary")[0].said
    champion = gate.against(y, ours, theirs * np.nan, guess, task="binary", params=QUICK)
    assert {check.status for check in champion} == {"failed"}
    assert "of the champion" in champion[0].said


def test_a_window_of_one_class_has_no_auc() -> None:
    _, ours, theirs, guess = better("binary")
    checks = by_name(every(np.zeros(len(ours)), ours, theirs, guess, "binary"))
    assert checks["AUC"].status == "failed"
    assert "the same label" in checks["AUC"].said
    assert not gate.passed(checks.values())
    values = every(np.full(len(ours), 7.0), ours, theirs, guess, "regression")
    assert {check.status for check in values[:6]} == {"failed"}


def test_one_entity_or_a_few_tell_nothing_of_chance() -> None:
    y, ours, theirs, guess = better("binary")
    for entities in (1, 29):
        checks = gate.against(
            y, ours, theirs, guess, task="binary", params=QUICK, clusters=np.arange(len(y)) % entities
        )
        assert {check.status for check in checks} == {"failed"}
        assert f"from {entities} entities only" in checks[0].said


@pytest.mark.parametrize("task", TASKS)
def test_a_constant_beats_nothing_even_where_the_guess_is_off(task: str) -> None:
    y, _, theirs, guess = better(task)
    same = np.full(len(y), y.mean())  # drift makes the guess of the training worse than this
    found = by_name(gate.first(y, same, guess + 0.5, theirs, is_linear=True, task=task, params=QUICK))
    centre = found["base rate" if task == "binary" else "mean"]
    assert centre.status == "failed"
    assert centre.figures["lower"] > 0
    assert f"everybody the same ({y.mean():.4g})" in centre.said
    versus = gate.against(y, same, theirs, guess, task=task, params=QUICK)
    assert {check.status for check in versus} == {"failed"}


@pytest.mark.parametrize("task", TASKS)
def test_a_first_model_is_or_beats_the_linear_one(task: str) -> None:
    y, good, worse, guess = better(task)

    def statuses(ours: np.ndarray, linear: np.ndarray | None, is_linear: bool = False) -> list[str]:
        checks = gate.first(y, ours, guess, linear, is_linear=is_linear, task=task, params=QUICK)
        return [check.status for check in checks]

    assert statuses(good, worse) == ["passed", "passed"]
    assert statuses(worse, good) == ["passed", "failed"]
    assert statuses(worse, None, is_linear=True) == ["passed", "passed"]
    assert statuses(good, None) == ["passed", "failed"]


def test_probabilities_that_are_off_fail_and_calibrated_ones_pass_on_few_rows_too() -> None:
    rng = np.random.default_rng(3)
    y, p = calibrated(rng)
    off = gate.calibration(y, expit(np.log(p / (1 - p)) + 0.4), task="binary", params=PARAMS)
    assert off.status == "failed"
    assert off.figures["left"] == pytest.approx(off.figures["error"] - off.figures["by chance"])
    few = [gate.calibration(*calibrated(rng, 500), task="binary", params=PARAMS) for _ in range(100)]
    assert np.mean([check.figures["error"] for check in few]) > 0.045  # nearly all of it chance
    assert abs(np.mean([check.figures["left"] for check in few])) < 0.004
    assert np.mean([check.status == "passed" for check in few]) >= 0.95


def test_values_that_are_off_fail_and_those_that_are_right_on_average_pass_whatever_the_spread() -> None:
    rng = np.random.default_rng(4)
    left = []
    for _ in range(100):
        p = rng.gamma(2, 10, 1000)
        y = rng.gamma(0.5, 2 * p)  # mean p, and a spread that grows with it
        left.append(gate.calibration(y, p, task="regression", params=PARAMS).figures["left"])
    assert abs(np.mean(left)) < 0.006
    assert gate.calibration(y, 1.3 * p, task="regression", params=PARAMS).status == "failed"


@pytest.mark.parametrize(
    ("held", "task", "status"),
    [
        (None, "binary", "not applicable"),
        (None, "regression", "not applicable"),
        (math.nan, "binary", "failed"),
        (0.83, "regression", "passed"),
        (0.829, "regression", "failed"),
        (0.97, "regression", "passed"),
        (0.98, "regression", "failed"),
        (1.0, "binary", "passed"),
        (0.8, "binary", "failed"),
    ],
)
def test_intervals_hold_what_they_promise(held: float | None, task: str, status: str) -> None:
    assert gate.coverage(held, task=task, params=PARAMS).status == status


def test_ranges_of_few_rows_may_miss_by_chance_and_those_of_many_may_not() -> None:
    _, p = calibrated(np.random.default_rng(5))
    ends = np.column_stack([p - 0.06, p + 0.06])
    few = gate.held_by_chance(p[:200], ends[:200], params=PARAMS)
    many = gate.held_by_chance(p, ends, params=PARAMS)
    assert few < 0.5 < 0.8 < many
    assert gate.coverage(0.6, task="binary", params=PARAMS, least=few).status == "passed"
    assert gate.coverage(0.6, task="binary", params=PARAMS, least=many).status == "failed"
    assert gate.held_by_chance(p[:0], ends[:0], params=PARAMS) is None


def test_more_looks_widen_bounds_even_beyond_what_resamples_tell() -> None:
    y, ours, theirs, entity = nested(np.random.default_rng(6), 400, 5)
    lower = [
        gate.against(y, ours, theirs, 0.3, task="binary", params=QUICK, clusters=entity, looks=looks)[0].figures
        for looks in (1, 5, 50, 1000)
    ]
    assert [one["draws"] for one in lower][2:] == [5000, 5000]
    assert all(first["lower"] > second["lower"] for first, second in zip(lower, lower[1:], strict=False))


def test_bounds_beyond_the_resamples_are_those_of_a_normal_variable() -> None:
    drawn = np.random.default_rng(7).normal(size=200_000)
    for tail, quantile in ((0.05, 1.645), (0.001, 3.09), (1e-6, 4.753)):
        lower, upper = bounds(drawn, 0.0, tail)
        assert (-lower, upper) == (pytest.approx(quantile, rel=0.06), pytest.approx(quantile, rel=0.06))
    assert bounds(np.full(10, np.nan), 0.0, 0.05) == (-math.inf, math.inf)
    some = np.where(np.arange(1000) < 100, np.nan, 1.0)
    assert bounds(some, 1.0, 0.05) == (-math.inf, math.inf)


windows = st.tuples(st.integers(0, 10_000), st.sampled_from(TASKS))


@settings(max_examples=25, deadline=None)
@given(windows)
def test_swapping_the_models_turns_gains_round(drawn: tuple[int, str]) -> None:
    seed, task = drawn
    y, [one, two], entity = equals(np.random.default_rng(seed), 60, 4, task=task)
    there = gate.against(y, one, two, 0.3, task=task, params=QUICK, clusters=entity)
    back = gate.against(y, two, one, 0.3, task=task, params=QUICK, clusters=entity)
    for first, second in zip(there[:2], back[:2], strict=True):
        assert first.figures["gain"] == pytest.approx(-second.figures["gain"])
        assert first.figures["lower"] == pytest.approx(-second.figures["upper"])
    assert not (there[0].status == "passed" and back[0].status == "passed")


@settings(max_examples=25, deadline=None)
@given(windows)
def test_the_order_of_the_rows_does_not_matter(drawn: tuple[int, str]) -> None:
    seed, task = drawn
    rng = np.random.default_rng(seed)
    y, [one, two], entity = equals(rng, 160, 4, task=task)
    state = rng.integers(0, 2, len(y))
    order = rng.permutation(len(y))
    found = []
    for at in (np.arange(len(y)), order):
        checks = gate.against(y[at], one[at], two[at], 0.3, task=task, params=QUICK, clusters=entity[at])
        columns = {"state": state[at]}
        checks += gate.segments(y[at], one[at], two[at], 0.3, columns, task=task, params=QUICK, clusters=entity[at])
        found.append(checks)
    for first, second in zip(*found, strict=True):
        assert first.status == second.status
        numbers = {key: value for key, value in first.figures.items() if isinstance(value, float)}
        assert numbers == pytest.approx({key: second.figures[key] for key in numbers}, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 50), st.floats(-100, 100))
def test_the_unit_of_a_value_does_not_matter(seed: int, scale: float, shift: float) -> None:
    y, [one, two], entity = equals(np.random.default_rng(seed), 60, 4, task="regression")
    found = []
    for a, b in ((1.0, 0.0), (scale, shift)):
        given_ = (y * a + b, one * a + b, two * a + b, 0.1 * a + b)
        found.append(gate.against(*given_, task="regression", params=QUICK, clusters=entity))
    for first, second in zip(*found, strict=True):
        assert first.figures["lower"] == pytest.approx(second.figures["lower"], abs=1e-7)
