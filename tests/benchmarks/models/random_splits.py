"""`bank-additional-full.csv`, stratified splits 80/20: ours, the usual recipe, one LightGBM and AutoGluon."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from models import metrics
from tests.benchmarks.models import autogluon, bank, contenders
from tests.benchmarks.models.apart import apart
from tests.benchmarks.models.figures import (
    MEASURES,
    Figure,
    above_zero,
    at_most,
    below_zero,
    difference,
    mean_of_clusters,
    of_rows,
    over_splits,
)

Floats = npt.NDArray[np.float64]
Found = dict[str, dict[int, Floats]]
"""By model and seed: one number, or one a test row."""

OURS = "LeadScorer"
_MODELS = {OURS: contenders.ours, "recipe": contenders.recipe, "LightGBM": contenders.lightgbm}
_AUTOGLUON = "AutoGluon"
_ECE, _CPU = 0.012, 5
_DRAWS = 500
_NOTE = f"seeds {', '.join(map(str, bank.SEEDS))}"


def run() -> list[Figure]:
    """Each split with a bootstrap over its rows, then the means over splits, then what they cost.

    Two intervals stand beside a mean difference. The bootstrap over rows asks whether other leads would say the same of
    these models, and is what must clear 0. The corrected t over splits asks whether models learnt from other rows would
    differ alike: with six splits that share most rows it is wide, and nothing is made of it.
    """
    rows = bank.additional()
    outcomes = {seed: rows.y[bank.split(rows.y, seed)[1]] for seed in bank.SEEDS}
    p, cpu = _fitted(rows)
    return [
        *(figure for seed in bank.SEEDS for figure in _split(seed, outcomes[seed], {m: p[m][seed] for m in p})),
        *_means(outcomes, p),
        *_pooled({seed: bank.split(rows.y, seed)[1] for seed in bank.SEEDS}, outcomes, p),
        *_against_autogluon(outcomes, p, cpu),
        *_costs(cpu),
    ]


def _fitted(rows: bank.Rows) -> tuple[Found, dict[str, dict[int, float]]]:
    """Probabilities and processor seconds by model and seed."""
    p: Found = {}
    cpu: dict[str, dict[int, float]] = {}
    for seed in bank.SEEDS:
        train, test = bank.split(rows.y, seed)
        learnt, scored = rows.take(train).without_time(), rows.X.iloc[test]
        for model, contender in _MODELS.items():
            done = apart(contender, learnt, scored, seed)
            p.setdefault(model, {})[seed], cpu.setdefault(model, {})[seed] = done.value, done.cpu
        if autogluon.python():
            found, seconds = autogluon.fit_predict(learnt, scored)
            p.setdefault(_AUTOGLUON, {})[seed], cpu.setdefault(_AUTOGLUON, {})[seed] = found, seconds
    return p, cpu


def _split(seed: int, y: Floats, p: dict[str, Floats]) -> Iterator[Figure]:
    """Figures of one split: of each model, and of ours minus each other's on the same rows."""
    where, note = f"split {seed}", f"{len(y):,} test rows"
    for model, found in p.items():
        yield from of_rows(y, found, model, where, note=note).values()
    for model, found in p.items():
        if model != OURS:
            gaps = difference(y, p[OURS], found, (OURS, model), where, note=note)
            yield from (gaps["AUC"], gaps["log loss"])


def _means(outcomes: dict[int, Floats], p: Found) -> Iterator[Figure]:
    """Means over the splits."""
    where = f"mean of {len(outcomes)} splits"
    by_model = {
        model: {name: [measure(outcomes[s], found[s]) for s in outcomes] for name, measure in MEASURES.items()}
        for model, found in p.items()
    }
    for model, values in by_model.items():
        for name, each in values.items():
            figure = over_splits(each, f"{name}, {where}", model, bank.TEST_SHARE, _NOTE)
            yield at_most(figure, _ECE) if (model, name) == (OURS, "ECE") else figure
    for model in by_model:
        if model == OURS:
            continue
        for name in ("AUC", "log loss"):
            gaps = np.subtract(by_model[OURS][name], by_model[model][name])
            note = f"{_NOTE}; corrected t over splits"
            yield over_splits(list(gaps), f"{name}, {where}", f"{OURS} - {model}", bank.TEST_SHARE, note)


