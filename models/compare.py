"""Two models on the same rows: paired differences with bootstrap intervals.

Rows of one cluster (all rows of an entity) are drawn together: an entity's rows resemble each other, and drawing them
one by one would claim more than they tell. Efron & Tibshirani (1993), chapter 13, the percentile method; Field & Welsh
(2007) for the cluster bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from models import metrics
from models.base import Task
from models.inputs import Floats
from models.judges import judge_of, mean_ranks

Ints = npt.NDArray[np.intp]

LABEL = "label"
"""Name of the mean label beside the measures of a resample."""

MEASURES: dict[Task, tuple[str, ...]] = {
    "binary": ("logloss", "auc", "brier", "ece"),
    "regression": ("rmse", "mae", "spearman"),
}
"""The measures of a task, the deciding one first."""

HIGHER_IS_BETTER = {"auc", "spearman"}

_CELLS = 2_000_000
"""Cells (draws × rows) worked on at once: 16 MB an array."""

_EXACT = 200_000
"""Rows up to which sums of counts stay below 2 to the 24th, and are exact in single precision."""


@dataclass(frozen=True)
class Difference:
    """One measure of two models on the same rows.

    Attributes:
        name: of the measure.
        first: value of the first model.
        second: value of the second model.
        low: lower end of the interval of second minus first.
        high: its upper end.
    """

    name: str
    first: float
    second: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first

    @property
    def better(self) -> int:
        """1 or 2, the model that is better beyond chance; 0 where no difference can be shown."""
        if not (self.low > 0 or self.high < 0):
            return 0
        return 2 if (self.low > 0) == (self.name in HIGHER_IS_BETTER) else 1


def paired(
    y: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    task: Task = "binary",
) -> dict[str, Difference]:
    """Log loss, AUC, Brier score and ECE (or RMSE, MAE and Spearman) of two models, and an interval of each difference.

    Args:
        y: labels of n rows, 0/1 or numbers.
        first: probabilities of 1 by the first model, or the numbers it predicts, n.
        second: the same by the second model.
        clusters: n names of what is drawn together, such as entities; None draws row by row.
        draws: resamples; the same ones for both models and every measure.
        level: of the intervals.
        seed: of the resampling.
        task: what is predicted.

    Returns:
        By name of the measure. The bins of ECE and the ranks of Spearman are those of the rows at hand, in every
        resample. A resample with one class only has no AUC and does not count for it.

    Raises:
        ValueError: the shapes differ, or there is no row.
    """
    labels = np.asarray(y, dtype=np.float64)
    scores = [np.asarray(p, dtype=np.float64) for p in (first, second)]
    groups = np.arange(len(labels)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    values = [measures(labels, p, task) for p in scores]
    drawn = _gaps(*resampled(labels, scores, groups, draws, np.random.default_rng(seed), task))
    edges = [(1 - level) / 2, (1 + level) / 2]
    found = {}
    for name in MEASURES[task]:
        known = drawn[name][np.isfinite(drawn[name])]
        low, high = np.quantile(known, edges) if len(known) else (np.nan, np.nan)
        found[name] = Difference(name, values[0][name], values[1][name], float(low), float(high))
    return found


def measures(y: npt.ArrayLike, p: npt.ArrayLike, task: Task = "binary") -> dict[str, float]:
    """The measures of one model, by name."""
    if task == "regression":
        found = judge_of(task).evaluate(y, p)
        return {name: found[name] for name in MEASURES[task]}
    return {
        "logloss": metrics.logloss(y, p),
        "auc": metrics.auc(y, p),
        "brier": float(np.mean((np.asarray(p, dtype=np.float64) - np.asarray(y, dtype=np.float64)) ** 2)),
        "ece": metrics.ece(y, p),
    }


def resampled(
    y: Floats, scores: Sequence[Floats], groups: Ints, draws: int, rng: np.random.Generator, task: Task,
    ranking: bool = True,
) -> list[dict[str, Floats]]:  # fmt: skip
    """Every measure of `task`, and `label` (the mean label), of each model in the same resamples.

    Args:
        y: labels of n rows.
        scores: of each model, n predictions.
        groups: a whole number from 0 up for each row; rows of one number are drawn together.
        draws: resamples.
        rng: that draws.
        task: what is predicted.
        ranking: whether the AUC is among them, which takes most of the time.
    """
    if task == "binary":
        return _resampled(y, scores, groups, draws, rng, ranking)
    return _resampled_values(y, scores, groups, draws, rng)


def _gaps(first: dict[str, Floats], second: dict[str, Floats]) -> dict[str, Floats]:
    return {name: second[name] - first[name] for name in first}


def _resampled(
    y: Floats, scores: Sequence[Floats], groups: Ints, draws: int, rng: np.random.Generator, ranking: bool
) -> list[dict[str, Floats]]:
    """See `resampled`; of probabilities: all but the AUC are functions of sums over clusters."""
    size = int(groups.max()) + 1
    columns = [np.ones(len(y)), y, *(one for p in scores for one in (metrics.losses(y, p), (p - y) ** 2))]
    sums = np.column_stack([np.bincount(groups, column, size) for column in columns])
    binned = [_by_bin(y, p, groups, size) for p in scores]
    ranked = [_Ranks(y, p, groups) for p in scores] if ranking else []
    names = [name for name in (*MEASURES["binary"], LABEL) if ranking or name != "auc"]
    parts: list[dict[str, list[Floats]]] = [{name: [] for name in names} for _ in scores]
    chunk = max(1, _CELLS // max(len(y), size))
    for start in range(0, draws, chunk):
        weights = _weights(min(chunk, draws - start), size, rng)
        totals = weights @ sums
        means = totals[:, 1:] / totals[:, :1]
        for place, part in enumerate(parts):
            part[LABEL].append(means[:, 0])
            part["logloss"].append(means[:, 1 + 2 * place])
            part["brier"].append(means[:, 2 + 2 * place])
            part["ece"].append(np.abs(weights @ binned[place]).sum(axis=1) / totals[:, 0])
            if ranking:
                part["auc"].append(ranked[place].auc(weights))
    return [{name: np.concatenate(several) for name, several in part.items()} for part in parts]


def _resampled_values(
    y: Floats, scores: Sequence[Floats], groups: Ints, draws: int, rng: np.random.Generator
) -> list[dict[str, Floats]]:
    """See `resampled`; of a regression: all are functions of sums over clusters."""
    size = int(groups.max()) + 1
    true = _centred_ranks(y)
    columns = [np.ones(len(y)), y, true, true**2]
    for p in scores:
        ranks = _centred_ranks(p)
        columns += [(p - y) ** 2, np.abs(p - y), ranks, ranks**2, ranks * true]
    sums = np.column_stack([np.bincount(groups, column, size) for column in columns])
    parts: list[dict[str, list[Floats]]] = [{name: [] for name in (*MEASURES["regression"], LABEL)} for _ in scores]
    chunk = max(1, _CELLS // size)
    for start in range(0, draws, chunk):
        totals = _weights(min(chunk, draws - start), size, rng) @ sums
        means = totals[:, 1:] / totals[:, :1]
        for place, part in enumerate(parts):
            found = _of_means(means[:, 1:3], means[:, 3 + 5 * place : 8 + 5 * place])
            for name, one in {**found, LABEL: means[:, 0]}.items():
                part[name].append(one)
    return [{name: np.concatenate(several) for name, several in part.items()} for part in parts]


def _of_means(label: Floats, model: Floats) -> dict[str, Floats]:
    """The measures from means: of the label's ranks and their squares; of a model's errors, ranks and products."""
    squares, absolute, ranks, ranks_squared, products = model.T
    spread = (label[:, 1] - label[:, 0] ** 2) * (ranks_squared - ranks**2)
    shared = products - label[:, 0] * ranks
    correlation = np.where(spread > 0, shared / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)
    return {"rmse": np.sqrt(squares), "mae": absolute, "spearman": correlation}


def _centred_ranks(values: Floats) -> Floats:
    """Mean ranks, about 0 and between -1/2 and 1/2, so that little is lost where squares are subtracted."""
    ranks = mean_ranks(values)
    return cast(Floats, (ranks - ranks.mean()) / len(ranks))


def _weights(draws: int, size: int, rng: np.random.Generator) -> Floats:
    """How often each of `size` clusters was drawn, (draws, size)."""
    picked = rng.integers(0, size, (draws, size))
    picked += np.arange(draws)[:, None] * size
    counts = np.bincount(picked.ravel(), minlength=draws * size)
    return counts.reshape(draws, size).astype(np.float64)


def _by_bin(y: Floats, p: Floats, groups: Ints, size: int) -> Floats:
    """Sum of probability minus label in each cluster and bin of equal mass, (clusters, bins)."""
    bins = np.empty(len(p), dtype=np.intp)
    for number, part in enumerate(np.array_split(np.argsort(p, kind="stable"), metrics.CALIBRATION_BINS)):
        bins[part] = number
    place = groups * metrics.CALIBRATION_BINS + bins
    total = np.bincount(place, p - y, size * metrics.CALIBRATION_BINS)
    return cast(Floats, total.reshape(size, metrics.CALIBRATION_BINS))


class _Ranks:
    """One model's order of the rows, so that its AUC under weights needs no sorting."""

    def __init__(self, y: Floats, p: Floats, groups: Ints) -> None:
        order = np.argsort(p, kind="stable")
        negative = order[y[order] == 0]
        positive = order[y[order] == 1]
        self.negatives, self.positives = groups[negative], groups[positive]
        # How many negatives stand before each positive, and how many with its ties.
        self.before = np.searchsorted(p[negative], p[positive], side="left")
        self.through = np.searchsorted(p[negative], p[positive], side="right")

    def auc(self, weights: Floats) -> Floats:
        """AUC with ties counting half, for each row of (draws, clusters); NaN where one class is absent."""
        # One row for each cluster is copied and added as a whole; whole numbers so small are exact in single precision.
        rows = len(self.negatives) + len(self.positives)
        turned = np.ascontiguousarray(weights.T, dtype=np.float32 if rows < _EXACT else np.float64)
        below = np.zeros((len(self.negatives) + 1, len(weights)), dtype=turned.dtype)
        np.cumsum(turned[self.negatives], axis=0, out=below[1:])
        positive = turned[self.positives]
        won = (positive * (below[self.before] + below[self.through])).sum(axis=0, dtype=np.float64) / 2
        pairs = positive.sum(axis=0, dtype=np.float64) * below[-1]
        with np.errstate(invalid="ignore"):
            return cast(Floats, won / pairs)
