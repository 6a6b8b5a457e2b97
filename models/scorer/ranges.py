"""The range of a probability: how far the true one may lie from the calibrated one.

A single outcome does not show how much leads of one score differ; several outcomes of one lead do. Where rows say whose
they are, the spread between leads is measured: an outcome and those of the same lead that come next are looked at from
the first one's score alone,

    y_1, y_2, ... ~ Bernoulli(expit(a + b * score_1 + u)),   u ~ N(0, spread^2),

by maximum likelihood with Gauss-Hermite quadrature. Later outcomes have to be seen from the first one's score: a later
score knows the first outcome (through features such as the rate of reactions), and leads that react to their own past
would then look as if they hardly differed.

Around that stands the Venn-Abers range (Vovk & Petej 2014): what the calibration rows leave open about the mean of
leads of one score. Without rows of the same lead it is all there is, widened by the disagreement of members; it then
speaks of leads scored alike and not of the single one.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from models.inputs import Floats, InputError

CELLS = 256
"""Scores are put together into at most so many cells of equal mass before anything is learnt from them."""
LATER = 3
"""So many outcomes that come next are looked at: more are surer of the spread, fewer know less of how leads change."""
FEWEST_PAIRS = 200
"""Fewer rows with a later outcome of the same lead say nothing about a spread."""
USUAL_SPREAD, DOUBT = 0.5, 1.0
"""Median and width (of the logarithm) of what is believed of the spread before pairs are seen: it weighs like a row."""
WIDEST = 4.5
"""Largest spread, in log odds."""
_NODES = 31
_GRID = np.linspace(-18.0, 18.0, 1441)


@dataclass(frozen=True)
class Range:
    """What turns a calibrated log odds into a range of probabilities.

    Attributes:
        spread: standard deviation, in log odds, between leads of the same score; 0 where it is not known.
        pairs: rows with a later outcome of the same lead that it was learnt from.
        scores: rising log odds of the Venn-Abers cells.
        low: probability of 1 at these scores if one more row there were a 0.
        high: the same if it were a 1; at least `low`.
    """

    spread: float
    pairs: int
    scores: Floats
    low: Floats
    high: Floats

    @classmethod
    def learn(
        cls,
        raw: npt.ArrayLike,
        labels: npt.ArrayLike,
        later: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> Range:
        """Learn from judged rows.

        Args:
            raw: out-of-fold log odds (n,), calibrated as those that `interval` will get.
            labels: 0/1 (n,).
            later: what `later_outcomes` says of these rows (n, `LATER`); None where nobody knows whose they are.
            weights: not negative (n,), for the spread only; None weighs all alike.

        Raises:
            InputError: no row, arrays that do not fit each other, or log odds that are not finite.
        """
        scores, outcomes, weighing = _checked(raw, labels, weights)
        cells, low, high = _venn_abers(*_drawn(scores, outcomes, weighing))
        if later is None:
            return cls(0.0, 0, cells, low, high)
        follow = np.asarray(later, dtype=np.float64)
        if follow.shape != (len(scores), LATER):
            raise InputError(f"later outcomes must be {LATER} for each of {len(scores)} rows, not {follow.shape}")
        again = np.isfinite(follow).any(axis=1) & (weighing > 0)
        pairs = int(again.sum())
        if pairs < FEWEST_PAIRS:
            return cls(0.0, pairs, cells, low, high)
        together = np.column_stack([outcomes, follow])[again]
        ones, seen = np.nansum(together, axis=1), np.isfinite(together).sum(axis=1)
        return cls(_spread(scores[again], ones, seen, weighing[again]), pairs, cells, low, high)

    def interval(self, raw: npt.ArrayLike, coverage: float = 0.9, disagreement: npt.ArrayLike | None = None) -> Floats:
        """Lower and upper probability (n, 2) of each row; the calibrated probability lies within.

        Args:
            raw: calibrated log odds (n,).
            coverage: share of rows whose true probability the range shall hold, above 0 and below 1.
            disagreement: standard deviation (n,) of the members' log odds; used where the spread is not known, as that
                one holds the error of the scores already.

        Raises:
            InputError: a coverage out of range.
        """
        reach = normal_reach(coverage)
        scores = np.asarray(raw, dtype=np.float64)
        width: Any = self.spread
        if not self.spread and disagreement is not None:
            width = np.asarray(disagreement, dtype=np.float64)
        at, low, high = self._centres
        found = np.empty((len(scores), 2))
        found[:, 0] = _expit(np.interp(scores, at, low) - reach * width)
        found[:, 1] = _expit(np.interp(scores, at, high) + reach * width)
        # The mean of a skewed distribution can lie beyond a quantile: at low coverage the probability stays inside
        own = _expit(scores)
        np.minimum(found[:, 0], own, out=found[:, 0])
        np.maximum(found[:, 1], own, out=found[:, 1])
        return found

    @cached_property
    def _centres(self) -> tuple[Floats, Floats, Floats]:
        """Scores, and the log odds around which the lower and the upper end stand there.

        They depend on the score alone, so they are worked out once; between these scores they run all but straight.
        """
        at = np.union1d(_GRID, self.scores)
        own = _expit(at)
        low = self._centre(np.minimum(np.interp(at, self.scores, self.low), own))
        high = self._centre(np.maximum(np.interp(at, self.scores, self.high), own))
        return at, low, high

    def to_json(self) -> bytes:
        """All fields as plain numbers."""
        arrays = {name: getattr(self, name).tolist() for name in ("scores", "low", "high")}
        return json.dumps({"spread": self.spread, "pairs": self.pairs, **arrays}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Range:
        """What `to_json` gave."""
        found = json.loads(data)
        arrays = (np.array(found[name], dtype=np.float64) for name in ("scores", "low", "high"))
        return cls(float(found["spread"]), int(found["pairs"]), *arrays)

    def _centre(self, p: Floats) -> Floats:
        """The log odds around which leads of mean probability `p` are spread: the mean then is `p` again."""
        if not self.spread:
            return _logit(p)
        nodes, weights = _hermite()
        means = _expit(_GRID[:, None] + self.spread * nodes) @ weights
        return np.interp(_logit(p), _logit(means), _GRID)


def later_outcomes(labels: npt.ArrayLike, groups: npt.ArrayLike) -> Floats:
    """The next outcomes of each row's own lead (n, `LATER`), the nearest first; NaN where there is none any more.

    Args:
        labels: 0/1 of all rows, in time order (n,), judged or not.
        groups: whose row it is (n,), of any kind that sorts.

    Raises:
        InputError: groups that do not fit the labels.
    """
    outcomes = np.asarray(labels, dtype=np.float64)
    codes = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    if len(codes) != len(outcomes):
        raise InputError(f"{len(codes)} groups do not fit {len(outcomes)} rows")
    order = np.argsort(codes, kind="stable")
    found = np.full((len(codes), LATER), np.nan)
    for step in range(1, min(LATER, len(codes) - 1) + 1):
        here, there = order[:-step], order[step:]
        same = codes[here] == codes[there]
        found[here[same], step - 1] = outcomes[there[same]]
    return found


def normal_reach(coverage: float) -> float:
    """Standard deviations to either side that hold `coverage` of a normal variable. Raises InputError out of (0, 1)."""
    from scipy.special import ndtri

    if not 0 < coverage < 1:
        raise InputError(f"coverage must lie between 0 and 1, not {coverage}: 0.9 is usual")
    return float(ndtri((1 + coverage) / 2))


def _checked(raw: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    scores, outcomes = np.asarray(raw, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    weighing = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(scores) or scores.shape != outcomes.shape or scores.shape != weighing.shape:
        raise InputError(f"{len(scores)} log odds, {len(outcomes)} labels and {len(weighing)} weights make no range")
    if not np.isfinite(scores).all():
        raise InputError(f"log odds must be finite, not {scores[~np.isfinite(scores)][0]}")
    return scores, outcomes, weighing


def _drawn(scores: Floats, labels: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """As many rows, drawn by their weights where these differ: isotonic regression here knows no weights."""
    if np.ptp(weights) == 0:
        return scores, labels
    rows = np.sort(np.random.default_rng(0).choice(len(scores), len(scores), p=weights / weights.sum()))
    return scores[rows], labels[rows]


def _cells(scores: Floats) -> npt.NDArray[np.intp]:
    """The cell, counted from 0 without gaps, of each score; equal scores share one."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, CELLS + 1)))
    return np.unique(np.searchsorted(edges, scores, side="right"), return_inverse=True)[1].reshape(-1)


