"""The candidates of a training: every estimator on the same rows, judged on the same holdout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.inputs import Floats
from models.judges import judge_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from models import Estimator, LeadScorer
    from pipelines.core.params import TrainParams
    from pipelines.core.train_params import Kind, Task
    from pipelines.train.data import TrainingSet


@dataclass(frozen=True)
class Candidate:
    """A fitted estimator and how it did on the holdout.

    Attributes:
        estimator: fitted on the training rows.
        probabilities: of the holdout rows; of a regression the numbers it predicts.
        metrics: those of the task's judge, on the holdout.
        against_linear: 95 % interval of its deciding loss minus the linear model's; below zero is better.
        task: of the target.
    """

    estimator: Estimator
    probabilities: Floats
    metrics: dict[str, float]
    against_linear: tuple[float, float]
    task: Task = "binary"

    @property
    def loss(self) -> float:
        """The deciding measure on the holdout."""
        return self.metrics[judge_of(self.task).loss]

    @property
    def kind(self) -> str:
        """Name of the estimator."""
        return self.estimator.kind


def fit_candidates(
    data: TrainingSet, params: TrainParams, threads: int, advance: Callable[[int], None]
) -> list[Candidate]:
    """Fit every estimator that the parameters name as a candidate.

    Args:
        data: what is learnt from and judged by.
        params: of the estimators.
        threads: that may be used.
        advance: called with 1 after each fit.
    """
    fitted = []
    for kind in params.candidates:
        fitted.append(_fitted(kind, data, params, threads))
        advance(1)
    return judged(fitted, data, params.seed)


def _fitted(kind: Kind, data: TrainingSet, params: TrainParams, threads: int) -> Estimator:
    from models.members import MEMBERS

    X, y = data.train
    kinds = dict(data.features)
    if kind == "scorer":
        groups = None if params.targets[data.target].once else data.groups
        return lead_scorer(data.task, params, threads).fit(X, y, data.times, kinds, groups=groups, known_at=data.known)
    settings: dict[str, Any] = getattr(params, kind).model_dump()
    if kind != "linear":
        settings |= {"validation_share": params.validation_share, "seed": params.seed, "threads": threads}
    maker: Any = MEMBERS[kind]
    estimator: Estimator = maker(data.task, **settings).fit(X, y, kinds=kinds)
    return estimator


def lead_scorer(task: Task, params: TrainParams, threads: int) -> LeadScorer:
    """The LeadScorer that these parameters describe, not fitted yet."""
    from models import LeadScorer

    settings = params.scorer.model_dump()
    sections = {name: getattr(params, name).model_dump() for name in settings.pop("members")}
    return LeadScorer(task, members=sections, seed=params.seed, threads=threads, **settings)


def judged(estimators: list[Estimator], data: TrainingSet, seed: int) -> list[Candidate]:
    """Each estimator on the holdout; the last one is the linear model that the others are compared with."""
    X, y = data.holdout
    judge = judge_of(data.task)
    found = [estimator.expected(X) for estimator in estimators]
    return [
        Candidate(
            estimator,
            p,
            judge.evaluate(y, p),
            judge.difference_interval(y, p, found[-1], draws=200, seed=seed),
            data.task,
        )
        for estimator, p in zip(estimators, found, strict=True)
    ]


def best(candidates: list[Candidate]) -> Candidate:
    """The candidate of lowest loss on the holdout; the first of equal ones."""
    return min(candidates, key=lambda candidate: candidate.loss)


def comparison(data: TrainingSet, candidates: list[Candidate]) -> list[dict[str, Any]]:
    """All candidates side by side, one row each, and the training mean as a constant guess below them."""
    winner, judge = best(candidates), judge_of(data.task)
    y_train, y_holdout = data.labels[data.parts.train], data.labels[data.parts.holdout]
    centre = float(y_train.mean())
    tail = f"{judge.loss} - linear's, 95 %"
    centres = {
        f"train {judge.centre}": _round(centre),
        f"holdout {judge.centre}": _round(y_holdout.mean()),
    }
    rows = []
    for candidate in candidates:
        low, high = candidate.against_linear
        rows.append(
            {
                "target": data.target,
                "model": candidate.kind,
                **{name: _round(candidate.metrics[name]) for name in judge.shown},
                tail: "" if candidate.kind == "linear" else f"{low:+.4f} to {high:+.4f}",
                **centres,
                "candidate": "yes" if candidate is winner else "",
            }
        )
    guess = judge.evaluate(y_holdout, np.full(len(y_holdout), centre))
    rows.append(
        {
            "target": data.target,
            "model": f"{judge.guess} only",
            **{name: _round(guess[name]) for name in judge.shown},
            tail: "",
            **centres,
            "candidate": "",
        }
    )
    return rows


def verdict(data: TrainingSet, candidates: list[Candidate]) -> list[str]:
    """What the comparison says in sentences, also where the elaborate models lose."""
    winner, judge = best(candidates), judge_of(data.task)
    by_kind = {candidate.kind: candidate for candidate in candidates}
    linear = by_kind["linear"].loss
    notes = []
    for kind, candidate in by_kind.items():
        if kind == "linear":
            continue
        low, high = candidate.against_linear
        gap = candidate.loss - linear
        if gap >= 0:
            sure = "beyond chance" if low > 0 else "within chance"
            notes.append(f"{data.target}: {kind} loses to the linear model by {gap:.4f} {judge.words}, {sure}")
        elif high > 0:
            notes.append(f"{data.target}: {kind} beats the linear model by {-gap:.4f} {judge.words}, within chance")
    y_train, y_holdout = data.labels[data.parts.train], data.labels[data.parts.holdout]
    centre, held = float(y_train.mean()), float(y_holdout.mean())
    if data.task == "binary" and max(centre, held) > 1.25 * min(centre, held):
        notes.append(
            f"{data.target}: the base rate moved from {centre:.2%} in training to {held:.2%} in the holdout:"
            " probabilities are as wrong as ece says"
        )
    elif max(centre, held) > 1.25 * min(centre, held):
        notes.append(f"{data.target}: the mean moved from {centre:.4g} in training to {held:.4g} in the holdout")
    if winner.loss >= judge.score(y_holdout, np.full(len(y_holdout), centre)):
        notes.append(
            f"{data.target}: even the best candidate is worse than the training {judge.centre} as a constant guess"
        )
    return notes


def _round(value: float) -> float:
    return round(float(value), 4)
