"""What all estimators share: the checks of `fit`, the order of time inside training, state and its reading."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from models.inputs import Columns, Floats, InputError, Inputs, Kind

SMALL = 512
"""Up to so many rows one thread predicts: starting more costs more than they save."""


class Estimator(ABC):
    """A binary classifier over columns as they come. Subclasses learn `inputs_` and what they predict with."""

    kind: ClassVar[str]
    threads: int = 1
    inputs_: Inputs

    def fit(
        self,
        X: Columns,
        y: npt.ArrayLike,
        event_time: npt.ArrayLike | None = None,
        kinds: Mapping[str, Kind] | None = None,
    ) -> Estimator:
        """Learn from `X` (columns) and `y` (0/1 or booleans), and return self.

        `event_time` (datetimes) orders the rows; None says that they already stand in time order. An estimator that
        stops early looks only at the latest part of these rows. `kinds` names the kind of each column.
        Raises InputError for unusable columns, or labels that are missing, not 0/1 or of one class only.
        """
        labels = check_labels(y)
        self.inputs_ = Inputs.learn(X, kinds)
        matrix = self.inputs_.encode(X)
        if len(labels) != len(matrix):
            raise InputError(f"{len(labels)} labels do not fit {len(matrix)} rows")
        if event_time is not None:
            order = np.argsort(np.asarray(event_time), kind="stable")
            matrix, labels = np.asfortranarray(matrix[order]), labels[order]
        self.fit_matrix(matrix, labels)
        return self

    def predict_proba(self, X: Columns) -> Floats:
        """Probabilities (rows, 2) of 0 and of 1. Raises InputError for a missing or unreadable column."""
        p = self.predict_matrix(self.inputs_.encode(X))
        return np.column_stack([1.0 - p, p])

    @abstractmethod
    def fit_matrix(self, matrix: Floats, labels: Floats) -> None:
        """Learn from encoded rows in time order (see `Inputs.encode`) and labels of 0.0 and 1.0."""

    @abstractmethod
    def predict_matrix(self, matrix: Floats) -> Floats:
        """Probability of 1 for each encoded row."""

    @abstractmethod
    def importance(self) -> dict[str, float]:
        """Share of each input in what was learnt: not negative, summing to 1 (all 0 where nothing was learnt)."""

    @abstractmethod
    def learnt(self) -> dict[str, bytes]:
        """What was learnt, by file name, in native formats."""

    @classmethod
    @abstractmethod
    def from_learnt(cls, inputs: Inputs, files: Mapping[str, bytes]) -> Estimator:
        """An estimator that predicts from what `learnt` gave."""

    def set_threads(self, threads: int) -> None:
        """Use so many threads on inputs of more than `SMALL` rows, where the estimator knows threads."""
        self.threads = threads

    def state(self) -> dict[str, bytes]:
        """All that predicting needs, as file names and their bytes."""
        head = json.dumps({"kind": self.kind}).encode()
        return {"estimator.json": head, "inputs.json": self.inputs_.to_json(), **self.learnt()}


def load_state(files: Mapping[str, bytes], threads: int = 1) -> Estimator:
    """The estimator whose `state()` these files are; `threads` is used on large inputs only.

    Raises InputError where the files are no estimator's.
    """
    from models import boosting, linear, mean

    known: dict[str, type[Estimator]] = {
        "lightgbm": boosting.LightGBM,
        "xgboost": boosting.XGBoost,
        "linear": linear.Linear,
        "mean": mean.Mean,
    }
    try:
        kind = str(json.loads(files["estimator.json"])["kind"])
        estimator = known[kind].from_learnt(Inputs.from_json(files["inputs.json"]), files)
    except KeyError as error:
        raise InputError(f"the stored model is incomplete or of another kind: {error} is not known") from None
    estimator.set_threads(threads)
    return estimator


def check_labels(y: npt.ArrayLike) -> Floats:
    """Labels as an array of 0.0 and 1.0. Raises InputError for anything else, or where one of the two is absent."""
    try:
        labels = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("labels must be 0, 1, true or false") from None
    if not np.isin(labels, (0.0, 1.0)).all():
        odd: Any = labels[~np.isin(labels, (0.0, 1.0))][0]
        raise InputError(f"labels must be 0, 1, true or false, not {odd}")
    if len(np.unique(labels)) < 2:
        raise InputError(f"labels hold one class only ({len(labels)} rows): there is nothing to tell apart")
    return labels


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights scaled to sum to 1; all zero where they sum to nothing."""
    total = sum(weights.values())
    return {name: (float(w) / total if total > 0 else 0.0) for name, w in weights.items()}
