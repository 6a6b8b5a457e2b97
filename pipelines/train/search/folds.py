"""How a trial is judged: learnt from what was known, and asked about the stretch of time that came next."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.judges import judge_of
from pipelines.core.errors import NotReady
from pipelines.train.split import EVENT_TIME, KNOWN_AT, Split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from models import Estimator
    from models.inputs import Floats
    from pipelines.core.params import TuneParams
    from pipelines.train.data import TrainingSet

Ints = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Fold:
    """Positions of rows: those learnt from, and the later ones judged by."""

    learnt: Ints
    judged: Ints


def without_holdout(data: TrainingSet) -> TrainingSet:
    """The training rows as a set of its own: what is not in it can't be looked at."""
    kept = pa.array(data.parts.train)
    keys = None if data.keys is None else data.keys.take(kept)
    empty = np.empty(0, dtype=np.intp)
    parts = Split(np.arange(len(kept)), empty, 0)
    return replace(data, rows=data.rows.take(kept), keys=keys, parts=parts)


def forward(data: TrainingSet, params: TuneParams) -> list[Fold]:
    """Stretches of equal rows after the first `first_share` of them, each learnt from what was known when it began.

    Args:
        data: training rows in time order, as `without_holdout` gives them.
        params: how many folds, and where the first begins.

    Raises:
        NotReady: a fold would learn from one class only, or have no row.
    """
    times, rows = data.rows[EVENT_TIME].to_numpy(), data.rows.num_rows
    known = times if data.keys is None else data.keys[KNOWN_AT].to_numpy()
    edges = np.round(np.linspace(params.first_share * rows, rows, params.folds + 1)).astype(np.intp)
    folds: list[Fold] = []
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        learnt = np.flatnonzero(known[:start] <= times[start]) if start < stop else np.empty(0, dtype=np.intp)
        if not len(learnt) or (data.task == "binary" and len(np.unique(data.labels[learnt])) < 2):
            raise NotReady(
                f"target '{data.target}': fold {len(folds) + 1} of {params.folds} has {stop - start} rows, and"
                f" {len(learnt)} of one class to learn from: bring more data, or lower tune.folds"
            )
        folds.append(Fold(learnt, np.arange(start, stop)))
    return folds


def losses(data: TrainingSet, folds: list[Fold], make: Callable[[], Estimator]) -> Iterator[Floats]:
    """The deciding loss of each judged row, fold by fold; a fold is fitted when it is asked for."""
    kinds, judge = dict(data.features), judge_of(data.task)
    for fold in folds:
        estimator = make()
        estimator.fit(data.frame.iloc[fold.learnt], data.labels[fold.learnt], kinds=kinds)
        yield judge.losses(data.labels[fold.judged], estimator.expected(data.frame.iloc[fold.judged]))


def clusters(data: TrainingSet, folds: list[Fold]) -> npt.NDArray[np.intp] | None:
    """The entity of each judged row, as numbers; None where entities are not at hand."""
    if data.keys is None:
        return None
    coded = data.keys.column(0).combine_chunks().dictionary_encode().indices.to_numpy()
    return np.concatenate([coded[fold.judged] for fold in folds]).astype(np.intp)


def digest(data: TrainingSet, folds: list[Fold], params: dict[str, Any]) -> str:
    """Name by content of the training rows, their folds and `params`: no row of the holdout takes part."""
    total = hashlib.sha256(data.digest(params).encode())
    for fold in folds:
        total.update(fold.learnt.tobytes() + b"|" + fold.judged.tobytes() + b"|")
    return total.hexdigest()
