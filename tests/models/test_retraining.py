"""Retraining: quiet months stay quiet, planted shifts are answered in time, and a broken export is no new market."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import binom

from models.base import expit, logit
from models.inputs import InputError
from models.retraining import (
    Change,
    ColumnChange,
    Judged,
    Limits,
    RateChange,
    SourceAge,
    Window,
    classified,
    decided,
    judged,
    rate_change,
    window,
)

ALPHA, TOLERANCE, ROWS = 0.04, 0.1, 200
LIMITS = Limits(k=3, n=5, cool_down_days=14, monthly_budget=2, gap_days=10)
KINDS = {"missing": 0.1, "share": 0.3, "alpha": 0.01}
START = date(2026, 3, 1)
Drawn = np.random.Generator
Moved = Callable[[Drawn, np.ndarray], np.ndarray]


# A market: what was said in log odds, and what they truly are.


def leads(rng: Drawn, rows: int, rate: float) -> np.ndarray:
    """Log odds that average about those of `rate`; about 10 % they have an AUC of .73."""
    return rng.normal(logit(np.array([rate]))[0] - 0.3 * (1 - 2 * rate), 0.83, rows)


def quiet(rng: Drawn, odds: np.ndarray) -> np.ndarray:
    return odds


def month_of_noise(rng: Drawn) -> Moved:
    """Harmless: a model that is off by a little all month, and each day and each lead by a little more.

    The rate stays within the tolerance, and so does the spread: noise of .2 takes 5 % of it.
    """
    edge = -np.log1p(-TOLERANCE)
    off = rng.uniform(-edge, edge)

    def moved(rng: Drawn, odds: np.ndarray) -> np.ndarray:
        day = np.clip(off + rng.normal(0, 0.05), -edge, edge)
        return odds + day + rng.normal(0, 0.2, len(odds))

    return moved


def month_at_the_edge(rng: Drawn) -> Moved:
    """All month as many, or as few, as the tolerance allows, and as flat."""
    edge = -np.log1p(-TOLERANCE) * rng.choice([-1, 1])
    return lambda rng, odds: edge + flat(1 - TOLERANCE)(rng, odds)


def flat(slope: float) -> Moved:
    """As many as said, told apart less well."""

    def moved(rng: Drawn, odds: np.ndarray) -> np.ndarray:
        low, high, aim = -20.0, 20.0, expit(odds).mean()
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if expit(slope * odds + middle).mean() < aim else (low, middle)
        return slope * odds + low

    return moved


def shifted(by: float) -> Moved:
    return lambda rng, odds: odds + by


def outcomes(rng: Drawn, truth: np.ndarray, lead: np.ndarray, dependence: float) -> np.ndarray:
    """0/1 by these log odds; those of a lead share a mood (a Gaussian copula, which leaves the chances)."""
    if not dependence:
        return (rng.random(len(truth)) < expit(truth)) * 1.0
    mood = rng.normal(size=lead.max() + 1)[lead]
    return (
        np.sqrt(dependence) * mood + np.sqrt(1 - dependence) * rng.normal(size=len(truth)) < ndtri(expit(truth))
    ) * 1.0


def states(rng: Drawn, moved: Moved, sizes: np.ndarray, rate: float, each: int = 1) -> list[Judged]:
    """What each of a row of windows says."""
    found = []
    for rows in sizes:
        odds = leads(rng, rows, rate)
        lead = np.arange(rows) if each == 1 else rng.integers(0, rows // each, rows)
        y = outcomes(rng, moved(rng, odds), lead, 0.0 if each == 1 else 0.3)
        clusters = None if each == 1 else lead
        found.append(judged(y, expit(odds), alpha=ALPHA, tolerance=TOLERANCE, rows=ROWS, clusters=clusters))
    return found


def first_training(found: list[Judged], every: int) -> int | None:
    """Number of the window, from 1, at which training starts, looking at each window as it comes; None where never."""
    windows: list[Window] = []
    for number, one in enumerate(found, 1):
        today = START + timedelta(days=every * number)
        windows.append(window(today, None, one))
        if decided(windows, [], today, LIMITS).train:
            return number
    return None


MONTHS: dict[str, Callable[[Drawn], Moved]] = {
    "as said": lambda rng: quiet,
    "harmless noise": month_of_noise,
    "at the edge": month_at_the_edge,
}


def quiet_months(kind: str, months: int, every: int, *, each: int = 1, seed: int = 0) -> float:
    """Share of quiet months in which training starts.

    Args:
        kind: of `MONTHS`.
        months: simulated, of 30 daily or 5 weekly windows of 500 to 5,000 outcomes, at rates from 2 to 30 %.
        every: days from window to window.
        each: outcomes of a lead.
        seed: of the simulation.
    """
    started = 0
    for month in range(months):
        rng = np.random.default_rng([seed, month])
        sizes = rng.integers(500, 5001, 30 if every == 1 else 5)
        found = states(rng, MONTHS[kind](rng), sizes, rng.uniform(0.02, 0.3), each)
        started += first_training(found, every) is not None
    return started / months


def delays(moved: Moved, rows: int, runs: int, most: int, seed: int = 0) -> np.ndarray:
    """Windows until training starts after a shift; `most` + 1 where it does not within `most`."""
    found = []
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        found.append(first_training(states(rng, moved, np.full(most, rows), 0.1), 1) or most + 1)
    return np.array(found)


@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("kind", MONTHS)
def test_of_quiet_months_next_to_none_trains(kind: str, every: int) -> None:
    months = 40 if every == 1 else 150
    assert quiet_months(kind, months, every, seed=1) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "every"), [("as said", 1), ("harmless noise", 1), ("harmless noise", 7), ("at the edge", 7)]
)
def test_of_1000_quiet_months_fewer_than_1_in_100_train(kind: str, every: int) -> None:
    assert quiet_months(kind, 1000, every) < 0.01


@pytest.mark.soak
@pytest.mark.parametrize(("every", "each"), [(1, 1), (1, 5), (7, 5)])
def test_of_1000_months_at_the_edge_or_of_leads_heard_of_often_fewer_than_1_in_100_train(every: int, each: int) -> None:
    """A 95 % bound, too: 1,000 months that train in 1 % do so 15 times at most."""
    assert quiet_months("at the edge", 1000, every, each=each, seed=2) < 0.01


STATED = {  # windows within which 95 % train, and half of them: see `decided`
    ("more", 1000): (shifted(0.4), 16, 6),
    ("fewer", 1000): (shifted(-0.4), 16, 6),
    ("half", 500): (flat(0.5), 18, 6),
    ("half", 1000): (flat(0.5), 6, 3),
    ("more", 2000): (shifted(0.4), 5, 3),
    ("fewer", 2000): (shifted(-0.4), 5, 3),
    ("half", 2000): (flat(0.5), 4, 3),
    ("none", 500): (flat(0.0), 3, 3),
    ("more", 5000): (shifted(0.4), 3, 3),
    ("fewer", 5000): (shifted(-0.4), 3, 3),
}


def within(name: str, rows: int, runs: int, seed: int) -> None:
    """Whether so many runs are as was stated; of few, a share of .95 is known by chance to 3 standard errors only."""
    moved, most, median = STATED[name, rows]
    found = delays(moved, rows, runs, most, seed)
    least = 0.95 - 3 * np.sqrt(0.95 * 0.05 / runs)
    assert np.mean(found <= most) >= least, np.mean(found <= most)
    assert np.median(found) <= median + 1


@pytest.mark.parametrize(("name", "rows"), STATED)
def test_a_planted_shift_trains_within_the_stated_windows(name: str, rows: int) -> None:
    within(name, rows, 60, seed=3)


@pytest.mark.soak
@pytest.mark.parametrize(("name", "rows"), STATED)
def test_a_planted_shift_trains_within_the_stated_windows_1000_times(name: str, rows: int) -> None:
    within(name, rows, 1000, seed=4)


def test_windows_before_a_shift_do_not_hold_training_up_for_long() -> None:
    for run in range(30):
        rng = np.random.default_rng(run)
        found = states(rng, quiet, np.full(5, 5000), 0.1) + states(rng, shifted(0.4), np.full(4, 5000), 0.1)
        assert first_training(found, 1) in (8, 9)


# One window.


def test_in_the_large_it_is_the_binomials_tail() -> None:
    """Against scipy's, for one probability and no tolerance."""
    for came in (30, 40, 60, 90):
        y, p = np.arange(500) < came, np.full(500, 0.1)
        found = judged(y, p, alpha=0.05, tolerance=0.0, rows=1).figures["p in the large"]
        expected = min(1.0, 2 * min(binom.sf(came - 1, 500, 0.1), binom.cdf(came, 500, 0.1)))
        assert found == pytest.approx(expected, rel=1e-9)


