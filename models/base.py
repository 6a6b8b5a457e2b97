"""What all estimators share: the checks of `fit`, the order of time inside training, state and its reading."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, cast, get_args

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from models.inputs import Columns, Floats, InputError, Inputs, Kind, is_missing
from models.reasons import Explanation, explained

SMALL = 512
"""Up to so many rows one thread predicts: starting more costs more than they save."""

Task = Literal["binary", "regression"]
TASKS: tuple[Task, ...] = get_args(Task)

INTERVAL = 0.9
"""What the ranges that are served are made to hold."""


class Estimator(ABC):
    """A model of 0/1 outcomes or of values, over columns as they come.

    Subclasses learn `inputs_` and what they predict with. What they add up is on the *raw* scale: log odds of 1 where
    `task` is binary, the value itself where it is regression.
    """

    kind: ClassVar[str]
    attributes: ClassVar[bool] = True
    """Whether `contributions_matrix` says which input added what."""
    task: Task = "binary"
    threads: int = 1
    inputs_: Inputs

    def fit(
        self,
        X: Columns,
        y: npt.ArrayLike,
        event_time: npt.ArrayLike | None = None,
        kinds: Mapping[str, Kind] | None = None,
        *,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Learn from `X` (columns) and `y`, and return self.

        Args:
            X: the columns.
            y: 0/1 or booleans; for a regression finite numbers.
            event_time: datetimes that order the rows; None says that they already stand in time order. An estimator
                that stops early looks only at the latest part of these rows.
            kinds: the kind of each column; what is not named is inferred.
            sample_weight: not negative; a row of weight 0 counts as absent. None weighs all alike.

        Raises:
            InputError: unusable columns, labels, times or weights, or labels of one class only.
        """
        labels = check_labels(y, self.task)
        weights, order = check_rows(len(labels), event_time, sample_weight)
        X, labels = _rows(X, labels, order)
        self.inputs_ = Inputs.learn(X, kinds)
        matrix = self.inputs_.encode(X)
        if len(labels) != len(matrix):
            raise InputError(f"{len(labels)} labels do not fit {len(matrix)} rows")
        if self.task == "binary" and len(np.unique(labels)) < 2:
            raise InputError(f"labels hold one class only ({len(labels)} rows): there is nothing to tell apart")
        # How many threads share a sum decides its last bits: with one a fit is the same on every machine.
        with threadpool_limits(1, user_api="blas"):
            self.fit_matrix(matrix, labels, weights)
        return self

    def predict_proba(self, X: Columns) -> Floats:
        """Probabilities (rows, 2) of 0 and of 1. Raises InputError for an unreadable column, or a regression."""
        if self.task != "binary":
            raise InputError("a regression has no probabilities: use predict")
        p = self.expected(X)
        return np.column_stack([1.0 - p, p])

    def predict(self, X: Columns) -> Floats:
        """The value of each row; of a binary outcome the likelier class, 0.0 or 1.0."""
        found = self.expected(X)
        return found if self.task == "regression" else (found >= 0.5).astype(np.float64)

    def expected(self, X: Columns) -> Floats:
        """Expected outcome of each row: the probability of 1, or the value. Raises InputError as `Inputs.encode`."""
        return self.predict_matrix(self.inputs_.encode(X))

    def expected_within(self, X: Columns, coverage: float = INTERVAL) -> tuple[Floats, Floats | None]:
        """`expected`, and lower and upper ends (n, 2) made to hold `coverage`; None where the estimator knows none.

        Raises InputError as `Inputs.encode`, and for a coverage outside (0, 1).
        """
        return self.expected(X), None

    @abstractmethod
    def fit_matrix(self, matrix: Floats, labels: Floats, weights: Floats | None = None) -> None:
        """Learn from encoded rows in time order (see `Inputs.encode`), labels, and positive weights or None."""

    @abstractmethod
    def raw_matrix(self, matrix: Floats) -> Floats:
        """Log odds of 1, or the value, of each encoded row."""

    def predict_matrix(self, matrix: Floats) -> Floats:
        """Expected outcome of each encoded row."""
        return self._answer(self.raw_matrix(matrix))

    def _answer(self, raw: Floats) -> Floats:
        """The expected outcome of what is on the raw scale."""
        return expit(raw) if self.task == "binary" else raw

    @abstractmethod
    def contributions_matrix(self, matrix: Floats) -> Floats:
        """Terms (rows, inputs + 1) that sum to `raw_matrix`: what each input adds to the base, and last the base."""

    def explain(self, X: Columns, top: int = 3) -> Explanation:
        """The `top` inputs that moved each row's score most, on the raw scale, and the rest.

        Raises InputError for an unreadable column, or `top` outside 1 … number of inputs.
        """
        if not 1 <= top <= len(self.inputs_.columns):
            raise InputError(f"top must be 1 to {len(self.inputs_.columns)}, the number of inputs, not {top}")
        return explained(self._named, self._unnamed, self.inputs_.encode(X), top)

    def _named(self, matrix: Floats) -> Floats:
        """Terms (rows, inputs + 1) of what can be attributed to inputs, the base last."""
        return self.contributions_matrix(matrix)

    def _unnamed(self, matrix: Floats) -> Floats:
        """What no input can be named for, beyond the base."""
        return np.zeros(len(matrix))

    @abstractmethod
    def importance(self) -> dict[str, float]:
        """Share of each input in what was learnt: not negative, summing to 1 (all 0 where nothing was learnt)."""

    @abstractmethod
    def learnt(self) -> dict[str, bytes]:
        """What was learnt, by file name, in native formats."""

    @classmethod
    @abstractmethod
    def from_learnt(cls, inputs: Inputs, task: Task, files: Mapping[str, bytes]) -> Estimator:
        """An estimator that predicts from what `learnt` gave."""

    def set_threads(self, threads: int) -> None:
        """Use so many threads on inputs of more than `SMALL` rows, where the estimator knows threads."""
        self.threads = threads

    def state(self) -> dict[str, bytes]:
        """All that predicting needs, as file names and their bytes."""
        head = json.dumps({"kind": self.kind, "task": self.task}).encode()
        return {"estimator.json": head, "inputs.json": self.inputs_.to_json(), **self.learnt()}


