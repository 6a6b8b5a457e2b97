"""How large the residual of a prediction is expected to be: small trees over the inputs and the prediction itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from models.inputs import Column, Floats, Inputs
from models.members.lightgbm import LightGBM

PARAMS: Mapping[str, Any] = {
    "num_leaves": 7,
    "learning_rate": 0.05,
    "num_boost_round": 80,
    "min_child_samples": 20,
    "subsample": 0.8,
    "colsample_bytree": 0.7,
    "reg_lambda": 1.0,
    "early_stopping_rounds": None,
}
BLOCKS = 4
FEWEST_ROWS = 200
"""With fewer rows no difficulty is learnt: all rows are taken alike."""


class Difficulty:
    """The expected root of a row's residual, squared: a size that a few huge residuals do not carry away.

    Attributes:
        booster: the trees; their last input is the prediction.
    """

    def __init__(self, booster: LightGBM) -> None:
        self.booster = booster

    @classmethod
    def learn(
        cls,
        inputs: Inputs,
        matrix: Floats,
        predicted: Floats,
        values: Floats,
        weights: Floats | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> tuple[Difficulty, Floats] | None:
        """A difficulty, and what it says of the rows it learnt from when their block of time is left out.

        Args:
            inputs: the inputs that `matrix` encodes.
            matrix: encoded rows in time order.
            predicted: out-of-fold predictions (n,).
            values: what came (n,).
            weights: above 0 (n,); None weighs all alike.
            seed: of the trees' draws.
            threads: for learning and for large inputs.

        Returns:
            None with fewer than `FEWEST_ROWS` rows.
        """
        if len(values) < FEWEST_ROWS:
            return None
        wider, rows = _wider(inputs), _with(matrix, predicted)
        roots = np.sqrt(np.abs(values - predicted))

        def fitted(kept: Any) -> Difficulty:
            booster = LightGBM("regression", **PARAMS, seed=seed, threads=threads)
            booster.inputs_ = wider
            booster.fit_matrix(rows[kept], roots[kept], None if weights is None else weights[kept])
            return cls(booster)

        unseen = np.empty(len(values))
        for block in np.array_split(np.arange(len(values)), BLOCKS):
            kept = np.ones(len(values), dtype=bool)
            kept[block] = False
            unseen[block] = fitted(kept).of(matrix[block], predicted[block])
        return fitted(np.ones(len(values), dtype=bool)), unseen

    def of(self, matrix: Floats, predicted: Floats) -> Floats:
        """Expected size of the residual (n,) of encoded rows, at least 0."""
        return cast(Floats, np.maximum(self.booster.raw_matrix(_with(matrix, predicted)), 0.0) ** 2)

    def learnt(self) -> dict[str, bytes]:
        """The trees in LightGBM's text format."""
        return self.booster.learnt()

    @classmethod
    def from_learnt(cls, inputs: Inputs, files: Mapping[str, bytes]) -> Difficulty:
        """What `learnt` gave. Raises InputError for an unreadable file."""
        return cls(LightGBM.from_learnt(_wider(inputs), "regression", files))

    def set_threads(self, threads: int) -> None:
        """Use so many threads on large inputs."""
        self.booster.set_threads(threads)


def _wider(inputs: Inputs) -> Inputs:
    return Inputs([*inputs.columns, Column("predicted", "numeric")])


def _with(matrix: Floats, predicted: Floats) -> Floats:
    return np.column_stack([matrix, predicted])
