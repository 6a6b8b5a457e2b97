"""Two models on the same rows: paired differences with bootstrap intervals.

Rows of one cluster (all rows of an entity) are drawn together: an entity's rows resemble each other, and drawing them
one by one would claim more than they tell. Efron & Tibshirani (1993), chapter 13, the percentile method; Field & Welsh
(2007) for the cluster bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from models import metrics
from models.inputs import Floats

Ints = npt.NDArray[np.intp]

HIGHER_IS_BETTER = {"logloss": False, "auc": True, "brier": False, "ece": False}
"""The measures, the deciding one first."""

_CELLS = 2_000_000
"""Cells (draws × rows) worked on at once: 16 MB an array."""


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
        return 2 if (self.low > 0) == HIGHER_IS_BETTER[self.name] else 1


def paired(
    y: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Difference]:
    """Log loss, AUC, Brier score and ECE of two models, and an interval of each difference.

    Args:
        y: labels 0/1 of n rows.
        first: probabilities of 1 by the first model, n.
        second: the same by the second model.
        clusters: n names of what is drawn together, such as entities; None draws row by row.
        draws: resamples; the same ones for both models and every measure.
        level: of the intervals.
        seed: of the resampling.

    Returns:
        By name of the measure. The bins of ECE are those of the rows at hand, in every resample. A resample with one
        class only has no AUC and does not count for it.

    Raises:
        ValueError: the shapes differ, or there is no row.
    """
    labels = np.asarray(y, dtype=np.float64)
    scores = [np.asarray(p, dtype=np.float64) for p in (first, second)]
    groups = np.arange(len(labels)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    values = [measures(labels, p) for p in scores]
    drawn = _resampled(labels, scores, groups, draws, np.random.default_rng(seed))
    edges = [(1 - level) / 2, (1 + level) / 2]
    found = {}
    for name in HIGHER_IS_BETTER:
        known = drawn[name][np.isfinite(drawn[name])]
        low, high = np.quantile(known, edges) if len(known) else (np.nan, np.nan)
        found[name] = Difference(name, values[0][name], values[1][name], float(low), float(high))
    return found


def measures(y: npt.ArrayLike, p: npt.ArrayLike) -> dict[str, float]:
    """The measures of one model, by name."""
    return {
        "logloss": metrics.logloss(y, p),
        "auc": metrics.auc(y, p),
        "brier": float(np.mean((np.asarray(p, dtype=np.float64) - np.asarray(y, dtype=np.float64)) ** 2)),
        "ece": metrics.ece(y, p),
    }


def _resampled(
    y: Floats, scores: list[Floats], groups: Ints, draws: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Second minus first in every resample, by measure."""
    size = int(groups.max()) + 1
    rows = np.bincount(groups, minlength=size).astype(np.float64)
    gaps = {
        "logloss": metrics.losses(y, scores[1]) - metrics.losses(y, scores[0]),
        "brier": (scores[1] - y) ** 2 - (scores[0] - y) ** 2,
    }
    sums = np.column_stack([rows, *(np.bincount(groups, gap, size) for gap in gaps.values())])
    binned = [_by_bin(y, p, groups, size) for p in scores]
    ranked = [_Ranks(y, p, groups) for p in scores]
    parts: dict[str, list[Floats]] = {name: [] for name in HIGHER_IS_BETTER}
    chunk = max(1, _CELLS // max(len(y), size))
    for start in range(0, draws, chunk):
        weights = _weights(min(chunk, draws - start), size, rng)
        totals = weights @ sums
        for place, name in enumerate(gaps, 1):
            parts[name].append(totals[:, place] / totals[:, 0])
        calibration = [np.abs(weights @ errors).sum(axis=1) / totals[:, 0] for errors in binned]
        parts["ece"].append(calibration[1] - calibration[0])
        parts["auc"].append(ranked[1].auc(weights) - ranked[0].auc(weights))
    return {name: np.concatenate(part) for name, part in parts.items()}


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
        below = np.zeros((len(weights), len(self.negatives) + 1))
        np.cumsum(weights[:, self.negatives], axis=1, out=below[:, 1:])
        positive = weights[:, self.positives]
        won = (positive * (below[:, self.before] + below[:, self.through])).sum(axis=1) / 2
        pairs = positive.sum(axis=1) * below[:, -1]
        with np.errstate(invalid="ignore"):
            return cast(Floats, won / pairs)
