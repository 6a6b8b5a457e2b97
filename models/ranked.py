"""A regression that is served as a rank: 100 x the place of its value among the values of the training rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from models.base import Estimator, Task, load_state
from models.inputs import Columns, Floats, InputError, Inputs

POINTS = 1001
"""Quantiles of the training values that are kept, at most: a rank is right to a tenth."""

_FOLDER = "inner/"
_FILE = "ranks.json"


class Ranked(Estimator):
    """The rank of what an inner regression predicts, from 0 (below all training rows) to 100 (above all of them).

    `predict` and `expected` give ranks; `unranked` is the way to the inner prediction, in the label's unit. The
    contributions are the inner ones: they sum to the inner prediction, not to the rank.
    """

    kind: ClassVar[str] = "ranked"

    def __init__(self, inner: Estimator) -> None:
        if inner.task != "regression":
            raise InputError(f"only a regression is ranked, and this {inner.kind} predicts a probability")
        self.inner = inner
        self.task = "regression"
        self.threads = inner.threads

    @property
    def attributes(self) -> bool:  # type: ignore[override]
        """Whether the inner regression says which input added what."""
        return self.inner.attributes

    @classmethod
    def of(cls, inner: Estimator, values: Floats) -> Ranked:
        """A fitted regression, ranked among `values`: what it predicts of its training rows.

        Raises InputError where there is no value, or one is not finite.
        """
        ranked = cls(inner)
        ranked.inputs_ = inner.inputs_
        ranked._learn(values)
        return ranked

    def fit_matrix(self, matrix: Floats, labels: Floats, weights: Floats | None = None) -> None:
        """Fit the inner regression, and rank it among these rows."""
        self.inner.inputs_ = self.inputs_
        self.inner.fit_matrix(matrix, labels, weights)
        self._learn(self.inner.predict_matrix(matrix))

    def _learn(self, values: Floats) -> None:
        """Keep the quantiles: each different one, and the shares of `values` below it and up to it."""
        if not len(values) or not np.isfinite(values).all():
            raise InputError(f"ranks need finite predictions of the training rows, and these {len(values)} are not")
        ordered = np.sort(values)
        places = np.unique(np.linspace(0, len(ordered) - 1, min(POINTS, len(ordered))).round().astype(np.intp))
        self.values_ = np.unique(ordered[places])
        self.below_ = np.searchsorted(ordered, self.values_, side="left") / len(ordered)
        self.through_ = np.searchsorted(ordered, self.values_, side="right") / len(ordered)

    def rank(self, values: Floats) -> Floats:
        """Ranks of inner predictions: 100 x (share of training values below + half the share of equal ones).

        Between two kept quantiles the share is taken to grow evenly.
        """
        stairs = np.column_stack([self.below_, self.through_]).ravel()
        shares = np.interp(values, np.repeat(self.values_, 2), stairs, left=0.0, right=1.0)
        at = np.minimum(np.searchsorted(self.values_, values), len(self.values_) - 1)
        middles = (self.below_ + self.through_) / 2
        return 100.0 * np.where(self.values_[at] == values, middles[at], shares)

    def value(self, ranks: Floats) -> Floats:
        """Inner predictions that these ranks stand for, to the width of a kept quantile: the way back from `rank`."""
        return np.interp(np.asarray(ranks) / 100.0, (self.below_ + self.through_) / 2, self.values_)

    def raw_matrix(self, matrix: Floats) -> Floats:
        """The inner prediction of each encoded row, in the label's unit."""
        return self.inner.raw_matrix(matrix)

    def predict_matrix(self, matrix: Floats) -> Floats:
        """The rank of each encoded row."""
        return self.rank(self.inner.predict_matrix(matrix))

    def expected_within(self, X: Columns, coverage: float = 0.9) -> tuple[Floats, Floats | None]:
        """See `Estimator`; ranks grow with the values, so those of the inner ends hold as much."""
        values, ends = self.inner.expected_within(X, coverage)
        return self.rank(values), None if ends is None else self.rank(ends)

    def contributions_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`; the inner terms, which sum to the inner prediction."""
        return self.inner.contributions_matrix(matrix)

    def _named(self, matrix: Floats) -> Floats:
        return self.inner._named(matrix)

    def _unnamed(self, matrix: Floats) -> Floats:
        return self.inner._unnamed(matrix)

    def importance(self) -> dict[str, float]:
        """The inner regression's."""
        return self.inner.importance()

    def learnt(self) -> dict[str, bytes]:
        """The inner state in a folder of its own, and the quantiles as JSON."""
        ranks = {"values": self.values_, "below": self.below_, "through": self.through_}
        lists = json.dumps({name: one.tolist() for name, one in ranks.items()})
        return {_FILE: lists.encode(), **{f"{_FOLDER}{name}": data for name, data in self.inner.state().items()}}

    @classmethod
    def from_learnt(cls, inputs: Inputs, task: Task, files: Mapping[str, bytes]) -> Ranked:
        """See `Estimator`."""
        folder = {name.removeprefix(_FOLDER): data for name, data in files.items() if name.startswith(_FOLDER)}
        ranked = cls(load_state(folder))
        ranked.inputs_ = inputs
        learnt = json.loads(files[_FILE])
        for name in ("values", "below", "through"):
            setattr(ranked, f"{name}_", np.array(learnt[name], dtype=np.float64))
        return ranked

    def set_threads(self, threads: int) -> None:
        """Pass `threads` on."""
        self.threads = threads
        self.inner.set_threads(threads)


def unranked(estimator: Any) -> Estimator:
    """The estimator that predicts in the label's unit: the inner one of a ranking, else the given one."""
    return estimator.inner if isinstance(estimator, Ranked) else estimator
