"""The leak guard on a training: which of its features know too much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.leaks import Limits, find
from pipelines.registry.leaks import accepted

if TYPE_CHECKING:
    from models.leaks import Leak
    from pipelines.core.params import TrainParams
    from pipelines.train.data import TrainingSet
    from pipelines.train.fit import Candidate


def leaks_of(data: TrainingSet, winner: Candidate, params: TrainParams) -> list[Leak]:
    """The features of `data` that know too much, beside what the winner makes of the holdout."""
    return find(
        data.frame,
        data.labels,
        data.parts.train,
        data.parts.holdout,
        Limits(**params.leaks.model_dump()),
        full=winner.probabilities,
        kinds=dict(data.features),
        binary=data.task == "binary",
        seed=params.seed,
    )


def told(leaks: list[Leak], params: TrainParams, target: str) -> list[str]:
    """A sentence for each, and whether it was accepted."""
    known = accepted(params, target)
    ends = {True: "; it is accepted", False: f"; `promote` wants it in train.targets.{target}.accept_leaks first"}
    return [f"{target}: {leak.sentence}{ends[leak.feature in known]}" for leak in leaks]
