"""The alarm: quiet months stay quiet, breaks are caught in time, and neither order nor further looks matter."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from models.alarm import Alarm, alarm
from models.base import expit, logit

MONTHS, DAYS, TOLERANCE = 500, 30, 0.2
LIMITS = {"level": 0.95, "tolerance": TOLERANCE, "rows": 200}
Drawn = np.random.Generator


def leads(rng: Drawn, rows: int, rate: float) -> np.ndarray:
    """Probabilities that average about `rate`; about 10 % they have an AUC of .73."""
    return expit(rng.normal(logit(np.array([rate]))[0] - 0.3 * (1 - 2 * rate), 0.83, rows))


def outcomes(rng: Drawn, truth: np.ndarray, clusters: np.ndarray, dependence: float) -> np.ndarray:
    """0/1 by these probabilities; the outcomes of a cluster share a mood (a Gaussian copula, which leaves them so)."""
    mood = rng.normal(size=clusters.max() + 1)[clusters]
    return (np.sqrt(dependence) * mood + np.sqrt(1 - dependence) * rng.normal(size=len(truth)) < ndtri(truth)) * 1.0


SIDES: dict[str, Callable[[Drawn, np.ndarray], np.ndarray]] = {
    "as said": lambda rng, p: np.zeros(len(p)),
    "within the band": lambda rng, p: rng.uniform(-1, 1, len(p)),
    "as few as allowed": lambda rng, p: -np.ones(len(p)),
    "as many as allowed": lambda rng, p: np.ones(len(p)),
    "as flat as allowed": lambda rng, p: np.where(p < np.median(p), 1.0, -1.0),
}


def quiet_month(rng: Drawn, side: str, each: int, dependence: float) -> Alarm:
    """30 daily looks at 100 to 400 outcomes a day of a model that is sound within the tolerance."""
    days = np.repeat(np.arange(DAYS), rng.integers(100, 401, DAYS))
    p = leads(rng, len(days), rng.uniform(0.02, 0.3))
    lead = np.arange(len(p)) if each == 1 else rng.integers(0, len(p) // each, len(p))
    truth = expit(logit(p) - np.log(1 - TOLERANCE) * SIDES[side](rng, p))
    return alarm(outcomes(rng, truth, lead, dependence), p, blocks=days, clusters=lead, **LIMITS)


@pytest.mark.parametrize("side", SIDES)
def test_of_500_quiet_months_fewer_than_1_in_20_raise_the_alarm(side: str) -> None:
    rng = np.random.default_rng(1)
    kinds = [(1, 0.0), (5, 0.3), (30, 0.3), (30, 0.6)]  # outcomes a lead, and how much they depend on each other
    raised = [quiet_month(rng, side, *kinds[month % len(kinds)]).raised for month in range(MONTHS)]
    assert np.mean(raised) < 0.05, np.mean(raised)


def test_a_bet_on_each_outcome_of_a_lead_would_raise_it_too_often() -> None:
    """What clusters are for."""
    raised = []
    for month in range(100):
        rng = np.random.default_rng(month)
        lead = rng.integers(0, 60, 6000)
        p = leads(rng, 6000, 0.1)
        y = outcomes(rng, expit(logit(p) - np.log(1 - TOLERANCE)), lead, 0.3)
        days = np.arange(6000) // 200
        raised.append([alarm(y, p, blocks=days, clusters=one, **LIMITS).raised for one in (None, lead)])
    alone, together = np.mean(raised, axis=0)
    assert alone > 0.1
    assert together < 0.05


BREAKS: dict[str, Callable[[Drawn, np.ndarray], np.ndarray]] = {
    "scrambled": lambda rng, p: rng.permutation(p),
    "halved": lambda rng, p: p / 2,
    "doubled": lambda rng, p: np.minimum(2 * p, 1),
    "reversed": lambda rng, p: np.sort(p)[::-1][np.argsort(np.argsort(p))],
}


@pytest.mark.parametrize(("sound", "look"), [(0, 25), (2800, 100)])
@pytest.mark.parametrize("how", BREAKS)
def test_breaks_are_caught_within_the_outcomes_that_the_docstring_states(how: str, sound: int, look: int) -> None:
    stated = {  # median, and 95 % quantile
        0: {"scrambled": (300, 750), "halved": (600, 1400), "doubled": (250, 500), "reversed": (75, 150)},
        2800: {"scrambled": (700, 1300), "halved": (1400, 2400), "doubled": (500, 800), "reversed": (200, 300)},
    }
    by_chance = 1.2  # 200 simulations know a 95 % quantile no better
    rng, found = np.random.default_rng(4), []
    for _ in range(200):
        p = leads(rng, sound + 3000, 0.1)
        truth = np.concatenate([p[:sound], BREAKS[how](rng, p[sound:])])
        y = outcomes(rng, truth, np.arange(len(p)), 0.0)
        state = alarm(y, p, level=0.95, tolerance=TOLERANCE, rows=look, blocks=np.arange(len(p)) // look)
        found.append((state.at or 10**6) - sound)
    median, most = np.median(found), np.quantile(found, 0.95, method="inverted_cdf")
    assert median <= by_chance * stated[sound][how][0], median
    assert most <= by_chance * stated[sound][how][1], most


rows_of = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 6), st.booleans(), st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.9, 1.0])),
    min_size=1,
    max_size=60,
)


def judged(rows: list[tuple[int, int, bool, float]], task: str) -> Alarm:
    days, lead, y, p = map(np.array, zip(*rows, strict=True))
    held = np.random.default_rng(0).random((2, 50))
    limits = {"level": 0.95, "tolerance": 0.1, "rows": 1}
    return alarm(y * 1.0, p, blocks=days, clusters=lead, task=task, reference=tuple(held), **limits)


@pytest.mark.parametrize("task", ["binary", "regression"])
@settings(max_examples=60, deadline=None)  # a busy machine is no defect
@given(rows=rows_of, data=st.data())
def test_the_order_as_given_plays_no_part(task: str, rows: list, data: st.DataObject) -> None:
    assert judged(rows, task) == judged(data.draw(st.permutations(rows)), task)


@pytest.mark.parametrize("task", ["binary", "regression"])
@settings(max_examples=60, deadline=None)
@given(rows=rows_of)
def test_further_outcomes_never_lower_the_evidence_nor_take_back_an_alarm(task: str, rows: list) -> None:
    looks = [judged([row for row in rows if row[0] <= day], task) for day in sorted({row[0] for row in rows})]
    for before, after in zip(looks, looks[1:], strict=False):
        assert after.evidence >= before.evidence * (1 - 1e-9)
        assert not before.raised or (after.raised and after.at == before.at)


@settings(max_examples=100, deadline=None)
@given(p=st.floats(0, 1), side=st.floats(-1, 1), others=st.lists(st.floats(0, 1), max_size=4))
def test_no_bet_can_be_expected_to_win_while_odds_are_within_the_tolerance(p: float, side: float, others: list) -> None:
    """By hand: the wealth after one outcome, weighed by the true chances of 1 and 0."""
    from models.alarm import _SHIFTED, _TURNED
    from models.betting import Event, _bets

    said = np.array([p, *others])
    truth = expit(logit(said[:1]) - np.log(0.8) * side)[0]
    came = [np.full(len(said), value) for value in (1.0, 0.0)]
    bets = [_bets(Event(one, said, said, said, _SHIFTED + _TURNED), 0.2, np.zeros(len(said), np.intp)) for one in came]
    for won, lost in zip(*bets, strict=True):
        assert truth * won[0] + (1 - truth) * lost[0] <= 1 + 1e-6


def market(rng: Drawn, rows: int, zeros: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values and their expectations; where `zeros`, four of five are 0."""
    x = rng.normal(size=rows)
    mean = np.exp(3 + 0.6 * x)
    y, comes = rng.gamma(2, mean / 2), expit(x - 1.5)
    return (np.where(rng.random(rows) < comes, y, 0.0), mean * comes) if zeros else (y, mean)


