"""The numbers of a model card: measures with intervals, bins, gain, segments, periods, coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models import metrics
from models.inputs import Floats

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
    size = int(groups.max()) + 1
    rng = np.random.default_rng(seed)
    judges = {kind: (_Binary if binary else _Values)(y, p) for kind, p in predictions.items()}
    weights = np.ones(len(y))
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in judges}
    for _ in range(draws + 1):
        for kind, judge in judges.items():
            found[kind].append(judge.at(weights))
        weights = np.bincount(rng.integers(0, size, size), minlength=size).astype(np.float64)[groups]
    loss = "logloss" if binary else "rmse"
    for kind, several in found.items():
        for one, best in zip(several, found[winner], strict=True):
            one[GAP] = one[loss] - best[loss] if kind != winner else 0.0
    return {
        kind: {name: _figure([one[name] for one in several]) for name in several[0]} for kind, several in found.items()
    }


def _figure(values: list[float]) -> Figure:
    """The first value with the interval of the others."""
    known = np.array([value for value in values[1:] if np.isfinite(value)])
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return Figure(values[0], float(low), float(high))


class _Binary:
    """Measures of probabilities under weights of the rows."""

    def __init__(self, y: Floats, p: Floats) -> None:
        self.y, self.loss, self.square, self.gap = y, metrics.losses(y, p), (p - y) ** 2, p - y
        _, self.tie = np.unique(p, return_inverse=True)
        self.bin = np.empty(len(p), dtype=np.intp)
        for number, part in enumerate(np.array_split(np.argsort(p, kind="stable"), metrics.CALIBRATION_BINS)):
            self.bin[part] = number

    def at(self, weights: Floats) -> dict[str, float]:
        total = max(float(weights.sum()), 1.0)
        ones = np.bincount(self.tie, weights * self.y)
        zeros = np.bincount(self.tie, weights * (1 - self.y))
        pairs = ones.sum() * zeros.sum()
        won = float((ones * (np.cumsum(zeros) - zeros / 2)).sum())
        return {
            "auc": won / pairs if pairs else float("nan"),
            "logloss": float(weights @ self.loss / total),
            "brier": float(weights @ self.square / total),
            "ece": float(np.abs(np.bincount(self.bin, weights * self.gap)).sum() / total),
            "base_rate": float(weights @ self.y / total),
        }


class _Values:
    """Measures of values under weights of the rows."""

    def __init__(self, y: Floats, p: Floats) -> None:
        self.y, self.gap = y, p - y
        self.ranks = [_ranks(values) for values in (y, p)]

    def at(self, weights: Floats) -> dict[str, float]:
        total = max(float(weights.sum()), 1.0)
        a, b = (ranks - weights @ ranks / total for ranks in self.ranks)
        spread = float(np.sqrt((weights @ a**2) * (weights @ b**2)))
        return {
            "spearman": float(weights @ (a * b)) / spread if spread > 0 else 0.0,
            "rmse": float(np.sqrt(weights @ self.gap**2 / total)),
            "mae": float(weights @ np.abs(self.gap) / total),
            "mean": float(weights @ self.y / total),
        }


def group(name: str, y: Floats, p: Floats, binary: bool) -> Group:
    """What some rows say together; at least one row."""
    if binary:
        ranking, loss = metrics.auc(y, p), metrics.logloss(y, p)
    else:
        ranking, loss = _Values(y, p).at(np.ones(len(y)))["spearman"], float(np.sqrt(np.mean((y - p) ** 2)))
        ranking = ranking if np.ptp(y) else float("nan")
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


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
