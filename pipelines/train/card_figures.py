"""The numbers of a model card: measures with intervals, bins, gain, segments, periods, coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models import metrics
from models.base import Task
from models.compare import LABEL, measures, resampled
from models.inputs import Floats
from models.judges import judge_of

Ints = npt.NDArray[np.intp]
Times = npt.NDArray[np.datetime64]

DRAWS = 200
GAP = "gap"
LEAST = 50
"""A group of fewer rows, or of fewer than one in a hundred, is pooled with others."""

_GROUPS = 12
_SURE = 1.96


@dataclass(frozen=True)
class Figure:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """Some rows together: a bin of scores, a segment's value, a week.

    Attributes:
        name: for people.
        rows: how many.
        predicted: mean prediction.
        observed: share of ones, or mean value, with its interval.
        ranking: AUC or rank correlation; NaN where the rows have one outcome only.
        loss: log loss or RMSE.
    """

    name: str
    rows: int
    predicted: float
    observed: Figure
    ranking: float
    loss: float


@dataclass(frozen=True)
class Coverage:
    """How often intervals of one level hold what they should.

    Attributes:
        level: promised share.
        held: share of rows (of a probability: of bins of rows) whose outcome lies inside, with its interval.
        width: mean width.
    """

    level: float
    held: Figure
    width: float


def compared(
    y: Floats,
    predictions: Mapping[str, Floats],
    winner: str,
    binary: bool,
    clusters: Ints | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, dict[str, Figure]]:
    """Measures of each candidate with 95 % intervals, and as `GAP` its loss minus the winner's on the same resamples.

    Percentile bootstrap (Efron & Tibshirani 1993), rows of one cluster drawn together (Field & Welsh 2007). Bins of
    `ece` and ranks of `spearman` are those of the rows at hand in every resample.

    Args:
        y: labels of n rows.
        predictions: of n rows, by candidate.
        winner: one of the candidates.
        binary: whether labels are 0 and 1.
        clusters: a whole number of each row from 0 up; None draws row by row.
        draws: resamples.
        seed: of the resampling.

    Returns:
        By candidate `auc`, `logloss`, `brier`, `ece` and `base_rate`; of values `spearman`, `rmse`, `mae` and `mean`.
    """
    groups = np.arange(len(y)) if clusters is None else clusters
    task: Task = "binary" if binary else "regression"
    loss, label = judge_of(task).loss, "base_rate" if binary else "mean"
    rng = np.random.default_rng(seed)
    drawn = dict(zip(predictions, resampled(y, list(predictions.values()), groups, draws, rng, task), strict=True))
    whole = {kind: {**measures(y, p, task), LABEL: float(y.mean())} for kind, p in predictions.items()}
    found = {}
    for kind, values in whole.items():
        figures = {name: _figure(value, drawn[kind][name]) for name, value in values.items()}
        figures[label] = figures.pop(LABEL)
        figures[GAP] = _figure(values[loss] - whole[winner][loss], drawn[kind][loss] - drawn[winner][loss])
        found[kind] = figures
    return found


def _figure(value: float, draws: Floats) -> Figure:
    """A value with the interval of its resamples."""
    known = draws[np.isfinite(draws)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return Figure(value, float(low), float(high))


def group(name: str, y: Floats, p: Floats, binary: bool) -> Group:
    """What some rows say together; at least one row."""
    if binary:
        ranking, loss = metrics.auc(y, p), metrics.logloss(y, p)
    else:
        judged = judge_of("regression").evaluate(y, p)
        ranking, loss = judged["spearman"] if np.ptp(y) else float("nan"), judged["rmse"]
    return Group(name, len(y), float(p.mean()), mean_of(y, binary), ranking, loss)


def mean_of(y: Floats, binary: bool) -> Figure:
    """The mean of labels with its 95 % interval: Wilson's (1927) for a share, the normal one for values."""
    mean, n = float(y.mean()), len(y)
    if binary:
        return share_of(float(y.sum()), n)
    half = _SURE * float(y.std(ddof=1)) / np.sqrt(n) if n > 1 else float("nan")
    return Figure(mean, mean - half, mean + half)


