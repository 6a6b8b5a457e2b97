"""Intervals of values: conformal quantiles of residuals, scaled by difficulty, by size of the prediction, and by age.

A residual is measured in units of what is expected at its row (`difficulty`), as in normalised conformal regression
(Papadopoulos et al. 2011), and its quantiles are taken among rows of a like prediction (Mondrian bins, Bostroem &
Johansson 2020), between whose middles they run straight. Where values pile up at their least one, as spend does at 0,
no lower end stands below it, nor in the gap above it.

Two things follow the market. Older residuals weigh less, by the half-life that did best on rows later than those it was
learnt from. And where intervals learnt on earlier rows covered too little of later ones, the newest of these counting
most, wider quantiles are asked for: those that would have covered enough. They are never narrower than wanted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from models.inputs import Floats, InputError

BINS, BIN_ROWS = 10, 60
"""At most so many bins, each of at least so many rows (as they weigh)."""
STRETCHES = 5
"""Parts of the rows, in time order: each but the first is judged by what the earlier ones taught."""
FEWEST_ROWS = 1000
"""With fewer rows nothing is learnt of time: quantiles are those of all rows, as wanted."""
HALF_LIVES = (float("inf"), 1.0, 0.5, 0.25, 0.125)
"""Candidates, as shares of the rows; a shorter one has to lower the interval score of all stretches but one, and the
mean by more than `MARGIN`."""
MARGIN = 0.01
PILE = 0.01
"""From so large a share of rows at the least value, that value bounds intervals."""
SLACK = 0.03
"""Share of the median residual added to every difficulty, so that none is nothing."""
TAILS = np.array([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, *np.arange(0.02, 0.5, 0.01), 0.5])
LEVELS = np.concatenate([TAILS, 1 - TAILS[-2::-1]])
"""Where quantiles are kept; between them they run straight."""
WANTED = np.array([0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 0.998])
"""Coverages for which the level is kept that gave them in time."""


@dataclass(frozen=True)
class Intervals:
    """What turns a prediction and its difficulty into an interval of any coverage.

    Attributes:
        middles: rising middle prediction of each bin (bins,).
        quantiles: scaled residual at each of `LEVELS` (bins, levels), rising along the levels.
        least: the least value, where values pile up there, else minus infinity.
        next: where other values begin: a lower end below it becomes `least`.
        slack: added to every difficulty, above 0.
        levels: the level to ask for at each of `WANTED`, rising.
        half_life: of the weight of a residual, as a share of the rows learnt from; infinite where all weigh alike.
    """

    middles: Floats
    quantiles: Floats
    least: float
    next: float
    slack: float
    levels: Floats
    half_life: float

    @classmethod
    def learn(
        cls,
        predicted: npt.ArrayLike,
        values: npt.ArrayLike,
        difficulty: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> Intervals:
        """Learn from rows in time order.

        Args:
            predicted: out-of-fold predictions (n,).
            values: what came (n,).
            difficulty: expected size of the residual (n,), out-of-fold too, not negative; None takes all rows alike.
            weights: not negative (n,); None weighs all alike.

        Raises:
            InputError: no row, arrays that do not fit each other, or numbers that are not finite.
        """
        rows = _Rows.checked(predicted, values, difficulty, weights)
        if len(rows.values) < FEWEST_ROWS:
            return cls._at(rows, float("inf"), WANTED)
        found = {half_life: _walk(rows, half_life) for half_life in HALF_LIVES}
        best = HALF_LIVES[0]
        for half_life in HALF_LIVES[1:]:
            ours, usual = found[half_life][1], found[best][1]
            if (ours <= usual).sum() >= STRETCHES - 2 and ours.mean() < (1 - MARGIN) * usual.mean():
                best = half_life
        return cls._at(rows, best, found[best][0])

    @classmethod
    def _at(cls, rows: _Rows, half_life: float, levels: Floats) -> Intervals:
        """Quantiles of all rows, weighted by this half-life."""
        n = len(rows.values)
        weights = rows.weights * 0.5 ** (np.arange(n - 1, -1, -1) / (half_life * n))
        least, slack = rows.least(), rows.slack()
        scaled = (rows.values - rows.predicted) / (rows.difficulty + slack)
        bin_of, bins = _bins(rows.predicted, weights)
        parts = [np.flatnonzero(bin_of == k) for k in range(bins)]
        return cls(
            np.array([np.average(rows.predicted[part], weights=weights[part]) for part in parts]),
            np.stack([_quantiles(scaled[part], weights[part]) for part in parts]),
            least,
            rows.next(least),
            slack,
            levels,
            half_life,
        )

    def interval(
        self, predicted: npt.ArrayLike, coverage: float = 0.9, difficulty: npt.ArrayLike | None = None
    ) -> Floats:
        """Lower and upper end (n, 2) of each row.

        Args:
            predicted: predictions (n,).
            coverage: share of values that the intervals shall hold, above 0 and below 1.
            difficulty: as in `learn` (n,).

        Raises:
            InputError: a coverage out of range.
        """
        if not 0 < coverage < 1:
            raise InputError(f"coverage must lie between 0 and 1, not {coverage}: 0.9 is usual")
        return self._of_level(predicted, float(np.interp(coverage, WANTED, self.levels)), difficulty)

    def _of_level(self, predicted: npt.ArrayLike, level: float, difficulty: npt.ArrayLike | None) -> Floats:
        centre = np.asarray(predicted, dtype=np.float64)
        scale = self.slack + (0.0 if difficulty is None else np.asarray(difficulty, dtype=np.float64))
        tail = (1 - level) / 2
        ends = []
        for at in (tail, 1 - tail):
            quantile = np.array([np.interp(at, LEVELS, row) for row in self.quantiles])
            ends.append(centre + np.interp(centre, self.middles, quantile) * scale)
        low, high = ends
        if np.isfinite(self.least):
            low[low < self.next] = self.least
            high = np.maximum(high, self.least)
        return np.column_stack([low, high])

    def to_json(self) -> bytes:
        """All fields as plain numbers; an infinite one as null."""
        plain: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            plain[field.name] = (
                value.tolist() if isinstance(value, np.ndarray) else value if np.isfinite(value) else None
            )
        return json.dumps(plain).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Intervals:
        """What `to_json` gave."""
        found = json.loads(data)
        arrays = {name: np.array(found[name], np.float64) for name in ("middles", "quantiles", "levels")}
        least, half_life = found["least"], found["half_life"]
        return cls(
            **arrays,
            least=-np.inf if least is None else float(least),
            next=float(found["next"]),
            slack=float(found["slack"]),
            half_life=np.inf if half_life is None else float(half_life),
        )


@dataclass(frozen=True)
class _Rows:
    """Rows in time order, checked."""

    predicted: Floats
    values: Floats
    difficulty: Floats
    weights: Floats

    @classmethod
    def checked(
        cls,
        predicted: npt.ArrayLike,
        values: npt.ArrayLike,
        difficulty: npt.ArrayLike | None,
        weights: npt.ArrayLike | None,
    ) -> _Rows:
        centre = np.asarray(predicted, dtype=np.float64)
        n = len(centre)
        arrays = [
            centre,
            np.asarray(values, dtype=np.float64),
            np.zeros(n) if difficulty is None else np.asarray(difficulty, dtype=np.float64),
            np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64),
        ]
        names = ("predictions", "values", "difficulties", "weights")
        for name, array in zip(names, arrays, strict=True):
            if array.shape != (n,) or not n:
                raise InputError(f"{len(array)} {name} and {n} predictions make no interval")
            if not np.isfinite(array).all():
                raise InputError(f"{name} must be finite, not {array[~np.isfinite(array)][0]}")
        kept = arrays[3] > 0
        if not kept.any():
            raise InputError("all weights are 0: there is no row to learn from")
        return cls(arrays[0][kept], arrays[1][kept], arrays[2][kept], arrays[3][kept])

    def part(self, start: int, end: int) -> _Rows:
        return _Rows(*(getattr(self, field.name)[start:end] for field in fields(self)))

    def slack(self) -> float:
        size = float(np.median(np.abs(self.values - self.predicted)))
        return max(SLACK * size, 1e-9 * max(1.0, float(np.abs(self.values).max()))) if self.difficulty.any() else 1.0

    def least(self) -> float:
        least = float(self.values.min())
        piled = float(np.average(self.values == least, weights=self.weights))
        return least if piled >= PILE and len(self.values) * piled >= 2 else -np.inf

    def next(self, least: float) -> float:
        others = self.values[self.values > least]
        return float(others.min()) if len(others) else least


def _walk(rows: _Rows, half_life: float) -> tuple[Floats, Floats]:
    """Levels that gave each of `WANTED` on later stretches, and the interval score of 90 % ones on each of these."""
    edges = np.linspace(0, len(rows.values), STRETCHES + 1).astype(int)
    covered, scores = [], []
    for start, end in zip(edges[1:-1], edges[2:], strict=True):
        known, later = Intervals._at(rows.part(0, start), half_life, WANTED), rows.part(start, end)
        ends = [known._of_level(later.predicted, level, later.difficulty) for level in WANTED]
        inside = [(e[:, 0] <= later.values) & (later.values <= e[:, 1]) for e in ends]
        covered.append([np.average(i, weights=later.weights) for i in inside])
        low, high = ends[int(np.flatnonzero(WANTED == 0.9)[0])].T
        outside = np.maximum(low - later.values, 0) + np.maximum(later.values - high, 0)
        scores.append(np.average(high - low + 20 * outside, weights=later.weights))
    reached = np.maximum.accumulate(np.average(covered, axis=0, weights=2.0 ** np.arange(len(covered))))
    needed = np.interp(WANTED, np.concatenate([reached, [1.0]]), np.concatenate([WANTED, [1.0]]))
    return np.maximum(needed, WANTED), np.array(scores)


def _bins(predicted: Floats, weights: Floats) -> tuple[npt.NDArray[np.intp], int]:
    """The bin of each row, counted from 0 without gaps, and how many there are; equal predictions share one."""
    heavy = float(weights.sum() ** 2 / (weights**2).sum())
    wanted = int(np.clip(heavy // BIN_ROWS, 1, BINS))
    order = np.argsort(predicted, kind="stable")
    mass = np.cumsum(weights[order])
    cuts = np.searchsorted(mass, mass[-1] * np.arange(1, wanted) / wanted)
    edges = np.unique(predicted[order][cuts])
    found = np.unique(np.searchsorted(edges, predicted, side="right"), return_inverse=True)[1].reshape(-1)
    return found, int(found.max()) + 1


def _quantiles(scaled: Floats, weights: Floats) -> Floats:
    """Conformal quantiles at `LEVELS`: one more row of mean weight is thought of beyond either end."""
    order = np.argsort(scaled, kind="stable")
    values, mass = scaled[order], np.cumsum(weights[order])
    total, n = float(mass[-1] * (1 + 1 / len(mass))), len(mass)
    upper = np.minimum(np.searchsorted(mass, LEVELS * total * (1 - 1e-12)), n - 1)
    below = mass[-1] - mass + weights[order]  # of the rows from here on
    lower = n - 1 - np.minimum(np.searchsorted(below[::-1], (1 - LEVELS) * total * (1 - 1e-12)), n - 1)
    return cast(Floats, values[np.where(LEVELS < 0.5, np.minimum(lower, upper), np.maximum(lower, upper))])
