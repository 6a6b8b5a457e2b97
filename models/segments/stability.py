"""How many segments there are: as many as come back on other halves of the leads, with a valley between any two.

Stability (Ben-Hur, Elisseeff, Guyon 2002): k-means learns on two halves that share no row, each clustering is extended
to all rows by nearest centre (Lange et al. 2004; Tibshirani, Walther 2005, "prediction strength"), and the two are
compared by the adjusted Rand index (Hubert, Arabie 1985). From about .8 on a clustering counts as stable (Hennig 2007).

Stability alone finds segments where there are none: with many rows k-means cuts a skewed or correlated cloud again
and again at the same place (Ben-David, von Luxburg, Pál 2006). So two segments also have to be apart: on the line
through their centres, learnt on one half, rows of the rest are counted in three windows of equal width, around either
centre and midway. A density with one peak is never lower in a middle window than in both outer ones; `valley` is the
count midway as a share of the smaller outer one, and 1 where it may be chance. What comes in lumps by nature (texts,
booleans, counts) is spread to normal scores before: by itself it makes no valley, together with other columns it
does.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import bdtr, ndtri
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from models.inputs import Floats
from models.segments.space import Codes, Space

Drawn = np.random.Generator

RESAMPLES = 8
"""Pairs of halves."""

_HALF = 4000  # rows that a half has at most
_STARTS = 6  # of k-means
_ROUNDS = 25  # of filling gaps
_WIDTH = 0.25  # of a window, where the centres are 1 apart
_WEIGHT = 0.2  # rows of whom less is known (as a share of what sets two centres apart) are not counted
_LIGHT = 1e-3  # columns that weigh less are not looked at
_FEWEST = 16  # rows of an outer window; fewer show no valley
_CHANCE = 0.005  # a valley that even windows would show with a larger chance (binomial) is none
_HOPELESS = 0.5  # stability after half of the resamples below which the rest is spared


@dataclass(frozen=True)
class Tried:
    """How a number of segments did.

    Attributes:
        segments: how many.
        stability: mean adjusted Rand index of clusterings of two halves, up to 1.
        valley: rows midway between the two segments least apart, as a share of those around a centre; the median over
            resamples. 1 where it was not looked at.
        smallest: share of rows of the smallest segment, the mean over resamples.
    """

    segments: int
    stability: float
    valley: float
    smallest: float

    def passes(self, stable: float, valley: float, smallest: float) -> bool:
        """Whether it is stable, apart and large enough."""
        return self.stability >= stable and self.valley <= valley and self.smallest >= smallest


def k_means(points: Floats, k: int, seed: int, centres: Floats | None = None) -> Floats:
    """Centres (k, width) of points that may have gaps (NaN), from `centres` or of several starts the best.

    A gap is filled with the value of its row's centre until nothing moves (k-POD; Chi, Chi, Baraniuk 2016), which
    minimises the squared distances over what is known.
    """
    gaps = np.isnan(points)
    fit = KMeans(
        k, init="k-means++" if centres is None else centres, n_init=_STARTS if centres is None else 1, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than k
        if not gaps.any():
            return np.asarray(fit.fit(points).cluster_centers_, dtype=np.float64)
        known = np.maximum((~gaps).sum(axis=0), 1)
        middle = np.where(gaps, 0.0, points).sum(axis=0) / known
        filled = np.where(gaps, middle, points) if centres is None else _filled(points, centres)
        fit.fit(filled)
        labels = np.full(len(points), -1)
        for _ in range(_ROUNDS):
            found = np.asarray(fit.cluster_centers_, dtype=np.float64)
            if np.array_equal(labels, labels := nearest(points, found)):
                break
            fit = KMeans(k, init=found, n_init=1, random_state=seed)
            fit.fit(np.where(gaps, found[labels], points))
    return np.asarray(fit.cluster_centers_, dtype=np.float64)


def _filled(points: Floats, centres: Floats) -> Floats:
    return np.where(np.isnan(points), centres[nearest(points, centres)], points)


def squared(points: Floats, centres: Floats) -> Floats:
    """Squared distances (rows, centres) over what is known of each row."""
    gaps = np.isnan(points)
    known = np.where(gaps, 0.0, points)
    norms = (~gaps).astype(np.float64) @ (centres**2).T if gaps.any() else (centres**2).sum(axis=1)
    return np.asarray((known**2).sum(axis=1)[:, None] + norms - 2 * known @ centres.T, dtype=np.float64)


def nearest(points: Floats, centres: Floats) -> Codes:
    """Position of each row's nearest centre."""
    return np.asarray(squared(points, centres).argmin(axis=1), dtype=np.intp)


