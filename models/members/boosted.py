"""What boosted trees share: how many of them are grown, and what an absolute or a squared loss means to each."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, cast, get_args

import numpy as np

from models.base import Estimator, Task, check_task, normalised
from models.inputs import Floats, InputError

Loss = Literal["squared", "absolute"]


class Boosted(Estimator):
    """Boosted trees. Subclasses train a booster of so many rounds, and say how it does on rows that it is shown.

    With `early_stopping_rounds` the number of trees is found on the latest `validation_share` of the training rows, and
    the trees are then grown again on all of them.
    """

    def __init__(
        self,
        task: Task = "binary",
        *,
        learning_rate: float = 0.05,
        num_boost_round: int = 300,
        subsample: float = 1.0,
        colsample_bytree: float = 1.0,
        reg_lambda: float = 0.0,
        loss: Loss = "squared",
        early_stopping_rounds: int | None = 30,
        validation_share: float = 0.15,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        if loss not in get_args(Loss):
            raise InputError(f"loss must be one of {', '.join(get_args(Loss))}, not {loss!r}")
        self.task = check_task(task)
        self.learning_rate = learning_rate
        self.num_boost_round = num_boost_round
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.loss = loss
        self.early_stopping_rounds = early_stopping_rounds
        self.validation_share = validation_share
        self.seed = seed
        self.threads = threads
        self.booster_: Any = None

    def fit_matrix(self, matrix: Floats, labels: Floats, weights: Floats | None = None) -> None:
        """See `Estimator`."""
        cut = recent_split(labels, self.validation_share, self.task) if self.early_stopping_rounds else None
        rounds = self.num_boost_round
        if cut is not None:
            early = None if weights is None else weights[:cut]
            curve = self.watch(matrix[:cut], labels[:cut], early, matrix[cut:], labels[cut:])
            rounds = int(np.argmin(curve)) + 1
        self.fit_rounds(matrix, labels, weights, rounds)

    def fit_rounds(self, matrix: Floats, labels: Floats, weights: Floats | None, rounds: int) -> None:
        """Learn so many trees from these rows."""
        self.booster_, _ = self.train(matrix, labels, weights, rounds, None)
        self.rounds_ = rounds

    def watch(self, matrix: Floats, labels: Floats, weights: Floats | None, seen: Floats, outcomes: Floats) -> Floats:
        """Learn from the first rows, and return the loss on the others after 1, 2, … trees, as far as was grown."""
        self.booster_, curve = self.train(matrix, labels, weights, self.num_boost_round, (seen, outcomes))
        self.rounds_ = int(np.argmin(curve)) + 1
        return curve

    @abstractmethod
    def train(
        self,
        matrix: Floats,
        labels: Floats,
        weights: Floats | None,
        rounds: int,
        watched: tuple[Floats, Floats] | None,
    ) -> tuple[Any, Floats]:
        """A booster of at most so many rounds, and its loss on the watched rows after each of them."""

    @abstractmethod
    def gains(self) -> dict[str, float]:
        """Total gain of the splits of each input."""

    def importance(self) -> dict[str, float]:
        """Share of the total gain of splits."""
        return normalised(self.gains())


def recent_split(labels: Floats, share: float, task: Task = "binary") -> int | None:
    """Where the latest `share` of rows in time order begins, or None where either side would lack a class or rows."""
    cut = round(len(labels) * (1.0 - share))
    sides = labels[:cut], labels[cut:]
    least = 2 if task == "binary" else 1
    return cut if all(len(np.unique(side)) >= least for side in sides) else None


def as_curve(found: Any) -> Floats:
    """A curve of losses as an array."""
    return cast(Floats, np.asarray(found, dtype=np.float64))