def _pooled(places: dict[int, npt.NDArray[np.intp]], outcomes: dict[int, Floats], p: Found) -> Iterator[Figure]:
    """Differences over all tested rows; a row that several splits test, by its place, is drawn whole."""
    note = f"{_NOTE}; bootstrap over rows"
    for model in p:
        if model == OURS:
            continue
        what, names = "mean of splits, their rows drawn", f"{OURS} - {model}"
        gaps = [metrics.losses(y, p[OURS][seed]) - metrics.losses(y, p[model][seed]) for seed, y in outcomes.items()]
        every = np.concatenate(list(places.values()))
        found = [
            _auc_gap(places, outcomes, p[OURS], p[model], f"AUC, {what}", names, note),
            mean_of_clusters(np.concatenate(gaps), f"log loss, {what}", names, every, note),
        ]
        yield from (above_zero(found[0]), below_zero(found[1])) if model == "recipe" else found


def _auc_gap(
    places: dict[int, npt.NDArray[np.intp]],
    outcomes: dict[int, Floats],
    ours: dict[int, Floats],
    theirs: dict[int, Floats],
    what: str,
    names: str,
    note: str,
) -> Figure:
    """The mean over splits of the difference in AUC; rows are drawn once for all splits."""
    codes = [{seed: np.unique(found[seed], return_inverse=True)[1] for seed in outcomes} for found in (ours, theirs)]
    rows, rng = max(int(at.max()) for at in places.values()) + 1, np.random.default_rng(0)
    tested = np.unique(np.concatenate(list(places.values())))

    def gap(counts: Floats) -> float:
        each = [[_weighted_auc(one[seed], outcomes[seed], counts[places[seed]]) for seed in outcomes] for one in codes]
        return float(np.mean(each[0]) - np.mean(each[1]))

    drawn = [
        gap(np.bincount(rng.choice(tested, len(tested)), minlength=rows).astype(np.float64)) for _ in range(_DRAWS)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(what, names, gap(np.ones(rows)), float(low), float(high), note=note)


def _weighted_auc(codes: npt.NDArray[np.intp], y: Floats, weights: Floats) -> float:
    """AUC of scores, given by their rank among the different ones, where each row counts `weights` times."""
    ones, zeros = np.bincount(codes, weights * y), np.bincount(codes, weights * (1 - y))
    below = np.cumsum(zeros) - zeros / 2
    return float(ones @ below / (ones.sum() * zeros.sum()))


def _against_autogluon(outcomes: dict[int, Floats], p: Found, cpu: dict[str, dict[int, float]]) -> Iterator[Figure]:
    """Ours against AutoGluon's log loss and cost, on the splits that it was run on, here or earlier."""
    log_loss = MEASURES["log loss"]
    if _AUTOGLUON in p:
        theirs = {seed: log_loss(outcomes[seed], p[_AUTOGLUON][seed]) for seed in outcomes}
        seconds, how = cpu[_AUTOGLUON], "run here"
    else:
        told = autogluon.recorded()
        theirs = {seed: float(figures["logloss"]) for seed, figures in told.items()}
        seconds = {seed: float(figures["cpu"]) for seed, figures in told.items()}
        how = "AutoGluon's as recorded"
        for seed, figures in told.items():
            for name, key in (("AUC", "auc"), ("log loss", "logloss"), ("ECE", "ece"), ("CPU seconds", "cpu")):
                yield Figure(f"{name}, split {seed}", _AUTOGLUON, figures[key], note=f"recorded {figures['recorded']}")
    gaps = [log_loss(outcomes[seed], p[OURS][seed]) - theirs[seed] for seed in theirs]
    what, names = f"log loss, mean of {len(gaps)} splits", f"{OURS} - {_AUTOGLUON}"
    note = f"seeds {', '.join(map(str, theirs))}; {how}"
    if len(gaps) > 1:
        gap = over_splits(gaps, what, names, bank.TEST_SHARE, note)
    else:
        gap = Figure(what, names, gaps[0], note=note)
    yield at_most(gap, 0.0)
    share = np.mean([cpu[OURS][seed] for seed in seconds]) / np.mean(list(seconds.values()))
    yield at_most(
        Figure("CPU seconds of fit and prediction", f"{OURS} / {_AUTOGLUON}", float(share), note=note), 1 / _CPU
    )


def _costs(cpu: dict[str, dict[int, float]]) -> Iterator[Figure]:
    """Mean processor seconds of each model."""
    for model, seconds in cpu.items():
        what, note = "CPU seconds of fit and prediction, mean", f"{_NOTE}; one thread"
        yield over_splits(list(seconds.values()), what, model, bank.TEST_SHARE, note)