@pytest.mark.parametrize("zeros", [False, True])
def test_a_regression_stays_quiet_or_is_caught(zeros: bool) -> None:
    days, raised = np.arange(3000) // 100, []
    for month in range(150):
        rng = np.random.default_rng(month)
        held, (y, p) = market(rng, 1500, zeros), market(rng, 3000, zeros)
        broken = [(y, p), (1.1 * y, p), (y, rng.permutation(p)), (y, np.sort(p)[::-1][np.argsort(np.argsort(p))])]
        states = [alarm(*one, blocks=days, task="regression", reference=held, **LIMITS) for one in broken]
        raised.append([state.raised for state in states])
    quiet, dearer, scrambled, turned = np.mean(raised, axis=0)
    assert max(quiet, dearer) < 0.05
    assert min(scrambled, turned) >= 0.95


def test_halved_and_doubled_values_are_caught() -> None:
    for month in range(20):
        rng = np.random.default_rng(month)
        held, (y, p) = market(rng, 1500, False), market(rng, 600, False)
        for factor, words in (
            (0.5, "less lies above"),
            (2.0, "errors are larger|more lies above|more high values|tell"),
        ):
            state = alarm(factor * y, p, task="regression", reference=held, **LIMITS)
            assert state.raised
            assert any(word in str(state.figures["points to"]) for word in words.split("|"))


