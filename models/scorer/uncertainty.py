"""How sure a `LeadScorer` is: an interval of a value, or a range of a probability, from what it said out of fold."""

from __future__ import annotations

from collections.abc import Mapping

from models.base import Task
from models.inputs import Floats, Inputs
from models.scorer.difficulty import Difficulty
from models.scorer.intervals import Intervals
from models.scorer.ranges import Range

_FILE = "uncertainty.json"
_FOLDER = "difficulty/"


class Uncertainty:
    """One of the two: `range` of a binary outcome, or `intervals` of a regression with their `difficulty`."""

    def __init__(self, known: Range | Intervals, difficulty: Difficulty | None = None) -> None:
        self.known = known
        self.difficulty = difficulty

    @classmethod
    def learn(
        cls,
        task: Task,
        inputs: Inputs,
        matrix: Floats,
        raw: Floats,
        outcomes: Floats,
        weights: Floats | None,
        later: Floats | None,
        *,
        seed: int,
        threads: int,
    ) -> Uncertainty:
        """Learn from out-of-fold rows in time order.

        Args:
            task: of the outcomes.
            inputs: that `matrix` encodes.
            matrix: encoded rows.
            raw: out-of-fold raw predictions of these rows.
            outcomes: what came.
            weights: of the rows; None weighs all alike.
            later: see `later_outcomes`; None where nobody knows whose the rows are.
            seed: of what draws.
            threads: for learning.
        """
        if task == "binary":
            return cls(Range.learn(raw, outcomes, later, weights))
        found = Difficulty.learn(inputs, matrix, raw, outcomes, weights, seed=seed, threads=threads)
        difficulty, unseen = (None, None) if found is None else found
        return cls(Intervals.learn(raw, outcomes, unseen, weights), difficulty)

    def interval(self, matrix: Floats, raw: Floats, coverage: float, disagreement: Floats | None) -> Floats:
        """Lower and upper end (n, 2) of each encoded row; `disagreement` of the members, in log odds, where known."""
        if isinstance(self.known, Range):
            return self.known.interval(raw, coverage, disagreement)
        hard = None if self.difficulty is None else self.difficulty.of(matrix, raw)
        return self.known.interval(raw, coverage, hard)

    def learnt(self) -> dict[str, bytes]:
        """Plain numbers as JSON, and the difficulty's trees."""
        trees = {} if self.difficulty is None else self.difficulty.learnt()
        return {_FILE: self.known.to_json(), **{f"{_FOLDER}{name}": data for name, data in trees.items()}}

    @classmethod
    def from_learnt(cls, inputs: Inputs, task: Task, files: Mapping[str, bytes]) -> Uncertainty:
        """What `learnt` gave."""
        if task == "binary":
            return cls(Range.from_json(files[_FILE]))
        trees = {name.removeprefix(_FOLDER): data for name, data in files.items() if name.startswith(_FOLDER)}
        difficulty = Difficulty.from_learnt(inputs, trees) if trees else None
        return cls(Intervals.from_json(files[_FILE]), difficulty)

    def set_threads(self, threads: int) -> None:
        """Use so many threads on large inputs."""
        if self.difficulty is not None:
            self.difficulty.set_threads(threads)
