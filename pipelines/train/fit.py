"""The candidates of a training: every estimator on the same rows, judged on the same holdout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models import metrics
from models.inputs import Floats

if TYPE_CHECKING:
    from collections.abc import Callable

    from models import Estimator
    from pipelines.core.params import TrainParams
    from pipelines.train.data import TrainingSet


@dataclass(frozen=True)
class Candidate:
    """A fitted estimator and how it did on the holdout.

    Attributes:
        estimator: fitted on the training rows.
        probabilities: of the holdout rows.
        metrics: `auc`, `logloss`, `ece`, `base_rate` on the holdout.
        against_linear: 95 % interval of its log loss minus the linear model's; below zero is better.
    """

    estimator: Estimator
    probabilities: Floats
    metrics: dict[str, float]
    against_linear: tuple[float, float]

    @property
    def kind(self) -> str:
        """Name of the estimator."""
        return self.estimator.kind


def fit_candidates(
    data: TrainingSet, params: TrainParams, threads: int, advance: Callable[[int], None]
) -> list[Candidate]:
    """Fit LightGBM, XGBoost and the linear model, and add the mean of the first two.

    Args:
        data: what is learnt from and judged by.
        params: of the estimators.
        threads: that may be used.
        advance: called with 1 after each of the three fits.
    """
    from models.mean import Mean
    from models.members import LightGBM, Linear, XGBoost

    common: dict[str, Any] = {"validation_share": params.validation_share, "seed": params.seed, "threads": threads}
    estimators: list[Estimator] = [
        LightGBM(**params.lightgbm.model_dump(), **common),
        XGBoost(**params.xgboost.model_dump(), **common),
        Linear(**params.linear.model_dump()),
    ]
    X, y = data.train
    for estimator in estimators:
        estimator.fit(X, y, kinds=dict(data.features))
        advance(1)
    mean = Mean.of(estimators[:2])
    mean.set_threads(threads)
    lightgbm, xgboost, linear = estimators
    return judged([lightgbm, xgboost, mean, linear], data, params.seed)


def judged(estimators: list[Estimator], data: TrainingSet, seed: int) -> list[Candidate]:
    """Each estimator on the holdout; the last one is the linear model that the others are compared with."""
    X, y = data.holdout
    found = [estimator.predict_proba(X)[:, 1] for estimator in estimators]
    return [
        Candidate(
            estimator, p, metrics.evaluate(y, p), metrics.difference_interval(y, p, found[-1], draws=200, seed=seed)
        )
        for estimator, p in zip(estimators, found, strict=True)
    ]


def best(candidates: list[Candidate]) -> Candidate:
    """The candidate of lowest log loss on the holdout; the first of equal ones."""
    return min(candidates, key=lambda candidate: candidate.metrics["logloss"])


def comparison(data: TrainingSet, candidates: list[Candidate]) -> list[dict[str, Any]]:
    """All candidates side by side, one row each, and the training base rate as a constant guess below them."""
    winner = best(candidates)
    y_train, y_holdout = data.labels[data.parts.train], data.labels[data.parts.holdout]
    rates = {
        "train base rate": _round(metrics.base_rate(y_train)),
        "holdout base rate": _round(metrics.base_rate(y_holdout)),
    }
    rows = []
    for candidate in candidates:
        low, high = candidate.against_linear
        same = candidate.kind == "linear"
        rows.append(
            {
                "target": data.target,
                "model": "mean of both" if candidate.kind == "mean" else candidate.kind,
                **{name: _round(candidate.metrics[name]) for name in ("auc", "logloss", "ece")},
                "logloss - linear's, 95 %": "" if same else f"{low:+.4f} to {high:+.4f}",
                **rates,
                "candidate": "yes" if candidate is winner else "",
            }
        )
    guess = metrics.evaluate(y_holdout, np.full(len(y_holdout), metrics.base_rate(y_train)))
    rows.append(
        {
            "target": data.target,
            "model": "base rate only",
            **{name: _round(guess[name]) for name in ("auc", "logloss", "ece")},
            "logloss - linear's, 95 %": "",
            **rates,
            "candidate": "",
        }
    )
    return rows


def verdict(data: TrainingSet, candidates: list[Candidate]) -> list[str]:
    """What the comparison says in sentences, also where the elaborate models lose."""
    winner = best(candidates)
    by_kind = {candidate.kind: candidate for candidate in candidates}
    linear = by_kind["linear"].metrics["logloss"]
    notes = []
    for kind in ("lightgbm", "xgboost", "mean"):
        low, high = by_kind[kind].against_linear
        gap = by_kind[kind].metrics["logloss"] - linear
        if gap >= 0:
            sure = "beyond chance" if low > 0 else "within chance"
            notes.append(f"{data.target}: {kind} loses to the linear model by {gap:.4f} log loss, {sure}")
        elif high > 0:
            notes.append(f"{data.target}: {kind} beats the linear model by {-gap:.4f} log loss, within chance")
    rate = metrics.base_rate(data.labels[data.parts.train])
    held = metrics.base_rate(data.labels[data.parts.holdout])
    if max(rate, held) > 1.25 * min(rate, held):
        notes.append(
            f"{data.target}: the base rate moved from {rate:.2%} in training to {held:.2%} in the holdout:"
            " probabilities are as wrong as ece says"
        )
    guess = metrics.logloss(data.labels[data.parts.holdout], np.full(len(data.parts.holdout), rate))
    if winner.metrics["logloss"] >= guess:
        notes.append(f"{data.target}: even the best candidate is worse than the training base rate as a constant guess")
    return notes


def _round(value: float) -> float:
    return round(float(value), 4)