def test_smaller_errors_are_no_reason_to_take_a_model_back() -> None:
    rng = np.random.default_rng(0)
    (y, p), (held_y, held_p) = market(rng, 3000, False), market(rng, 3000, False)
    state = alarm(p + (y - p) / 3, p, task="regression", reference=(held_y, held_p), **LIMITS)
    assert state.figures["errors beyond"] < 0.03
    assert "larger" not in str(state.figures["points to"])


def test_few_outcomes_decide_nothing_and_none_says_so() -> None:
    p = np.full(199, 0.01)
    state = alarm(np.ones(199), p, **LIMITS)
    assert not state.raised
    assert state.evidence == 1e12
    assert "199 outcomes are known, fewer than 200 decide nothing" in state.said
    state = alarm(np.ones(200), np.full(200, 0.01), **LIMITS)
    assert (state.raised, state.at) == (True, 200)
    for none in (alarm([], [], **LIMITS), alarm([np.nan], [0.1], **LIMITS)):
        assert (none.raised, none.evidence, none.outcomes, none.said) == (False, 1.0, 0, "no outcome is known yet")
    held = ([1.0, 2.0], [1.0, 2.0])
    assert alarm([], [], task="regression", reference=held, **LIMITS).outcomes == 0


def test_what_is_no_number_is_no_outcome() -> None:
    rng = np.random.default_rng(0)
    p = leads(rng, 500, 0.1)
    y = outcomes(rng, p, np.arange(500), 0.0)
    holes = alarm(np.append(y, [np.nan, 1.0, 0.0]), np.append(p, [0.1, np.nan, np.inf]), **LIMITS)
    assert holes.figures == {**alarm(y, p, **LIMITS).figures, "left out": 3}


def test_a_sentence_and_figures_for_a_person() -> None:
    rng = np.random.default_rng(0)
    p = leads(rng, 2000, 0.1)
    y = outcomes(rng, rng.permutation(p), np.arange(2000), 0.0)
    state = alarm(y, p, blocks=np.arange(2000) // 100, **LIMITS)
    assert state.raised
    assert state.at is not None
    assert state.at % 100 == 0
    assert state.figures["points to"] == "predictions tell nothing"
    assert state.said.startswith(f"from {state.at:,} of 2,000 outcomes on they show that predictions tell nothing: ")
    assert f"{100 * y.mean():.1f} % came true and {100 * p.mean():.1f} % was said" in state.said
    assert json.loads(json.dumps(state.figures)) == state.figures


@pytest.mark.parametrize(("y", "p"), [([0, 0], [0.0, 0.0]), ([1, 1], [1.0, 1.0]), ([1, 0], [0.0, 1.0])])
def test_certainties_end_in_finite_figures(y: list[int], p: list[float]) -> None:
    state = alarm(y * 200, p * 200, **LIMITS)
    assert 1 <= state.evidence <= 1e12
    assert state.raised == (y == [1, 0])
    assert json.loads(json.dumps(state.figures, allow_nan=False))


def test_one_surprise_is_not_enough() -> None:
    """A lead of whom next to nothing was hoped comes: a model is not taken back for one, however sure it was."""
    p = np.concatenate([np.full(300, 0.1), [1e-9]])
    assert alarm(np.append(np.arange(300) % 10 == 0, True), p, **LIMITS).evidence < 5


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"y": [2.0]}, "0 or 1"),
        ({"p": [1.5]}, "probabilities"),
        ({"p": [0.1, 0.2]}, "differ"),
        ({"clusters": [1, 2]}, "differ"),
        ({"level": 1.0}, "level"),
        ({"tolerance": 1.0}, "tolerance"),
        ({"task": "regression"}, "holdout"),
        ({"task": "regression", "reference": ([np.nan], [1.0])}, "one at least"),
    ],
)
def test_what_makes_no_sense_is_said(given: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        alarm(**{"y": [1.0], "p": [0.5], **LIMITS, **given})