def share_of(hits: float, count: int) -> Figure:
    """A share with Wilson's 95 % interval."""
    p, z = hits / count, _SURE
    middle, spread = p + z * z / (2 * count), z * float(np.sqrt(p * (1 - p) / count + z * z / (4 * count * count)))
    scale = 1 + z * z / count
    return Figure(p, max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))


def bins_of(y: Floats, p: Floats, binary: bool, bins: int = metrics.CALIBRATION_BINS) -> list[Group]:
    """Rows in bins of equal mass, from low to high predictions."""
    parts = [part for part in np.array_split(np.argsort(p, kind="stable"), bins) if len(part)]
    return [group(f"{p[part].min():.4g} to {p[part].max():.4g}", y[part], p[part], binary) for part in parts]


def gain_of(y: Floats, p: Floats, points: int = 100) -> tuple[Floats, Floats]:
    """Shares of rows taken, the highest predictions first, and shares of all outcomes (or of the sum) among them."""
    at = np.unique(np.linspace(0, len(y), min(len(y), points) + 1).astype(np.intp))
    reached = np.concatenate([[0.0], np.cumsum(y[np.argsort(-p, kind="stable")])])
    return at / len(y), reached[at] / max(reached[-1], 1e-12)


def segments_of(
    values: Mapping[str, npt.NDArray[np.object_]], y: Floats, p: Floats, binary: bool
) -> dict[str, list[Group]]:
    """By column the groups of its values, the largest first; small ones pooled, and so are gaps of a few rows."""
    return {column: _segment(texts, y, p, binary) for column, texts in values.items()}


def _segment(values: npt.NDArray[np.object_], y: Floats, p: Floats, binary: bool) -> list[Group]:
    texts = np.array(["missing" if value is None or value != value else str(value) for value in values], dtype=object)
    names, place, counts = np.unique(texts.astype(str), return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    least = max(LEAST, len(y) / 100)
    large = [i for i in order if counts[i] >= least][:_GROUPS]
    found = [group(str(names[i]), y[place == i], p[place == i], binary) for i in large]
    rest = ~np.isin(place, large)
    if rest.any():
        found.append(group(f"others ({len(names) - len(large)} together)", y[rest], p[rest], binary))
    return found


def periods_of(times: Times, y: Floats, p: Floats, binary: bool) -> tuple[str, list[Group]]:
    """Rows by day, week (named by its Monday) or month, whichever gives a readable number; with that word."""
    days = (times.max() - times.min()) / np.timedelta64(1, "D")
    if days <= 15:
        word, starts = "day", times.astype("datetime64[D]")
    elif days <= 150:
        word = "week"
        # The epoch was a Thursday.
        number = (times.astype("datetime64[D]").astype(np.int64) + 3) // 7
        starts = (number * 7 - 3).astype("datetime64[D]")
    else:
        word, starts = "month", times.astype("datetime64[M]")
    names, place = np.unique(starts, return_inverse=True)
    return word, [group(str(name), y[place == i], p[place == i], binary) for i, name in enumerate(names)]


def coverage_of(y: Floats, p: Floats, intervals: Mapping[float, Floats], binary: bool) -> list[Coverage]:
    """How often intervals hold the outcome: of values row by row; of probabilities the share of ones in bins of rows.

    Args:
        y: labels of n rows.
        p: predictions of n rows, which order the bins.
        intervals: by level, low and high of each row, (n, 2); rows of NaN are left out.
        binary: whether labels are 0 and 1.
    """
    found = []
    for level, every in sorted(intervals.items()):
        known = np.isfinite(every).all(axis=1)
        ends, labels, predicted = every[known], y[known], p[known]
        low, high, outcome = ends[:, 0], ends[:, 1], labels
        if binary:
            parts = [part for part in np.array_split(np.argsort(predicted), metrics.CALIBRATION_BINS) if len(part)]
            low, high, outcome = (np.array([one[part].mean() for part in parts]) for one in (low, high, labels))
        inside = (low <= outcome) & (outcome <= high)
        width = float((ends[:, 1] - ends[:, 0]).mean())
        found.append(Coverage(level, share_of(float(inside.sum()), len(inside)), width))
    return found
