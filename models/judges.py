"""How predictions are judged, by task: probabilities by their log loss, numbers by their root mean squared error.

The deciding loss of a row is averaged over rows. A squared error is lowest at the mean of what may happen, as the log
loss is at its probability; an absolute one is lowest at the median, which says nothing of a number that is mostly 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, cast

import numpy as np
import numpy.typing as npt

from models import metrics
from models.base import Task
from models.inputs import Floats


class Judge(ABC):
    """The measures of one task.

    Attributes:
        task: its name.
        loss: name of the deciding measure; lower is better.
        words: the deciding measure as a sentence names it.
        shown: the measures that are shown side by side, the deciding one among them.
        centre: name of the label's mean.
        guess: the constant guess, in words.
    """

    task: ClassVar[Task]
    loss: ClassVar[str]
    words: ClassVar[str]
    shown: ClassVar[tuple[str, ...]]
    centre: ClassVar[str]
    guess: ClassVar[str]

    @abstractmethod
    def evaluate(self, y: npt.ArrayLike, p: npt.ArrayLike) -> dict[str, float]:
        """The measures of predictions `p` of labels `y`, by name."""

    @abstractmethod
    def losses(self, y: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
        """The deciding loss of each row."""

    def total(self, mean: Floats) -> Floats:
        """The deciding measure from means of the rows' losses."""
        return mean

    def score(self, y: npt.ArrayLike, p: npt.ArrayLike) -> float:
        """The deciding measure of one set of rows."""
        return float(self.total(self.losses(y, p).mean()))

    def difference_interval(
        self,
        y: npt.ArrayLike,
        ours: npt.ArrayLike,
        theirs: npt.ArrayLike,
        *,
        draws: int = 500,
        level: float = 0.95,
        seed: int = 0,
    ) -> tuple[float, float]:
        """Paired bootstrap interval of the deciding measure of `ours` minus that of `theirs` on the same rows.

        Efron & Tibshirani (1993), percentile method. Both ends below zero: `ours` is better beyond chance.
        """
        pairs = np.column_stack([self.losses(y, ours), self.losses(y, theirs)])
        rng = np.random.default_rng(seed)
        means = np.array([pairs[rng.integers(0, len(pairs), len(pairs))].mean(axis=0) for _ in range(draws)])
        totals = self.total(means)
        low, high = np.quantile(totals[:, 0] - totals[:, 1], [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


class Binary(Judge):
    """Probabilities of 1 against labels of 0 and 1."""

    task = "binary"
    loss = "logloss"
    words = "log loss"
    shown = ("auc", "logloss", "ece")
    centre = "base rate"
    guess = "base rate"

    def evaluate(self, y: npt.ArrayLike, p: npt.ArrayLike) -> dict[str, float]:
        """`auc`, `logloss`, `ece` and `base_rate`."""
        return metrics.evaluate(y, p)

    def losses(self, y: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
        """Log loss in nats."""
        return metrics.losses(y, p)


class Regression(Judge):
    """Predicted numbers against numbers, in the label's unit."""

    task = "regression"
    loss = "rmse"
    words = "RMSE"
    shown = ("spearman", "rmse", "mae")
    centre = "mean"
    guess = "training mean"

    def evaluate(self, y: npt.ArrayLike, p: npt.ArrayLike) -> dict[str, float]:
        """`rmse`, `mae`, `spearman` and `mean`, the label's."""
        gaps = _gaps(y, p)
        return {
            "rmse": float(np.sqrt(np.mean(gaps**2))),
            "mae": float(np.mean(np.abs(gaps))),
            "spearman": spearman(y, p),
            "mean": float(np.mean(np.asarray(y, dtype=np.float64))),
        }

    def losses(self, y: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
        """Squared error."""
        return _gaps(y, p) ** 2

    def total(self, mean: Floats) -> Floats:
        """The root of mean squared errors."""
        return cast(Floats, np.sqrt(mean))


_JUDGES: dict[str, Judge] = {judge.task: judge for judge in (Binary(), Regression())}


def judge_of(task: str) -> Judge:
    """The judge of a task, "binary" or "regression"."""
    return _JUDGES[task]


def spearman(y: npt.ArrayLike, p: npt.ArrayLike) -> float:
    """Spearman's rank correlation, equal values sharing their mean rank; 0 where one of the two is constant.

    A constant guess orders nothing: its correlation is not defined, and 0 is what a random order has.
    """
    _gaps(y, p)
    ranks = [mean_ranks(np.asarray(values, dtype=np.float64)) for values in (y, p)]
    centred = [one - one.mean() for one in ranks]
    spread = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return float((centred[0] * centred[1]).sum() / spread) if spread > 0 else 0.0


def mean_ranks(values: Floats) -> Floats:
    """Mean rank of each value, from 1."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _gaps(y: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    labels, values = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if labels.shape != values.shape or not len(labels):
        raise ValueError(f"metrics need as many labels as values, and at least one: {labels.shape}, {values.shape}")
    return values - labels