def test_the_loss_is_judged_apart_from_the_rate() -> None:
    rng = np.random.default_rng(0)
    odds = leads(rng, 20_000, 0.1)
    kinds = {name: move(rng, odds) for name, move in (("rate", shifted(0.4)), ("order", flat(0.3)))}
    found = {
        name: judged(outcomes(rng, truth, odds, 0.0), expit(odds), alpha=ALPHA, tolerance=TOLERANCE, rows=ROWS).figures
        for name, truth in kinds.items()
    }
    assert found["rate"]["p in the large"] < 1e-4 < 0.1 < found["rate"]["p of the loss"]
    assert found["order"]["p of the loss"] < 1e-4 < 0.1 < found["order"]["p in the large"]
    assert found["order"]["loss"] > found["order"]["loss said"]


def test_better_than_was_said_is_no_reason_to_train() -> None:
    rng = np.random.default_rng(0)
    odds = leads(rng, 5000, 0.1)
    y = outcomes(rng, flat(1.5)(rng, odds), odds, 0.0)
    assert judged(y, expit(odds), alpha=ALPHA, tolerance=TOLERANCE, rows=ROWS).state == "kept"


def test_outcomes_of_a_lead_are_not_taken_for_independent() -> None:
    rng = np.random.default_rng(1)
    raised = []
    for _ in range(200):
        odds, lead = leads(rng, 3000, 0.1), rng.integers(0, 150, 3000)
        y = outcomes(rng, odds, lead, 0.3)
        limits = {"alpha": 0.04, "tolerance": 0.0, "rows": 200}
        raised.append([judged(y, expit(odds), clusters=one, **limits).state == "broken" for one in (None, lead)])
    alone, together = np.mean(raised, axis=0)
    assert alone > 0.15
    assert together < 0.07


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_order_of_outcomes_plays_no_part(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    odds = leads(rng, 60, 0.4)
    y, lead = outcomes(rng, odds, odds, 0.0), rng.integers(0, 40, 60)
    mixed = np.array(data.draw(st.permutations(range(60))))
    one = judged(y, expit(odds), alpha=0.05, tolerance=0.1, rows=1, clusters=lead)
    other = judged(y[mixed], expit(odds)[mixed], alpha=0.05, tolerance=0.1, rows=1, clusters=lead[mixed])
    assert other.p_value == pytest.approx(one.p_value, rel=1e-9)


def test_few_outcomes_say_nothing_and_none_says_so() -> None:
    p = np.full(300, 0.01)
    few = judged(np.ones(199), p[:199], alpha=ALPHA, tolerance=TOLERANCE, rows=ROWS)
    assert (few.state, few.p_value) == ("unknown", 1.0)
    assert few.said == "199 outcomes are known, fewer than 200 say nothing"
    one_lead = judged(np.ones(300), p, alpha=ALPHA, tolerance=TOLERANCE, rows=ROWS, clusters=np.zeros(300))
    assert (one_lead.state, one_lead.said) == ("unknown", "outcomes of 1 entities are known, fewer than 30 say nothing")
    for y in ([], [np.nan]):
        none = judged(y, [0.1] * len(y), alpha=ALPHA, tolerance=TOLERANCE, rows=ROWS)
        assert (none.state, none.rows, none.said) == ("unknown", 0, "no outcome is known yet")


@pytest.mark.parametrize(("y", "p", "state"), [(0, 0, "kept"), (1, 1, "kept"), (1, 0, "broken"), (0, 1, "broken")])
def test_certainties_end_in_finite_figures(y: int, p: int, state: str) -> None:
    found = judged([y] * 300, [p] * 300, alpha=ALPHA, tolerance=TOLERANCE, rows=ROWS)
    assert found.state == state
    assert json.loads(json.dumps(found.figures, allow_nan=False))


def numbers(rng: Drawn, rows: int) -> tuple[np.ndarray, np.ndarray]:
    mean = np.exp(3 + 0.6 * rng.normal(size=rows))
    return rng.gamma(2, mean / 2), mean


def test_a_regression_stays_quiet_or_is_caught() -> None:
    broken = []
    for run in range(200):
        rng = np.random.default_rng(run)
        held, (y, p) = numbers(rng, 2000), numbers(rng, 1000)
        kinds = [(y, p), (y * 1.4, p), (y * 0.7, p), (y, rng.permutation(p)), (p + (y - p) / 3, p)]
        limits = {"alpha": ALPHA, "tolerance": TOLERANCE, "rows": ROWS, "task": "regression", "reference": held}
        broken.append([judged(*one, **limits).state == "broken" for one in kinds])
    sound, dearer, cheaper, scrambled, _ = np.mean(broken, axis=0)
    assert sound <= 0.04
    assert min(dearer, cheaper, scrambled) >= 0.95


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"y": [2.0]}, "0 or 1"),
        ({"p": [1.5]}, "probabilities"),
        ({"p": [0.1, 0.2]}, "differ"),
        ({"clusters": [1, 2]}, "differ"),
        ({"alpha": 0.0}, "alpha"),
        ({"tolerance": 1.0}, "tolerance"),
        ({"task": "regression"}, "against its holdout"),
        ({"task": "regression", "reference": ([np.nan], [1.0])}, "has no row"),
    ],
)
def test_what_makes_no_sense_is_said(given: dict, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        judged(**{"y": [1.0], "p": [0.5], "alpha": 0.05, "tolerance": 0.1, "rows": 1, **given})


# What kind of change it is.

STILL = [ColumnChange(f"f{number}", False, 0.1, 0.12) for number in range(10)]
MOVED = [replace(one, drifted=number < 4) for number, one in enumerate(STILL)]
IN_TIME, LATE = SourceAge("messages", 1.0, 2.0), SourceAge("validations", 3.5, 2.0)


@pytest.mark.parametrize(
    ("columns", "sources", "rate", "kind", "words"),
    [
        (STILL, [IN_TIME], None, "quiet", "0 of 10"),
        (MOVED, [IN_TIME], None, "data drift", "4 of 10 columns drifted: f0, f1, f2 and 1 more"),
        (MOVED[1:], [], None, "data drift", "3 of 9"),
        ([*MOVED[2:4], *STILL[4:]], [], None, "quiet", "2 of 8"),
        ([*STILL, ColumnChange("score", True, decides=True)], [], None, "data drift", "1 of 11 columns drifted: score"),
        (STILL, [], RateChange(0.1, 0.2, 0.001), "prior shift", "20.0 % came, 10.0 % in training"),
        (STILL, [], RateChange(0.1, 0.12, 0.2), "quiet", "0 of 10"),
        (MOVED, [], RateChange(0.1, 0.2, 0.001), "data drift", "4 of 10"),
        (MOVED, [LATE], RateChange(0.1, 0.2, 0.001), "quality break", "'validations' is 3.5 days old, 2 days"),
        ([*MOVED, ColumnChange("g", True, 0.1, 0.9)], [], None, "quality break", "'g' lacks 90.0 %, 10.0 % before"),
        ([ColumnChange("g", False, 0.2, 0.3)], [], None, "quality break", "'g' lacks 30.0 %"),
        ([ColumnChange("g", False, 0.97, 1.0)], [], None, "quality break", "'g' lacks 100.0 %"),
        ([ColumnChange("g", False, 0.9, 0.1)], [], None, "quiet", "0 of 1"),
        ([], [], None, "quiet", "0 of 0"),
        ([], [SourceAge("leads", float("inf"), 1.0)], None, "quality break", "'leads' is empty"),
    ],
)
def test_kinds_of_change_are_told_apart(columns: list, sources: list, rate: RateChange, kind: str, words: str) -> None:
    found = classified(columns, sources, rate, **KINDS)
    assert found.kind == kind
    assert words in found.said


@given(st.permutations([*MOVED, ColumnChange("g", True, 0.1, 0.9), ColumnChange("h", True, 0.0, 1.0)]))
def test_the_order_of_columns_plays_no_part(columns: list[ColumnChange]) -> None:
    found = classified(columns, [LATE], None, **KINDS)
    assert found == classified(sorted(columns, key=lambda one: one.name), [LATE], None, **KINDS)
    assert found.columns == ("validations", "g", "h")


def test_a_rate_that_moved_is_told_from_chance() -> None:
    rng = np.random.default_rng(0)
    seen = {}
    for now in (0.1, 0.105, 0.2):
        changes = [rate_change(rng.random(1000) < now, 0.1, tolerance=TOLERANCE) for _ in range(200)]
        seen[now] = np.mean([one is not None and one.p_value <= KINDS["alpha"] for one in changes])
    assert seen[0.1] <= 0.01
    assert seen[0.105] <= 0.01
    assert seen[0.2] == 1.0
    assert rate_change([np.nan], 0.1, tolerance=0.1) is None
    with pytest.raises(InputError, match="share of ones in training"):
        rate_change([1.0], 0.0, tolerance=0.1)


# What a window, and several, come to.

KEPT, BROKEN = Judged("kept", 500, 0.5, "kept", {}), Judged("broken", 500, 0.001, "fewer came", {})
UNKNOWN = Judged("unknown", 0, 1.0, "no outcome is known yet", {})


@pytest.mark.parametrize(
    ("change", "outcomes", "state", "why"),
    [
        (None, None, "unknown", "nothing was compared"),
        (None, UNKNOWN, "unknown", "no outcome is known yet"),
        (Change("quiet", "still"), UNKNOWN, "good", "still; no outcome is known yet"),
        (Change("quiet", "still"), BROKEN, "bad", "outcomes are not as was said: fewer came"),
        (Change("data drift", "moved"), KEPT, "bad", "data drift: moved"),
        (Change("prior shift", "more"), None, "bad", "prior shift: more"),
        (Change("quality break", "late"), BROKEN, "quality break", "late"),
        (None, KEPT, "good", "kept"),
    ],
)
def test_what_a_window_comes_to(change: Change | None, outcomes: Judged | None, state: str, why: str) -> None:
    assert window(START, change, outcomes) == Window(START, state, why)


def days(marks: str) -> list[Window]:
    """Daily windows from the first of March on: g(ood), b(ad), q(uality break), u(nknown), and - for none."""
    names = {"g": "good", "b": "bad", "q": "quality break", "u": "unknown"}
    return [Window(START + timedelta(days=day), names[m], f"day {day}") for day, m in enumerate(marks) if m != "-"]


def end(marks: str) -> date:
    return START + timedelta(days=len(marks) - 1)


@pytest.mark.parametrize(
    ("marks", "train"),
    [
        ("", False),
        ("bb", False),
        ("bbb", True),
        ("bbg", False),  # the newest is good
        ("bbgg", False),
        ("bbggb", True),
        ("bbgggb", False),  # the first one is no longer among the last five
        ("bqbqb", True),
        ("bbq", False),  # a platform is down: wait until it is back
        ("qqqqqqq", False),
        ("bqqqqqb", False),
        ("bbu", False),
        ("bubub", True),
        ("uuuuu", False),
        ("bb---------b", True),
        ("bb----------b", False),  # too far apart to be of one kind
        ("bbb---------", True),
        ("bbb-----------", False),  # nothing new for too long
    ],
)
def test_when_training_starts(marks: str, train: bool) -> None:
    assert decided(days(marks), [], end(marks), LIMITS).train == train


def test_the_reason_is_one_sentence_with_the_windows() -> None:
    found = decided(days("bgbb"), [], end("bgbb"), LIMITS)
    assert found.reason == (
        "3 of the last 4 windows are bad (2026-03-01, 2026-03-03, 2026-03-04) and the newest is: day 3"
    )
    assert json.loads(json.dumps(found.to_dict()))["windows"][1] == {
        "date": "2026-03-02",
        "state": "good",
        "why": "day 1",
    }
    quiet = decided(days("bbq"), [], end("bbq"), LIMITS)
    assert quiet.reason == (
        "2 of the last 3 windows are bad, at least 3 of 5, and the newest, have to be;"
        " the newest (2026-03-03) is a quality break: day 2"
    )
    none = decided([], [date(2026, 2, 1)], START, LIMITS)
    assert none.reason == (
        "there is no window of the 10 days up to 2026-03-01 since the training of 2026-02-01: nothing is decided"
    )


def test_a_cool_down_holds_training_back_until_it_is_over() -> None:
    marks = "-bbbbbbbbbbbbbbbb"
    for day in range(3, 17):
        today = START + timedelta(days=day)
        found = decided(days(marks), [START], today, LIMITS)
        assert (found.wanted, found.train) == (True, day >= 14)
        if not found.train:
            assert found.until == date(2026, 3, 15)
            assert found.held == "cool-down until 2026-03-15, after the training of 2026-03-01"
            assert found.reason.endswith(f"not trained: {found.held}")


def test_a_budget_is_of_a_calendar_month() -> None:
    free = replace(LIMITS, cool_down_days=0)
    marks = "-" * 20 + "bbb"
    found = decided(days(marks), [date(2026, 3, 2), date(2026, 3, 9)], end(marks), free)
    assert (found.train, found.trained, found.until) == (False, 2, date(2026, 4, 1))
    assert found.held == "budget used, 2 of 2 trainings in 2026-03"
    assert decided(days(marks), [date(2026, 2, 27), date(2026, 3, 9)], end(marks), free).train
    none = decided(days(marks), [], end(marks), replace(free, monthly_budget=0))
    assert (none.train, none.wanted, none.until) == (False, True, None)
    both = decided(days(marks), [date(2026, 3, 2), date(2026, 3, 19)], end(marks), LIMITS)
    assert both.until == date(2026, 4, 2) or both.until == date(2026, 4, 1)


def test_two_runs_for_one_date_train_once() -> None:
    first = decided(days("bbb"), [], end("bbb"), LIMITS)
    assert decided(days("bbb"), [], end("bbb"), LIMITS) == first
    again = decided(days("bbb"), [end("bbb")], end("bbb"), LIMITS)
    assert (first.train, again.train, again.wanted) == (True, False, False)
    assert again.reason == "a training as of 2026-03-03 has answered 2026-03-03"


def test_windows_before_a_training_are_answered_by_it() -> None:
    free = replace(LIMITS, cool_down_days=0)
    assert not decided(days("bbbbb"), [START + timedelta(days=2)], end("bbbbb"), free).train
    assert decided(days("bbbbb"), [START + timedelta(days=1)], end("bbbbb"), free).train


marked = st.lists(st.sampled_from("gbqu-"), max_size=25).map("".join)
trained_on = st.lists(st.integers(-20, 24), max_size=3)


@settings(max_examples=200)
@given(marks=marked, trained=trained_on, data=st.data())
def test_late_windows_in_any_order_give_the_same_answer(marks: str, trained: list[int], data: st.DataObject) -> None:
    dates, windows = [START + timedelta(days=day) for day in trained], days(marks)
    mixed = data.draw(st.permutations(windows))
    expected = decided(windows, dates, end(marks), LIMITS)
    assert decided(mixed, dates[::-1], end(marks), LIMITS) == expected
    assert decided([*mixed, *windows], dates, end(marks), LIMITS) == expected
    future = [Window(end(marks) + timedelta(days=day), "bad", "to come") for day in (1, 2, 3)]
    assert decided([*future, *mixed], dates, end(marks), LIMITS) == expected


@settings(max_examples=200)
@given(marks=marked, trained=trained_on)
def test_a_break_is_never_worse_than_a_good_window(marks: str, trained: list[int]) -> None:
    """By hand: k of the last n, the newest, and nothing that holds it back."""
    dates = [START + timedelta(days=day) for day in trained]
    for other in "qug":
        same = decided(days(marks.replace("q", other)), dates, end(marks), LIMITS)
        assert same.train == decided(days(marks), dates, end(marks), LIMITS).train
    found = decided(days(marks), dates, end(marks), LIMITS)
    if found.train:
        assert sum(one.state == "bad" for one in found.windows) >= 3
        assert len(found.windows) <= 5
        assert found.windows[-1].state == "bad"
        assert all(one.date > max(dates, default=date.min) for one in found.windows)
        assert all((end(marks) - one).days >= 14 for one in dates)
        assert sum(one.month == end(marks).month for one in dates) < 2


def test_of_two_verdicts_on_a_date_the_last_counts() -> None:
    mended = [*days("bbb"), replace(days("bbb")[2], state="good")]
    assert not decided(mended, [], end("bbb"), LIMITS).train


@settings(max_examples=100)
@given(marks=st.lists(st.sampled_from("gb"), min_size=60, max_size=90).map("".join))
def test_over_any_past_the_cool_down_and_the_budget_are_kept(marks: str) -> None:
    """The DAG's days, one after the other."""
    trainings: list[date] = []
    for day in range(len(marks)):
        today = START + timedelta(days=day)
        if decided(days(marks[: day + 1]), trainings, today, LIMITS).train:
            trainings.append(today)
    assert all((b - a).days >= 14 for a, b in zip(trainings, trainings[1:], strict=False))
    assert all(sum(one.month == month for one in trainings) <= 2 for month in range(1, 13))


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [({"k": 0}, "k has to lie"), ({"k": 6}, "k has to lie"), ({"cool_down_days": -1}, "cool_down_days has to be")],
)
def test_limits_that_make_no_sense_are_refused(limits: dict, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        replace(LIMITS, **limits)
