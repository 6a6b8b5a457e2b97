"""Features that know too much: what is written down only after the outcome, or numbers the rows.

Each feature is judged alone, by a model of one column: the mean label of its bin, learnt out of fold. Four rules, each
with limits of its own; a feature is named once, by the first rule that it breaks.

- `order`: its values hardly repeat and grow with time: a number of the row, no property of it.
- `filled`: where it differs from its usual value nearly all rows have the rarer outcome.
- `alone`: by itself it ranks as well as one expects of a whole model, beyond chance.
- `collapse`: it told much in the early rows and ranks the newest ones no better than chance.

Leakage of this kind and why one looks for it: Kaufman, Rosset, Perlich & Stitelman (2012), "Leakage in data mining".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from models import metrics
from models.inputs import Column, Columns, Floats, Inputs, Kind

Rule = Literal["order", "filled", "alone", "collapse"]
Ints = npt.NDArray[np.intp]

_BINS = 32
_FOLDS = 5
_PRIOR_ROWS = 20.0  # a bin's mean is drawn towards that of all rows as if it had so many more
_SURE = 1.96  # standard errors by which an estimate has to pass its limit
_LEAST = 20  # rows, or rows of the rarer outcome, from which a share is believed


@dataclass(frozen=True)
class Limits:
    """From where on a feature is named; `train.leaks` of `params.yaml` explains each.

    Attributes:
        rows: most rows looked at, of the early and of the newest ones each.
        auc: alone, binary.
        correlation: alone, regression.
        share: of the ranking of the whole model on the newest rows.
        explained: share of the early log loss (or variance of ranks) from which a collapse matters.
        kept: share of its early ranking that a feature has to keep on the newest rows.
        purity: share of the rarer outcome among the rows that differ from the usual value.
        order: rank correlation with time, and share of distinct values.
        outcomes: early rows of the rarer outcome (or with another than the usual value) from which rankings are looked
            at; of the newest a fifth of it.
    """

    rows: int
    auc: float
    correlation: float
    share: float
    explained: float
    kept: float
    purity: float
    order: float
    outcomes: int = 100


@dataclass(frozen=True)
class Leak:
    """A feature that knows too much.

    Attributes:
        feature: its name.
        rule: that it breaks.
        sentence: with the figures, for a person.
        figures: the same as numbers.
    """

    feature: str
    rule: Rule
    sentence: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class _Rows:
    """What is looked at: the early rows first, in time order, then the newest."""

    y: Floats
    early: int
    folds: Ints
    binary: bool

    def ranking(self, scores: Floats, part: slice) -> tuple[float, float]:
        """2 AUC - 1, or the rank correlation, of scores with the labels of `part`, and its standard error."""
        y, s = self.y[part], scores[part]
        if np.ptp(s) == 0 or np.ptp(y) == 0:
            return 0.0, 0.0
        if not self.binary:
            r = float(np.corrcoef(_ranks(y), _ranks(s))[0, 1])
            return r, (1 - r * r) / np.sqrt(max(len(y) - 1, 1))
        return 2 * (a := metrics.auc(y, s)) - 1, 2 * _auc_error(a, y)

    @property
    def first(self) -> slice:
        """The early rows."""
        return slice(0, self.early)

    @property
    def last(self) -> slice:
        """The newest rows."""
        return slice(self.early, None)


def find(
    X: Columns,
    y: npt.ArrayLike,
    early: Ints,
    newest: Ints,
    limits: Limits,
    *,
    full: npt.ArrayLike | None = None,
    kinds: Mapping[str, Kind] | None = None,
    binary: bool = True,
    seed: int = 0,
) -> list[Leak]:
    """Name the features that know too much, in the order of the columns.

    Args:
        X: columns of n rows.
        y: labels of n rows: 0/1, or values.
        early: positions of the rows that are learnt from, in time order.
        newest: positions of the later rows that are judged by, in time order.
        limits: from where on a feature is named.
        full: what the whole model says of the newest rows; None leaves `limits.share` out.
        kinds: kind of each column; one that is not given is inferred.
        binary: whether the labels are 0 and 1.
        seed: of the sample and the folds.

    Raises:
        InputError: unusable columns.
    """
    rng = np.random.default_rng(seed)
    first, last = _sampled(len(early), limits.rows, rng), _sampled(len(newest), limits.rows, rng)
    at = np.concatenate([early[first], newest[last]])
    sample = _taken(X, at)
    inputs = Inputs.learn(sample, kinds)
    matrix = inputs.encode(sample)
    labels = np.asarray(y, dtype=np.float64)[at]
    rows = _Rows(labels, len(first), rng.integers(0, _FOLDS, len(first)), binary)
    whole = np.zeros(len(at))
    if full is not None:
        whole[rows.last] = np.asarray(full, dtype=np.float64)[last]
    reached = rows.ranking(whole, rows.last)[0]
    found = (_judge(column, matrix[:, i], rows, reached, limits) for i, column in enumerate(inputs.columns))
    return [leak for leak in found if leak is not None]


def _judge(column: Column, values: Floats, rows: _Rows, reached: float, limits: Limits) -> Leak | None:
    """The first rule that a column breaks."""
    if np.ptp(np.nan_to_num(values[rows.first], nan=-np.pi)) == 0:
        return None
    return (
        _order(column.name, values[rows.first], limits)
        or _filled(column, values[rows.first], rows, limits)
        or _alone(column, values, rows, reached, limits)
    )


def _order(name: str, values: Floats, limits: Limits) -> Leak | None:
    known = values[~np.isnan(values)]
    if len(known) < max(_LEAST, len(values) // 2):
        return None
    distinct = len(np.unique(known)) / len(known)
    if distinct < limits.order:
        return None
    grows = float(np.corrcoef(np.arange(len(known)), _ranks(known))[0, 1])
    if abs(grows) < limits.order:
        return None
    return Leak(
        name,
        "order",
        f"'{name}' numbers the rows: {distinct:.0%} of its values are distinct and their rank correlation with time is"
        f" {grows:.3f}, so that newer rows have values nobody learnt from",
        {"distinct": distinct, "correlation": grows},
    )


def _filled(column: Column, values: Floats, rows: _Rows, limits: Limits) -> Leak | None:
    """Whether rows with another than the usual value (which may be none at all) have the rarer outcome."""
    if not rows.binary:
        return None
    y = rows.y[rows.first]
    rare = y if y.mean() <= 0.5 else 1 - y
    name, missing = column.name, np.isnan(values)
    usual, odd = "empty", ~missing
    if missing.mean() < 0.5:
        distinct, counts = np.unique(values[~missing], return_counts=True)
        place = int(np.argmax(counts))
        odd = values != distinct[place]
        usual = _shown(column, float(distinct[place]))
        if counts[place] < len(values) / 2:  # there is no usual value; but perhaps it is emptied after the outcome
            usual, odd = "filled", missing
    count, hits = int(odd.sum()), float(rare[odd].sum())
    if count < _LEAST or count == len(y) or _wilson(hits, count) < limits.purity:
        return None
    others = float(rare[~odd].mean())
    if others > 0.5:
        return None
    outcome = "1" if y.mean() <= 0.5 else "0"
    return Leak(
        name,
        "filled",
        f"'{name}' is not {usual} in {count:,} of {len(y):,} rows, and {hits / count:.1%} of these have the label"
        f" {outcome}, which {others:.1%} of the others have: it seems to be written only after the outcome",
        {"rows": float(count), "purity": hits / count, "others": others},
    )


def _alone(column: Column, values: Floats, rows: _Rows, reached: float, limits: Limits) -> Leak | None:
    if _rarer(rows.y[rows.first]) < limits.outcomes or 5 * _rarer(rows.y[rows.last]) < limits.outcomes:
        return None  # of a handful of outcomes some feature always knows by chance
    scores = _one_feature(column, values, rows)
    then, error = rows.ranking(scores, rows.first)
    now, error_now = rows.ranking(scores, rows.last)
    explained = _explained(rows, scores[rows.first])
    limit = 2 * limits.auc - 1 if rows.binary else limits.correlation
    strong = then - _SURE * error >= limit
    figures = {"early": then, "newest": now, "explained": explained, "whole": reached}
    name = column.name
    early, newest, whole = (_measure(value, rows.binary) for value in (then, now, reached))
    # A share of the whole ranking excuses what stays as good as it was, not what tells half of it in newer rows.
    if strong and (now >= limits.share * reached or limits.kept * then <= now < then / 2):
        compared = f", where the whole model reaches {whole}" if reached else ""
        return Leak(
            name,
            "alone",
            f"'{name}' by itself ranks the outcomes with {early} (out of fold; it explains {explained:.0%}) and the"
            f" newest rows with {newest}{compared}: it may not be known before the outcome",
            figures,
        )
    lost = now < limits.kept * then and now + _SURE * error_now < then - _SURE * error
    if lost and (strong or explained >= limits.explained):
        return Leak(
            name,
            "collapse",
            f"'{name}' by itself explained {explained:.0%} of the early rows ({early}) and ranks the newest ones with"
            f" {newest}: what it told is not known there",
            figures,
        )
    return None


def _rarer(y: Floats) -> int:
    """Rows with another than the usual label."""
    return len(y) - int(np.unique(y, return_counts=True)[1].max()) if len(y) else 0


def _one_feature(column: Column, values: Floats, rows: _Rows) -> Floats:
    """For each row the mean label of its bin: out of fold for the early rows, from all of these for the newest."""
    bins, size = _binned(column, values, rows.early)
    y = rows.y if rows.binary else _ranks(rows.y, rows.early)
    then, labels = bins[rows.first], y[rows.first]
    place = rows.folds * size + then
    counts = np.bincount(place, minlength=_FOLDS * size).reshape(_FOLDS, size).astype(np.float64)
    sums = np.bincount(place, labels, _FOLDS * size).reshape(_FOLDS, size)
    prior = labels.mean()
    others, hits = counts.sum(axis=0) - counts, sums.sum(axis=0) - sums
    out_of_fold = ((hits + _PRIOR_ROWS * prior) / (others + _PRIOR_ROWS))[rows.folds, then]
    all_rows = (sums.sum(axis=0) + _PRIOR_ROWS * prior) / (counts.sum(axis=0) + _PRIOR_ROWS)
    return np.concatenate([out_of_fold, all_rows[bins[rows.last]]])


def _binned(column: Column, values: Floats, early: int) -> tuple[Ints, int]:
    """Bin of each row and how many there are: texts as they are, numbers in bins of equal mass, gaps in one."""
    missing = np.isnan(values)
    if column.kind == "categorical":
        size = len(column.categories) + 1
        return np.where(missing, size - 1, values).astype(np.intp), size
    known = values[:early][~missing[:early]]
    shares = np.arange(1, _BINS) / _BINS
    edges = np.unique(np.quantile(known, shares, method="lower")) if len(known) else np.empty(0)
    size = len(edges) + 2
    return np.where(missing, size - 1, np.searchsorted(edges, values, side="left")).astype(np.intp), size


def _explained(rows: _Rows, scores: Floats) -> float:
    """Share of the log loss (McFadden), or of the variance of ranks, of the early rows that scores explain."""
    y = rows.y[rows.first]
    if rows.binary:
        return 1 - metrics.logloss(y, scores) / metrics.logloss(y, np.full(len(y), y.mean()))
    ranks = _ranks(y)
    return float(1 - np.mean((ranks - scores) ** 2) / max(float(ranks.var()), 1e-12))


def _ranks(values: Floats, first: int | None = None) -> Floats:
    """Ranks in (0, 1], ties sharing their mean; with `first`, the place among so many first values."""
    base = np.sort(values[:first])
    low, high = np.searchsorted(base, values, side="left"), np.searchsorted(base, values, side="right")
    return (low + high + 1) / (2 * len(base))


def _auc_error(a: float, y: Floats) -> float:
    """Standard error of an AUC (Hanley & McNeil 1982)."""
    ones = float(y.sum())
    zeros = len(y) - ones
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    variance = (a * (1 - a) + (ones - 1) * (q1 - a * a) + (zeros - 1) * (q2 - a * a)) / (ones * zeros)
    return float(np.sqrt(max(variance, 0.0)))


def _wilson(hits: float, count: int) -> float:
    """Lower end of the 95 % interval of a share (Wilson 1927)."""
    p, z = hits / count, _SURE
    middle = p + z * z / (2 * count)
    return float((middle - z * np.sqrt(p * (1 - p) / count + z * z / (4 * count * count))) / (1 + z * z / count))


def _sampled(rows: int, most: int, rng: np.random.Generator) -> Ints:
    """Positions of at most `most` of `rows` rows, in order."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(rng.choice(rows, most, replace=False))


def _taken(X: Columns, at: Ints) -> Columns:
    """The rows of X at these positions; encoding is what costs, and a sample needs no more."""
    frame: Any = X
    if hasattr(frame, "iloc"):
        return cast(Columns, frame.iloc[at])
    return {name: np.asarray(frame[name], dtype=getattr(frame[name], "dtype", object))[at] for name in frame.keys()}  # noqa: SIM118


def _shown(column: Column, value: float) -> str:
    if column.kind == "categorical":
        return f"'{column.categories[int(value)]}'"
    return ("false", "true")[int(value)] if column.kind == "boolean" else f"{value:g}"


def _measure(ranking: float, binary: bool) -> str:
    return f"AUC {(ranking + 1) / 2:.3f}" if binary else f"rank correlation {ranking:.3f}"
