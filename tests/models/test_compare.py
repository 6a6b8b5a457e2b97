"""Paired intervals: against resampling by hand, and how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from models import metrics
from models.compare import LABEL, MEASURES, _Ranks, measures, paired, resampled

GROUPS, ROWS_EACH = 200, 4


def market(rng: np.random.Generator, groups: int) -> tuple[np.ndarray, ...]:
    """Labels, two rivals' probabilities and entities; an entity has a mood, and either rival a prejudice about it."""
    entity = np.repeat(np.arange(groups), ROWS_EACH)
    mood, prejudice, other = rng.normal(0, 1, (3, groups))
    x = rng.normal(size=len(entity))
    y = (rng.random(len(entity)) < 1 / (1 + np.exp(1.2 - x - mood[entity]))).astype(float)
    first = 1 / (1 + np.exp(1 - 0.8 * x - 0.5 * prejudice[entity]))
    second = 1 / (1 + np.exp(1 - 0.8 * x - 0.25 * prejudice[entity] - 0.5 * other[entity]))
    return y, first, second, entity


def test_95_percent_hold_the_truth_if_entities_are_drawn_together_and_too_few_if_not() -> None:
    """1,500 samples from a population whose differences are known to three digits."""
    population = market(np.random.default_rng(1), 300_000)
    truth = {name: one.difference for name, one in paired(*population, draws=1).items()}
    rng, samples = np.random.default_rng(2), 1500
    held = dict.fromkeys(truth, 0)
    naive = 0
    for sample in range(samples):
        y, first, second, entity = market(rng, GROUPS)
        found = paired(y, first, second, entity, draws=300, seed=sample)
        for name, one in found.items():
            held[name] += one.low <= truth[name] <= one.high
        if sample < 500:
            loss = paired(y, first, second, draws=300, seed=sample)["logloss"]
            naive += loss.low <= truth["logloss"] <= loss.high
    for name in ("logloss", "auc", "brier"):
        assert 0.93 <= held[name] / samples <= 0.97, (name, held[name] / samples)
    assert held["ece"] / samples >= 0.95  # noise makes every ECE larger: these intervals are wide
    assert naive / 500 < 0.92


rows = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from([0.1, 0.25, 0.5, 0.9]),
        st.sampled_from([0.1, 0.3, 0.5, 0.8]),
        st.integers(0, 4),
    ),
    min_size=4,
    max_size=40,
)


@settings(max_examples=60, deadline=None)  # a busy machine is no defect
@given(rows, st.integers(0, 1000))
def test_every_resample_is_what_repeating_the_rows_gives(made: list, seed: int) -> None:
    y, first, second, entity = (np.array(column, dtype=float) for column in zip(*made, strict=True))
    groups = np.unique(entity, return_inverse=True)[1]
    one, two = resampled(y, [first, second], groups, 3, np.random.default_rng(seed), "binary")
    found = {name: two[name] - one[name] for name in one}
    picked = np.random.default_rng(seed).integers(0, groups.max() + 1, (3, groups.max() + 1))
    for place, drawn in enumerate(picked):
        again = np.concatenate([np.flatnonzero(groups == group) for group in drawn])
        gap = metrics.logloss(y[again], second[again]) - metrics.logloss(y[again], first[again])
        assert found["logloss"][place] == pytest.approx(gap)
        brier = np.mean((second[again] - y[again]) ** 2) - np.mean((first[again] - y[again]) ** 2)
        assert found["brier"][place] == pytest.approx(brier)
        assert one[LABEL][place] == pytest.approx(y[again].mean())
        if len(set(y[again])) == 2:
            auc = roc_auc_score(y[again], second[again]) - roc_auc_score(y[again], first[again])
            assert found["auc"][place] == pytest.approx(auc)
        else:
            assert np.isnan(found["auc"][place])


@settings(deadline=None)
@given(rows)
def test_drawing_everything_once_is_the_measure_itself(made: list) -> None:
    y, p, _, entity = (np.array(column, dtype=float) for column in zip(*made, strict=True))
    if len(set(y)) == 2:
        groups = np.unique(entity, return_inverse=True)[1]
        once = np.ones((1, groups.max() + 1))
        assert _Ranks(y, p, groups).auc(once)[0] == pytest.approx(measures(y, p)["auc"])


def test_who_is_better_follows_the_measure() -> None:
    rng = np.random.default_rng(3)
    p = rng.beta(2, 5, 4000)
    y = (rng.random(4000) < p).astype(float)
    noisy = np.clip(p + rng.normal(0, 0.2, 4000), 0.01, 0.99)
    found = paired(y, noisy, p, draws=200)
    assert {name: one.better for name, one in found.items()} == dict.fromkeys(MEASURES["binary"], 2)
    assert {one.better for one in paired(y, p, noisy, draws=200).values()} == {1}
    same = paired(y, p, p, draws=200)
    assert all((one.low, one.high, one.better) == (0, 0, 0) for one in same.values())


def test_the_same_seed_gives_the_same_interval_whatever_the_names_of_the_entities() -> None:
    y, first, second, entity = market(np.random.default_rng(4), 50)
    named = np.array([f"lead{number:04d}" for number in entity], dtype=object)
    assert paired(y, first, second, entity, draws=100) == paired(y, first, second, named, draws=100)


def test_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        paired([], [], [])


def test_resamples_of_values_are_those_of_repeated_rows() -> None:
    rng = np.random.default_rng(3)
    y = rng.gamma(1, 10, 60)
    p, groups = y + rng.normal(size=60), np.arange(60) // 3
    [found] = resampled(y, [p], groups, 4, np.random.default_rng(7), "regression")
    for place, drawn in enumerate(np.random.default_rng(7).integers(0, 20, (4, 20))):
        again = np.concatenate([np.flatnonzero(groups == group) for group in drawn])
        assert found["mae"][place] == pytest.approx(np.abs(p - y)[again].mean())
        assert found["rmse"][place] == pytest.approx(np.sqrt(((p - y)[again] ** 2).mean()))
        assert found[LABEL][place] == pytest.approx(y[again].mean())
