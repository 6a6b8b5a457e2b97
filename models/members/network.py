"""A small neural network: trained by Keras, kept in Keras' own weights file, predicted by numpy.

Keras and its backend take seconds to import and half a gigabyte; predicting must not need them. The forward pass of a
few dense layers is a few matrix products.
"""

from __future__ import annotations

import io
import json
import os
import random
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from models.base import Estimator, Task, check_task
from models.inputs import Floats, InputError, Inputs
from models.members.boosted import recent_split

_FILE = "network.weights.h5"
_BOUND = 4.0
_CHUNK = 16_384


class Network(Estimator):
    """Dense layers over normal scores of numbers, and one-hot texts.

    Numbers become normal scores: their place among the training values on the scale of a standard normal, so that long
    tails do no harm; a gap is 0 with an indicator of its own. Of the texts of an input the `max_levels` most frequent
    ones have a unit each; the others, gaps and unseen ones share one. Training stops early on the latest
    `validation_share` of the rows, and the best epoch's weights are kept. A network says nothing of what each input
    added.
    """

    kind: ClassVar[str] = "network"
    attributes: ClassVar[bool] = False

    def __init__(
        self,
        task: Task = "binary",
        *,
        units: tuple[int, ...] = (32, 16),
        dropout: float = 0.2,
        weight_decay: float = 0.003,
        learning_rate: float = 0.003,
        batch_rows: int = 512,
        epochs: int = 30,
        patience: int = 4,
        max_levels: int = 50,
        validation_share: float = 0.15,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.task = check_task(task)
        self.units = tuple(units)
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.learning_rate = learning_rate
        self.batch_rows = batch_rows
        self.epochs = epochs
        self.patience = patience
        self.max_levels = max_levels
        self.validation_share = validation_share
        self.seed = seed
        self.threads = threads

    def fit_matrix(self, matrix: Floats, labels: Floats, weights: Floats | None = None) -> None:
        """See `Estimator`."""
        self._prepare(matrix)
        self.shift_, self.scale_ = 0.0, 1.0
        if self.task == "regression":
            self.shift_ = float(np.average(labels, weights=weights))
            self.scale_ = float(np.sqrt(np.average((labels - self.shift_) ** 2, weights=weights))) or 1.0
        design = self._design(matrix).astype(np.float32)
        self.spread_ = design.var(axis=0, dtype=np.float64)
        outcomes = ((labels - self.shift_) / self.scale_).astype(np.float32)
        self.layers_ = self._train(design, outcomes, weights)

    def _train(self, design: Any, outcomes: Any, weights: Floats | None) -> list[tuple[Floats, ...]]:
        """Kernel and bias of each layer."""
        os.environ.setdefault("KERAS_BACKEND", "jax")
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        import keras

        cut = recent_split(outcomes, self.validation_share, self.task)
        # Batches of one shape, the same for folds of like size, since each shape is compiled anew: the oldest rows that
        # do not fill a batch are left out.
        batch = min(self.batch_rows, 2 ** max(4, int(np.log2(max(1, len(outcomes) // 20)))))
        first = len(outcomes[:cut]) % batch if len(outcomes[:cut]) > batch else 0
        learnt = slice(first, cut)
        network, fresh = _compiled(
            (batch, design.shape[1]),
            self.units,
            self.dropout,
            self.learning_rate,
            self.weight_decay,
            self.task,
            self.seed,
        )
        drawn = random.getstate(), np.random.get_state()  # Keras seeds the generators of everybody
        keras.utils.set_random_seed(self.seed)
        _restore(network, fresh)
        best = _Best(keras, design[cut:], outcomes[cut:], self.task, self.patience) if cut is not None else None
        network.fit(
            design[learnt],
            outcomes[learnt],
            sample_weight=np.ones(len(outcomes[learnt]), np.float32) if weights is None else _even(weights[learnt]),
            batch_size=batch,
            epochs=self.epochs if best else max(1, self.epochs // 3),
            callbacks=[best.callback] if best else [],
            verbose=0,
        )
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        if best:
            network.set_weights(best.weights)
        with tempfile.TemporaryDirectory(prefix="leadwise-") as scratch:
            path = Path(scratch) / _FILE
            network.save_weights(path)
            self._stored = path.read_bytes()
        return _layers(self._stored)

    def _prepare(self, matrix: Floats) -> None:
        """Learn the normal scores of numbers, and which texts have a unit."""
        categorical = set(self.inputs_.categorical)
        self.grids_: list[list[float]] = []
        for i in range(matrix.shape[1]):
            known = matrix[:, i][~np.isnan(matrix[:, i])]
            if i in categorical:
                codes, counts = np.unique(known, return_counts=True)
                kept = np.sort(codes[np.argsort(-counts, kind="stable")][: self.max_levels])
                # As many units whatever rows are learnt from: one for a text that never comes is never lit.
                levels = len(self.inputs_.columns[i].categories)
                spare = np.arange(levels, levels + min(levels, self.max_levels) - len(kept), dtype=np.float64)
                self.grids_.append([*kept.tolist(), *spare.tolist()])
            else:
                probabilities = np.linspace(0, 1, 101)
                self.grids_.append(np.quantile(known, probabilities).tolist() if len(known) else [0.0] * 101)

    def _design(self, matrix: Floats) -> Any:
        """Inputs of the network (rows, units)."""
        from scipy.special import ndtri

        categorical = set(self.inputs_.categorical)
        blocks: list[Any] = []
        for i, kept in enumerate(self.grids_):
            column = matrix[:, i]
            gap = np.isnan(column)
            if i in categorical:
                levels = np.asarray(kept)
                at = np.searchsorted(levels, np.where(gap, -1.0, column))
                found = at < len(levels)
                found[found] = levels[at[found]] == column[found]
                block = np.zeros((len(matrix), len(levels) + 1), dtype=np.float64)
                block[np.arange(len(matrix)), np.where(found, at, len(levels))] = 1.0
                blocks.append(block)
                continue
            grid, known = np.asarray(kept), np.where(gap, 0.0, column)
            below, above = (np.searchsorted(grid, known, side=side) for side in ("left", "right"))
            between = np.interp(known, grid, np.linspace(0, 1, len(grid)))
            # A value that fills several steps of the grid, as 0 often does, stands in their middle.
            places = np.where(above - below > 1, (below + above - 1) / 2 / (len(grid) - 1), between)
            scores = np.clip(ndtri(np.clip(places, 1e-6, 1 - 1e-6)), -_BOUND, _BOUND)
            blocks.append(np.column_stack([np.where(gap, 0.0, scores), gap]))
        return np.hstack(blocks)

    def raw_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`."""
        parts = [self._forward(matrix[at : at + _CHUNK]) for at in range(0, len(matrix), _CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _forward(self, matrix: Floats) -> Floats:
        return cast(Floats, forward(self._design(matrix), self.layers_) * self.scale_ + self.shift_)

    def contributions_matrix(self, matrix: Floats) -> Floats:
        """All of it in the base: the network does not say which input added what."""
        return np.hstack([np.zeros(matrix.shape), self.raw_matrix(matrix)[:, None]])

    def importance(self) -> dict[str, float]:
        """Share of the variance that each input brings to the first layer: what the network listens to, roughly."""
        squares = (self.layers_[0][0] ** 2).sum(axis=1) * self.spread_
        categorical = set(self.inputs_.categorical)
        widths = [len(kept) + 1 if i in categorical else 2 for i, kept in enumerate(self.grids_)]
        sums = [float(part.sum()) for part in np.split(squares, np.cumsum(widths)[:-1])]
        total = sum(sums) or 1.0
        return {name: part / total for name, part in zip(self.inputs_.names, sums, strict=True)}

    def learnt(self) -> dict[str, bytes]:
        """Keras' weights file, and how inputs are prepared, as JSON."""
        head = {"shift": self.shift_, "scale": self.scale_, "grids": self.grids_, "spread": self.spread_.tolist()}
        return {_FILE: self._stored, "network.json": json.dumps(head).encode()}

    @classmethod
    def from_learnt(cls, inputs: Inputs, task: Task, files: Mapping[str, bytes]) -> Network:
        """See `Estimator`."""
        head = json.loads(files["network.json"])
        estimator = cls(task)
        estimator.inputs_ = inputs
        estimator.shift_, estimator.scale_, estimator.grids_ = head["shift"], head["scale"], head["grids"]
        estimator.spread_ = np.asarray(head["spread"], dtype=np.float64)
        estimator._stored = files[_FILE]
        estimator.layers_ = _layers(estimator._stored)
        return estimator


@lru_cache(maxsize=8)
def _compiled(
    shape: tuple[int, int],
    units: tuple[int, ...],
    dropout: float,
    learning_rate: float,
    weight_decay: float,
    task: Task,
    seed: int,
) -> tuple[Any, list[Any]]:
    """A network ready to be trained, and all that training changes as it was; compiling costs more than training."""
    import keras

    keras.utils.set_random_seed(seed)
    network = keras.Sequential([keras.Input(shape[1:])])
    for count in units:
        network.add(keras.layers.Dense(count, activation="relu"))
        network.add(keras.layers.Dropout(dropout))
    network.add(keras.layers.Dense(1))
    network.compile(
        optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay),
        loss=keras.losses.BinaryCrossentropy(from_logits=True) if task == "binary" else "mse",
    )
    network.optimizer.build(network.trainable_variables)
    fresh = [keras.ops.convert_to_numpy(variable) for variable in _variables(network)]
    nothing = np.zeros(shape, np.float32)
    network.fit(nothing, nothing[:, 0], sample_weight=nothing[:, 0], batch_size=len(nothing), verbose=0)
    return network, fresh


def _variables(network: Any) -> list[Any]:
    return [*network.variables, *network.optimizer.variables]


def _restore(network: Any, fresh: list[Any]) -> None:
    """Undo all training."""
    for variable, value in zip(_variables(network), fresh, strict=True):
        variable.assign(value)


def _even(weights: Floats) -> Any:
    """Weights of mean 1."""
    return (weights / weights.mean()).astype(np.float32)


class _Best:
    """The weights of the epoch that loses least on the given rows; training ends `patience` epochs after it."""

    def __init__(self, keras: Any, design: Any, outcomes: Any, task: Task, patience: int) -> None:
        self.design, self.outcomes, self.task, self.patience = design, outcomes, task, patience
        self.loss, self.epoch = np.inf, 0
        self.weights: list[Any] = []
        self.callback = keras.callbacks.LambdaCallback(on_epoch_end=self.judge)

    def judge(self, epoch: int, _: Any) -> None:
        """Look at the weights after an epoch."""
        network = self.callback.model
        weights = network.get_weights()
        raw = forward(self.design, list(zip(weights[::2], weights[1::2], strict=True)))
        gaps = np.logaddexp(0.0, raw) - self.outcomes * raw if self.task == "binary" else (raw - self.outcomes) ** 2
        if (loss := float(gaps.mean())) < self.loss:
            self.loss, self.epoch, self.weights = loss, epoch, weights
        network.stop_training = epoch - self.epoch >= self.patience


def forward(signal: Any, layers: Sequence[tuple[Any, ...]]) -> Any:
    """What the network says, (rows,), of prepared inputs."""
    for kernel, bias in layers[:-1]:
        signal = np.maximum(signal @ kernel + bias, 0.0)
    kernel, bias = layers[-1]
    return (signal @ kernel + bias)[:, 0].astype(np.float64)


def _layers(stored: bytes) -> list[tuple[Floats, ...]]:
    """Kernel and bias of each dense layer, in order, from Keras' weights file, in double precision."""
    import h5py

    try:
        with h5py.File(io.BytesIO(stored), "r") as file:
            groups = [group for name, group in file["layers"].items() if name.startswith("dense")]
            named = sorted(groups, key=lambda group: int(group.name.rpartition("_")[2]) if "_" in group.name else 0)
            return [tuple(np.asarray(group["vars"][one], dtype=np.float64) for one in "01") for group in named]
    except (OSError, KeyError):
        raise InputError(f"the stored {_FILE} is unreadable") from None
