"""The leak guard: silent on honest sets, and it names what was planted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.leaks import Leak, Limits, find
from pipelines.core.train_params import LeakParams
from tests.conftest import BANK_FILE

LIMITS = Limits(**LeakParams().model_dump())
Set = tuple[pd.DataFrame, np.ndarray]


def honest(seed: int, binary: bool = True) -> Set:
    """25 columns in time order, of which some tell something, some drift, and one loses half of its effect.

    The strongest ranks the outcomes with an AUC up to .77; the base rate moves; numbers, texts, flags, gaps.
    """
    rng = np.random.default_rng(seed)
    n = int(rng.integers(600, 3000))
    time = np.linspace(0, 1, n)
    X: dict[str, np.ndarray] = {f"noise_{i}": rng.normal(size=n) for i in range(8)}
    X |= {f"signal_{i}": rng.normal(size=n) for i in range(6)}
    X |= {f"count_{i}": rng.poisson(0.3, n).astype(float) for i in range(4)}
    X |= {f"flag_{i}": (rng.random(n) < 0.1).astype(float) for i in range(2)}
    X["season"] = np.sin(6 * time) + rng.normal(size=n) * 0.1
    X["trend"] = 3 * time + rng.normal(size=n)
    X["fading"] = rng.normal(size=n)
    odds = sum(rng.uniform(0, 0.5) * X[f"signal_{i}"] for i in range(1, 6)) + rng.uniform(0, 1.1) * X["signal_0"]
    odds = odds + rng.uniform(0, 0.6) * X["fading"] * (1 - time / 2) + 0.5 * X["count_0"] + X["flag_0"]
    X["gaps"] = np.where(rng.random(n) < 0.5, np.nan, odds + rng.normal(size=n) * 2)
    frame = pd.DataFrame(X)
    frame["city"] = rng.choice([f"c{i}" for i in range(30)], n)
    frame["many"] = rng.choice([f"m{i}" for i in range(2000)], n)
    odds = odds + rng.uniform(-1, 2) * time + rng.uniform(-3.5, 0)
    if binary:
        return frame, (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(float)
    return frame, np.maximum(0, np.exp(odds + rng.normal(size=n) * 2) - 0.3)


def named(X: pd.DataFrame, y: np.ndarray, limits: Limits = LIMITS, binary: bool = True) -> dict[str, Leak]:
    """Leaks by feature; the last fifth is the newest part."""
    cut = round(len(y) * 0.8)
    found = find(X, y, np.arange(cut), np.arange(cut, len(y)), limits, binary=binary)
    return {leak.feature: leak for leak in found}


@pytest.mark.parametrize("binary", [True, False])
def test_false_alarms_on_honest_sets_are_rare(binary: bool) -> None:
    alarms = [list(named(*honest(seed, binary), binary=binary)) for seed in range(15)]
    assert not any(alarms), alarms


def test_a_noisy_copy_of_the_label_is_named() -> None:
    X, y = honest(1)
    flipped = np.random.default_rng(0).random(len(y)) < 0.1
    leak = named(X.assign(copy=np.where(flipped, 1 - y, y)), y)
    assert list(leak) == ["copy"]
    assert leak["copy"].rule == "alone"
    figures = leak["copy"].figures
    assert figures["early"] == pytest.approx(0.8, abs=0.05)  # a tenth flipped: AUC .9, which is 2 AUC - 1 = .8
    assert f"AUC {(figures['early'] + 1) / 2:.3f}" in leak["copy"].sentence


def test_a_noisy_copy_of_a_value_is_named() -> None:
    X, y = honest(1, binary=False)
    noise = np.random.default_rng(0).normal(size=len(y)) * 0.3
    leak = named(X.assign(copy=np.log1p(y) + noise), y, binary=False)
    assert list(leak) == ["copy"]
    assert "rank correlation" in leak["copy"].sentence


@pytest.mark.parametrize("newest", [True, False], ids=["written up to now", "not yet written for the newest"])
@pytest.mark.parametrize("empty", [np.nan, 0.0], ids=["empty", "zero"])
def test_what_is_filled_only_after_the_outcome_is_named(empty: float, newest: bool) -> None:
    """Also where it is filled for a third of the outcomes: too few to rank well by itself."""
    X, y = honest(22)
    rng = np.random.default_rng(0)
    filled = np.where((y == 1) & (rng.random(len(y)) < 0.33), rng.integers(1, 9, len(y)), empty)
    if not newest:
        filled[round(len(y) * 0.8) :] = empty
    leak = named(X.assign(order_number=filled), y)
    assert list(leak) == ["order_number"]
    assert leak["order_number"].rule == "filled"
    count = int((filled[: round(len(y) * 0.8)] > 0).sum())
    assert f"in {count:,} of" in leak["order_number"].sentence


def test_what_is_emptied_after_the_outcome_is_named() -> None:
    X, y = honest(22)
    due = np.where((y == 1) & (np.random.default_rng(0).random(len(y)) < 0.5), np.nan, X["signal_0"])
    assert named(X.assign(due=due), y)["due"].rule == "filled"


def test_what_told_much_and_tells_nothing_any_more_collapses() -> None:
    X, y = honest(3)
    rng = np.random.default_rng(0)
    contacted = ((y == 1) & (rng.random(len(y)) < 0.6)) | (rng.random(len(y)) < 0.05)
    late = np.arange(len(y)) >= round(len(y) * 0.8)
    assert "contacted" not in named(X.assign(contacted=contacted & ~late), y, replace(LIMITS, kept=0.0, auc=1.0))
    leak = named(X.assign(contacted=contacted & ~late), y)
    assert list(leak) == ["contacted"]
    assert leak["contacted"].rule == "collapse"
    assert leak["contacted"].figures["newest"] == 0


@pytest.mark.parametrize("text", [False, True])
def test_an_id_that_grows_with_time_is_named(text: bool) -> None:
    X, y = honest(4)
    numbers = np.arange(len(y)) * 3 + 10_000
    leak = named(X.assign(row_id=[f"R{i}" for i in numbers] if text else numbers), y)
    assert list(leak) == ["row_id"]
    assert leak["row_id"].rule == "order"


def test_an_id_that_grows_with_the_label_is_named() -> None:
    X, y = honest(5)
    assert named(X.assign(row_id=np.argsort(np.argsort(y * len(y) + np.arange(len(y))))), y)["row_id"].rule == "alone"


def test_a_random_id_tells_nothing() -> None:
    X, y = honest(6)
    assert not named(X.assign(row_id=np.random.default_rng(0).permutation(len(y))), y)


def test_a_feature_that_is_little_beside_the_whole_model_is_let_be() -> None:
    X, y = honest(7)
    flipped = np.random.default_rng(0).random(len(y)) < 0.15
    X = X.assign(copy=np.where(flipped, 1 - y, y))
    early, newest = np.arange(round(len(y) * 0.8)), np.arange(round(len(y) * 0.8), len(y))
    half = replace(LIMITS, share=0.9)
    assert [leak.feature for leak in find(X, y, early, newest, half)] == ["copy"]
    assert not find(X, y, early, newest, half, full=y[newest])  # a model that knows all: the copy reaches .7 of it


def test_columns_without_a_value_or_with_one_only() -> None:
    X, y = honest(8)
    assert not named(X.assign(constant=1.0, missing=np.nan, nothing=None), y)


def test_a_dict_of_lists_will_do() -> None:
    X, y = honest(9)
    columns = {"signal": list(X["signal_0"]), "copy": list(y), "city": list(X["city"])}
    found = find(columns, y, np.arange(300), np.arange(300, 400), replace(LIMITS, rows=200))
    assert [leak.feature for leak in found] == ["copy"]


@pytest.mark.skipif(not BANK_FILE.is_file(), reason=f"{BANK_FILE} is not here")
def test_the_length_of_a_call_is_known_only_after_it() -> None:
    """UCI: "this attribute highly affects the output target … and should only be included for benchmark purposes"."""
    bank = pd.read_csv(BANK_FILE, sep=";")
    y = (bank.pop("y") == "yes").to_numpy(dtype=float)
    assert list(named(bank, y)) == ["duration"]
    assert not named(bank.drop(columns="duration"), y)


def test_what_knew_nearly_all_and_now_tells_half_of_it_is_named() -> None:
    """A column that is filled less often lately: neither as good as the whole model there, nor worthless."""
    X, y = honest(5)
    rng = np.random.default_rng(0)
    late = np.arange(len(y)) >= round(len(y) * 0.8)
    told = y * 4 + rng.normal(size=len(y))
    told[late & (rng.random(len(y)) < 0.65)] = rng.normal(size=1)
    cut = round(len(y) * 0.8)
    found = find(X.assign(told=told), y, np.arange(cut), np.arange(cut, len(y)), LIMITS, full=y[cut:])
    assert [leak.feature for leak in found] == ["told"]
    assert found[0].figures["newest"] < 0.5 * found[0].figures["early"]


def test_a_handful_of_outcomes_accuses_nobody() -> None:
    X, y = honest(1)
    copy = X.assign(copy=y + np.random.default_rng(0).normal(size=len(y)) * 0.2)
    assert "copy" in named(copy, y)
    assert "copy" not in named(copy, y, replace(LIMITS, outcomes=len(y), purity=1.1))