def _venn_abers(scores: Floats, labels: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean score of each cell, and the two isotonic probabilities there."""
    # The package sets numpy's error state for everyone when it is imported, and warns of gaps that it meets by design
    with np.errstate(), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        from venn_abers.venn_abers import calc_p0p1

        cell = _cells(scores)
        means = np.bincount(cell, scores) / np.bincount(cell)
        p = _expit(means)[cell]
        p0, p1, at = calc_p0p1(np.column_stack([1 - p, p]), labels)
    # Row 0 of p1 and the last of p0 are for scores outside of those seen
    at_p1, at_p0 = p1[:-1, 1], p0[1:, 1]
    return _logit(at), np.minimum(at_p0, at_p1), np.maximum(at_p0, at_p1)


def _spread(scores: Floats, ones: Floats, seen: Floats, weights: Floats) -> float:
    """Standard deviation of leads' log odds around their score, from how many of so many outcomes were 1."""
    from scipy.optimize import minimize

    cell = _cells(scores)
    rows = np.bincount(cell, weights)
    means = np.bincount(cell, weights * scores) / np.maximum(rows, 1e-12)
    kinds = sorted({(int(k), int(n)) for k, n in np.unique(np.column_stack([ones, seen]), axis=0)})
    counts = np.stack([np.bincount(cell, weights * ((ones == k) & (seen == n)), minlength=len(rows)) for k, n in kinds])
    nodes, mass = _hermite()

    def loss(theta: Floats) -> float:
        p = _expit((theta[0] + theta[1] * means)[:, None] + np.exp(theta[2]) * nodes)
        chances = np.stack([(p**k * (1 - p) ** (n - k)) @ mass for k, n in kinds])
        belief = ((theta[2] - np.log(USUAL_SPREAD)) / DOUBT) ** 2 / 2
        return float(belief - (counts * np.log(np.maximum(chances, 1e-300))).sum())

    bounds = [(-5.0, 5.0), (0.0, 5.0), (np.log(1e-3), np.log(WIDEST))]
    found = minimize(loss, np.array([0.0, 1.0, np.log(USUAL_SPREAD)]), method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[2]))


def _hermite() -> tuple[Floats, Floats]:
    """Nodes and weights of the standard normal distribution."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return nodes, weights / weights.sum()


def _expit(raw: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(raw, -500, 500)))


def _logit(p: Floats) -> Floats:
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    return cast(Floats, np.log(clipped) - np.log1p(-clipped))