def tried(space: Space, points: Floats, most: int, seed: int) -> Iterator[tuple[Tried, Floats]]:
    """How 2 … `most` segments do on the rows of these coordinates, and the centres of the half most apart.

    Another half may have led k-means elsewhere: whoever takes that number starts from these centres.

    Args:
        space: what the coordinates are of.
        points: coordinates (rows, width), NaN where a value is missing, in an order of rows that means nothing.
        most: segments.
        seed: of halves and starts.
    """
    lumps = [at for part, at in zip(space.parts, space.slices, strict=True) if part.lumpy]
    whole = [at for part, at in zip(space.parts, space.slices, strict=True) if not part.lumpy]
    half = min(len(points) // 2, _HALF)
    for k in range(2, min(most, half) + 1):
        agreed: list[float] = []
        valleys: list[float] = []
        smallest: list[float] = []
        apart: list[Floats] = []
        for resample in range(RESAMPLES):
            rng = np.random.default_rng([seed, resample])
            order = rng.permutation(len(points))
            one, other = (k_means(points[rows], k, seed) for rows in (order[:half], order[half : 2 * half]))
            labels = nearest(points, one)
            agreed.append(adjusted_rand_score(labels, nearest(points, other)))
            smallest.append(np.bincount(labels, minlength=k).min() / len(points))
            if resample + 1 >= RESAMPLES // 2 and np.mean(agreed) < _HOPELESS:
                break
            rest = order[half:]
            if len(valleys) < RESAMPLES // 2:
                valleys.append(_valley(points[rest], labels[rest], one, whole, lumps, rng))
                apart.append(one)
        valley = float(np.median(valleys)) if np.mean(agreed) >= _HOPELESS else 1.0
        best = apart[int(np.argmin(valleys))]
        yield Tried(k, float(np.mean(agreed)), valley, float(np.mean(smallest))), best


def _valley(
    points: Floats, labels: Codes, centres: Floats, whole: Sequence[slice], lumps: Sequence[slice], rng: Drawn
) -> float:
    """Rows midway between the two centres least apart, as a share of those around a centre; 1 at most."""
    found = 0.0
    for i, j in combinations(range(len(centres)), 2):
        rows = points[(labels == i) | (labels == j)]
        found = max(found, _between(rows, centres[i], centres[j], whole, lumps, rng))
        if found >= 1.0:
            return 1.0
    return found


def _between(
    rows: Floats, one: Floats, other: Floats, whole: Sequence[slice], lumps: Sequence[slice], rng: Drawn
) -> float:
    """The same of two centres and the rows of either."""
    apart, middle = other - one, (one + other) / 2
    weights = np.zeros(len(rows))
    along = np.zeros(len(rows))
    total = float(apart @ apart)
    for at, lumpy in [*((at, False) for at in whole), *((at, True) for at in lumps)]:
        weight = float(apart[at] @ apart[at])
        if weight <= _LIGHT * total:
            continue
        term = (rows[:, at] - middle[at]) @ apart[at]
        known = ~np.isnan(term)
        if lumpy:
            term[known] = _spread(term[known], rng)
        along += np.where(known, term, 0.0)
        weights += np.where(known, weight, 0.0)
    enough = weights > _WEIGHT * total
    places = along[enough] / weights[enough]  # -.5 at one centre, .5 at the other
    left, mid, right = (int((np.abs(places - at) <= _WIDTH / 2).sum()) for at in (-0.5, 0.0, 0.5))
    sides = min(left, right)
    if sides < _FEWEST or bdtr(mid, mid + sides, 0.5) > _CHANCE:
        return 1.0
    return min(mid / sides, 1.0)


def _spread(values: Floats, rng: Drawn) -> Floats:
    """Normal scores of the same order, mean and standard deviation; equal values in an order that is drawn."""
    if not len(values):
        return values
    order = np.lexsort((rng.random(len(values)), values))
    scores = np.empty(len(values))
    scores[order] = ndtri((np.arange(len(values)) + 0.5) / len(values))
    return np.asarray(values.mean() + values.std() * scores, dtype=np.float64)