def load_state(files: Mapping[str, bytes], threads: int = 1) -> Estimator:
    """The estimator whose `state()` these files are; `threads` is used on large inputs only.

    Raises InputError where the files are no estimator's.
    """
    from models import ranked
    from models.members import MEMBERS
    from models.scorer.scorer import LeadScorer

    known: dict[str, type[Estimator]] = {**MEMBERS, "ranked": ranked.Ranked, "scorer": LeadScorer}
    try:
        head = json.loads(files["estimator.json"])
        task = cast(Task, head.get("task", "binary"))
        estimator = known[str(head["kind"])].from_learnt(Inputs.from_json(files["inputs.json"]), task, files)
    except KeyError as error:
        raise InputError(f"the stored model is incomplete or of another kind: {error} is not known") from None
    estimator.set_threads(threads)
    return estimator


def check_task(task: str) -> Task:
    """The task of this name. Raises InputError for another."""
    if task not in TASKS:
        raise InputError(f"task must be one of {', '.join(TASKS)}, not {task!r}")
    return task


def check_labels(y: npt.ArrayLike, task: Task = "binary") -> Floats:
    """Labels as an array of 0.0 and 1.0, or of finite values. Raises InputError for anything else."""
    wanted = "0, 1, true or false" if task == "binary" else "finite numbers"
    try:
        labels = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"labels must be {wanted}") from None
    if labels.ndim != 1:
        raise InputError(f"labels must be one column, not of shape {labels.shape}")
    good = np.isin(labels, (0.0, 1.0)) if task == "binary" else np.isfinite(labels)
    if not good.all():
        odd: Any = labels[~good][0]
        raise InputError(f"labels must be {wanted}, not {odd}")
    return labels


def check_rows(
    rows: int, event_time: npt.ArrayLike | None, sample_weight: npt.ArrayLike | None
) -> tuple[Floats | None, npt.NDArray[np.intp] | None]:
    """Weights of the rows that count (None: all alike), and their positions in time order (None: all, as they stand).

    Raises InputError for times or weights that do not fit the rows, a missing time, a weight that is negative or not
    finite, or no weight above 0.
    """
    order: npt.NDArray[np.intp] | None = None
    if event_time is not None:
        times = np.asarray(event_time)
        if len(times) != rows:
            raise InputError(f"{len(times)} event times do not fit {rows} rows")
        if any(is_missing(one) for one in times) if times.dtype == object else np.asarray(times != times).any():
            raise InputError("an event time is missing: every row needs one, or none is given")
        try:
            order = np.argsort(times, kind="stable")
        except TypeError:
            raise InputError("event times can't be put in order: give datetimes of one kind") from None
    if sample_weight is None:
        return None, order
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("weights must be numbers") from None
    if weights.shape != (rows,):
        raise InputError(f"{len(weights)} weights do not fit {rows} rows")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        odd = weights[~(np.isfinite(weights) & (weights >= 0))][0]
        raise InputError(f"a weight must be 0 or more, not {odd}")
    if not weights.any():
        raise InputError("all weights are 0: there is no row to learn from")
    order = np.arange(rows) if order is None else order
    order = order[weights[order] > 0]
    return weights[order], order


def aligned(
    what: str, values: npt.ArrayLike | None, rows: int, order: npt.NDArray[np.intp] | None
) -> npt.NDArray[Any] | None:
    """What goes with the rows, in their order (see `check_rows`). Raises InputError where it does not fit them."""
    if values is None:
        return None
    found = np.asarray(values)
    if len(found) != rows:
        raise InputError(f"{len(found)} {what} do not fit {rows} rows")
    return found if order is None else found[order]


def _rows(X: Columns, labels: Floats, order: npt.NDArray[np.intp] | None) -> tuple[Columns, Floats]:
    """Columns and labels in this order."""
    if order is None or np.array_equal(order, np.arange(len(labels))):
        return X, labels
    first = next(iter(X.keys()), None)
    if first is not None and len(X[first]) != len(labels):
        raise InputError(f"{len(labels)} labels do not fit {len(X[first])} rows")
    if hasattr(X, "iloc"):
        return X.iloc[order], labels[order]
    taken = {name: np.asarray(X[name], dtype=object)[order].tolist() for name in X.keys()}  # noqa: SIM118
    return taken, labels[order]


def expit(raw: Floats) -> Floats:
    """Probability of log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(raw, -500, 500))), dtype=np.float64)


def logit(p: Floats) -> Floats:
    """Log odds of probabilities, which are clipped to [1e-9, 1 - 1e-9]."""
    clipped = np.clip(p, 1e-9, 1 - 1e-9)
    return np.log(clipped) - np.log1p(-clipped)


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights scaled to sum to 1; all zero where they sum to nothing."""
    total = sum(weights.values())
    return {name: (float(w) / total if total > 0 else 0.0) for name, w in weights.items()}
