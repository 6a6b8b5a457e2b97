"""A challenger and another model in the same resamples, and one-sided bounds of what it gains.

Efron & Tibshirani (1993), chapter 13, the percentile method; Field & Welsh (2007) for entities drawn whole. Where the
same rows were looked at before, the looks share the chance of error (Bonferroni).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from models import metrics
from models.base import Task
from models.compare import LABEL, measures, resampled
from models.gate.check import CHALLENGER, GUESS, Figure, Rows
from models.inputs import Floats
from models.judges import judge_of

if TYPE_CHECKING:
    from pipelines.core.promotion_params import GateParams

RANKING: dict[Task, tuple[str, str]] = {"binary": ("auc", "AUC"), "regression": ("spearman", "rank correlation")}
"""The measure of the order, and its words."""

_BEYOND = 20  # resamples that have to lie beyond a bound
_MOST = 5_000  # resamples; what lies further out than they tell is extrapolated


@dataclass(frozen=True)
class Gain:
    """What the challenger gains over another; positive where it is better.

    Attributes:
        over: whom.
        ours: measure of the challenger, in its own unit.
        theirs: measure of the other.
        value: the gain; of an RMSE as a share of the constant guess's.
        lower: its one-sided lower bound.
        upper: its one-sided upper bound, of the same level.
    """

    over: str
    ours: float
    theirs: float
    value: float
    lower: float
    upper: float


class Resamples:
    """The challenger and another model in the same resamples.

    Attributes:
        rows: what is resampled; the challenger's predictions first, the other's, the guess's last.
        params: of the gate.
        looks: that share the chance of error.
        tail: chance left to one side by one look.
        draws: resamples.
    """

    def __init__(self, rows: Rows, params: GateParams, looks: int, ranking: bool = True) -> None:
        """Draw them; without `ranking` only losses can be asked for, which takes a third of the time."""
        self.rows, self.params, self.looks = rows, params, max(1, looks)
        self.tail = (1 - params.level) / self.looks
        self.draws = min(max(params.draws, ceil(_BEYOND / self.tail)), max(params.draws, _MOST))
        *models, guess = rows.predictions
        # The loss of a guess between two labels follows from their share: only of numbers it needs resampling.
        asked = models if rows.task == "binary" else [*models, guess]
        scores = [rows.predictions[who] for who in asked]
        drawn = resampled(rows.y, scores, rows.groups, self.draws, np.random.default_rng(0), rows.task, ranking)
        self._drawn: dict[str, dict[str, Floats]] = dict(zip(asked, drawn, strict=True))
        self._judge = judge_of(rows.task)

    def loss(self, over: str) -> Gain:
        """The gain in the deciding loss."""
        y, scores = self.rows.y, self.rows.predictions
        values = [self._judge.score(y, scores[who]) for who in (CHALLENGER, over)]
        unit = 1.0 if self.rows.task == "binary" else self._judge.score(y, scores[GUESS])
        return self._gain(over, values, (self._losses(over) - self._losses(CHALLENGER)) / unit, -1 / unit)

    def ranking(self, over: str) -> Gain:
        """The gain in AUC or rank correlation."""
        name = RANKING[self.rows.task][0]
        values = [measures(self.rows.y, self.rows.predictions[who], self.rows.task)[name] for who in (CHALLENGER, over)]
        return self._gain(over, values, self._drawn[CHALLENGER][name] - self._drawn[over][name], 1.0)

    def figures(self, gain: Gain) -> dict[str, Figure]:
        """A gain's numbers by name."""
        return {
            "over": gain.over,
            "ours": gain.ours,
            "theirs": gain.theirs,
            "gain": gain.value,
            "lower": gain.lower,
            "upper": gain.upper,
            "level": 1 - self.tail,
            "looks": self.looks,
            "draws": self.draws,
            "rows": len(self.rows.y),
            "entities": int(self.rows.groups.max()) + 1,
        }

    def _losses(self, who: str) -> Floats:
        if who in self._drawn:
            return self._drawn[who][self._judge.loss]
        guess = self.rows.predictions[who][0]
        zero, one = metrics.losses([0, 1], [guess, guess])
        ones = self._drawn[CHALLENGER][LABEL]
        return np.asarray(zero + ones * (one - zero))

    def _gain(self, over: str, values: list[float], drawn: Floats, sign: float) -> Gain:
        ours, theirs = values
        gain = sign * (ours - theirs)
        return Gain(over, ours, theirs, gain, *bounds(drawn, gain, self.tail))


def bounds(drawn: Floats, value: float, tail: float) -> tuple[float, float]:
    """One-sided lower and upper bound of a value, each with a chance of `tail` to be wrong.

    The wider of two: the percentile of the resamples, and the value less so many of their standard deviations as a
    normal variable's quantile says. The percentile alone comes too near where one outlier makes both the gain and the
    skew: of two equally good models of a label with a heavy tail it calls one better in 7.5 % of windows at a level of
    .95, the wider of both in 5.7 %. Where fewer than 20 resamples would lie beyond a percentile, it is that of 20,
    stretched in proportion to the normal quantiles. Resamples without a value count against either bound.

    Args:
        drawn: the value in each resample; NaN where it has none.
        value: on the rows at hand.
        tail: between 0 and 0.5.
    """
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return -np.inf, np.inf
    near = max(tail, min(_BEYOND / len(drawn), 0.25))
    far, stretch = -NormalDist().inv_cdf(tail), NormalDist().inv_cdf(tail) / NormalDist().inv_cdf(near)
    place, spread = max(int(near * len(drawn)) - 1, 0), float(known.std())
    lowest = float(np.sort(np.where(np.isnan(drawn), -np.inf, drawn))[place])
    highest = float(np.sort(np.where(np.isnan(drawn), np.inf, drawn))[len(drawn) - 1 - place])
    lower = min(value + stretch * (lowest - value), value - far * spread)
    return lower, max(value + stretch * (highest - value), value + far * spread)
