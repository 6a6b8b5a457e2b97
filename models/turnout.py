"""How what was said turned out: expected against observed, and the usual measures, each with an interval.

Rows of one entity are not independent: intervals of means are cluster-robust (Liang & Zeger 1986), that of a share is
Wilson's with the effective number of rows (Korn & Graubard 1998), and those of other measures are percentiles of
resamples in which entities are drawn whole (Field & Welsh 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from models.base import Task
from models.compare import measures, resampled
from models.inputs import Floats

Ints = npt.NDArray[np.intp]

SHOWN: dict[Task, tuple[str, ...]] = {"binary": ("logloss", "auc", "ece"), "regression": ("rmse", "spearman")}
"""Measures beside the means, by task."""

FEW = 30
"""Rows below which no measure but the means is told: it would say nothing."""


@dataclass(frozen=True)
class Measure:
    """A number and its interval.

    Attributes:
        value: of the rows at hand; NaN where it can't be had.
        low: lower end of the interval, NaN where there is none.
        high: upper end.
    """

    value: float
    low: float = np.nan
    high: float = np.nan


def means(y: Floats, p: Floats, groups: Ints, task: Task = "binary", level: float = 0.95) -> dict[str, Measure]:
    """What was expected, what was observed, and the gap between them.

    Args:
        y: what came, n numbers or 0/1.
        p: what had been said, n.
        groups: a number for each row's entity.
        task: what was predicted.
        level: of the intervals.

    Returns:
        `expected` (mean of `p`), `observed` (mean of `y`) and `gap` (observed minus expected).
    """
    observed = _share(y, groups, level) if task == "binary" else _mean(y, groups, level)
    return {"expected": Measure(float(p.mean())), "observed": observed, "gap": _mean(y - p, groups, level)}


def turnout(
    y: Floats,
    p: Floats,
    groups: Ints,
    task: Task = "binary",
    ends: Floats | None = None,
    *,
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Measure]:
    """`means`, and of at least `FEW` rows the measures in `SHOWN`; of a regression with ranges also `coverage`.

    Args:
        y: what came, n numbers or 0/1.
        p: what had been said, n.
        groups: a number for each row's entity.
        task: what was predicted.
        ends: lower and upper ends (n, 2) of the ranges that were told; None where none were.
        draws: resamples.
        level: of the intervals.
        seed: of the resampling.
    """
    found = means(y, p, groups, task, level)
    if len(y) < FEW:
        return found
    values = measures(y, p, task)
    _, coded = np.unique(groups, return_inverse=True)
    drawn = resampled(y, [p], coded, draws, np.random.default_rng(seed), task)[0]
    edges = [(1 - level) / 2, (1 + level) / 2]
    for name in SHOWN[task]:
        known = drawn[name][np.isfinite(drawn[name])]
        low, high = np.quantile(known, edges) if len(known) else (np.nan, np.nan)
        found[name] = Measure(values[name], float(low), float(high))
    if ends is not None and task == "regression":
        told = np.isfinite(ends).all(axis=1)
        if told.any():
            inside = ((y >= ends[:, 0]) & (y <= ends[:, 1])).astype(np.float64)
            found["coverage"] = _share(inside[told], groups[told], level)
    return found


def _mean(values: Floats, groups: Ints, level: float) -> Measure:
    """A mean, with the cluster-robust normal interval; without one where there is a single entity."""
    mean, error = float(values.mean()), _error(values, groups)
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    return Measure(mean, mean - reach, mean + reach)


def _share(values: Floats, groups: Ints, level: float) -> Measure:
    """A share of ones, with Wilson's interval at the number of independent rows that would be as sure."""
    share, count = float(values.mean()), len(values)
    plain = share * (1 - share) / count
    error = _error(values, groups)
    effect = max(1.0, error**2 / plain) if plain > 0 and np.isfinite(error) else 1.0
    z, n = NormalDist().inv_cdf((1 + level) / 2), count / effect
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Measure(share, max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach)))


def _error(values: Floats, groups: Ints) -> float:
    """Cluster-robust standard error of a mean."""
    _, coded = np.unique(groups, return_inverse=True)
    sums = np.bincount(coded, values - values.mean())
    if len(sums) < 2:
        return np.nan
    return sqrt(float((sums**2).sum()) * len(sums) / (len(sums) - 1)) / len(values)
