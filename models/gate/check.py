"""A check of the gate, and the rows that it is made on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from models.base import Task
from models.compare import Ints
from models.inputs import Floats

if TYPE_CHECKING:
    from pipelines.core.promotion_params import GateParams

Status = Literal["passed", "failed", "not applicable"]
Figure = float | int | str | None

CHALLENGER, CHAMPION, GUESS, LINEAR = "the challenger", "the champion", "the constant guess", "the linear model"

ENTITIES = 30
"""Fewer entities say too little of how much entities differ: intervals become too narrow (Cameron, Gelbach & Miller
2008, who find tests over clusters to reject too often below about 30)."""

_LARGEST = 1e100  # squares of it are numbers still


@dataclass(frozen=True)
class Check:
    """What was looked at, and what came of it.

    Attributes:
        name: short, such as "log loss" or "segment state".
        status: "passed", "failed", or "not applicable" where there is nothing to look at.
        said: one sentence with numbers, for a person; others may follow it.
        figures: every number by name, JSON-ready; None stands for a number that does not exist.
    """

    name: str
    status: Status
    said: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class Rows:
    """What is judged, checked.

    Attributes:
        task: what is predicted.
        y: labels of n rows, 0/1 or numbers.
        predictions: by whose they are, n each; all finite.
        groups: a whole number from 0 up for each row; rows of one number belong to one entity.
    """

    task: Task
    y: Floats
    predictions: Mapping[str, Floats]
    groups: Ints

    @property
    def one_label(self) -> bool:
        """Whether all rows have the same label, so that nothing can be ranked."""
        return not np.ptp(self.y)


def passed(checks: Iterable[Check]) -> bool:
    """Whether at least one check was passed and none failed."""
    found = {check.status for check in checks}
    return "passed" in found and "failed" not in found


def verdict(name: str, good: bool, said: str, figures: Mapping[str, Figure]) -> Check:
    """A check that could be made; numbers that are not finite become None."""
    plain = {key: _plain(value) for key, value in figures.items()}
    return Check(name, "passed" if good else "failed", said, plain)


def rows_of(
    y: npt.ArrayLike,
    predictions: Mapping[str, npt.ArrayLike],
    task: Task,
    params: GateParams,
    clusters: npt.ArrayLike | None = None,
) -> Rows | str:
    """The rows as numbers, or why they can't be judged: one sentence.

    Args:
        y: labels of n rows.
        predictions: by whose they are, n each, or one number that stands for all rows.
        task: "binary" or "regression".
        params: of them the least number of rows.
        clusters: entity of each row, n codes or names; None takes each row for itself.
    """
    labels = _floats(y)
    if labels is None or labels.ndim != 1:
        return "the labels are no numbers"
    count = len(labels)
    if not count:
        return "there is no row to judge it on"
    if count < params.rows:
        return f"there are {count} rows to judge it on, and {params.rows} are asked for"
    if trouble := _trouble(labels, task, label=True):
        return f"{trouble} of the {count} labels are {_wanted(task, label=True)}"
    found = {}
    for who, given in predictions.items():
        values = _floats(given)
        if values is None or values.shape not in ((), (count,)):
            return f"the predictions of {who} are not {count} numbers"
        values = np.broadcast_to(values, count)
        if trouble := _trouble(values, task, label=False):
            return f"{trouble} of the {count} predictions of {who} are {_wanted(task, label=False)}"
        found[who] = values
    groups = _groups(clusters, count)
    return groups if isinstance(groups, str) else Rows(task, labels, found, groups)


def _groups(clusters: npt.ArrayLike | None, count: int) -> Ints | str:
    if clusters is None:
        return np.arange(count)
    codes = np.asarray(clusters)
    if codes.shape != (count,):
        return f"{codes.size} entities do not fit {count} rows"
    groups = np.unique(codes.astype(str) if codes.dtype == object else codes, return_inverse=True)[1]
    entities = int(groups.max()) + 1
    if entities < ENTITIES:
        return f"the {count} rows come from {entities} entities only: chance can't be told from fewer than {ENTITIES}"
    return groups


def _trouble(values: Floats, task: Task, *, label: bool) -> int:
    """How many values can't be used."""
    good = np.abs(values) < _LARGEST
    if task == "binary":
        good &= ((values == 0) | (values == 1)) if label else ((values >= 0) & (values <= 1))
    return int((~good).sum())


def _wanted(task: Task, *, label: bool) -> str:
    if task == "regression":
        return "no finite numbers"
    return "neither 0 nor 1" if label else "no probabilities"


def _floats(values: npt.ArrayLike) -> Floats | None:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _plain(value: Figure) -> Figure:
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    return float(value) if np.isfinite(value) else None
