"""One member on the folds: which half-life and how many trees suit it, and what it said of rows it had not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.base import Estimator, Task
from models.inputs import Floats
from models.members.boosted import Boosted, Loss
from models.scorer.folds import Fold, recency
from models.scorer.losses import row_losses

_FAINT = 1 / 64
"""Rows of a lower weight than this are left out: together they weigh less than 2 % of the rest."""

_ENOUGH = 30_000
"""Rows that a trial learns from; which member, half-life and number of trees suits shows on as many."""


@dataclass(frozen=True)
class Trial:
    """How a member did on the folds.

    Attributes:
        half_life: of a row's weight, in rows; None where all weigh alike.
        rounds: trees to grow; None where the member grows none.
        raw: out-of-fold raw predictions, fold after fold.
        loss: their mean loss.
    """

    half_life: float | None
    rounds: int | None
    raw: Floats
    loss: float


@dataclass(frozen=True)
class Ground:
    """What members are tried on: encoded rows, labels, weights, folds, what counts as a loss and how much.

    `counting` weighs the judged rows by their position among all rows; None weighs all alike. Where outcomes move, as
    `moving` says, the folds do not decide for fewer trees than early stopping waits for: of a few trees as much is
    learnt as of none, and what the last stretch did not show the next one may.
    """

    matrix: Floats
    labels: Floats
    weights: Floats | None
    folds: Sequence[Fold]
    task: Task
    loss: Loss
    counting: Floats | None = None
    moving: bool = False

    def judged(self, values: Floats) -> Floats:
        """Values of the judged rows, fold after fold."""
        return np.concatenate([values[fold.judge] for fold in self.folds])


def tried(make: Callable[[], Estimator], ground: Ground, half_lives: Sequence[float | None]) -> Trial:
    """The best trial of a member over half-lives. Newer folds go first, and what is behind after half is dropped."""
    newest = list(reversed(range(len(ground.folds))))
    half = (len(newest) + 1) // 2
    behind: dict[float | None, float] = {}
    best: Trial | None = None
    bar = np.inf
    for half_life in half_lives:
        fits = {at: _fitted(make, ground, ground.folds[at], half_life) for at in newest[:half]}
        early = _trial(fits, ground, half_life)
        behind[half_life] = early.loss
        if early.loss > bar:
            continue
        fits |= {at: _fitted(make, ground, ground.folds[at], half_life) for at in newest[half:]}
        trial = _trial(fits, ground, half_life)
        if best is None or trial.loss < best.loss:
            best, bar = trial, early.loss
    assert best is not None  # the first half-life is never dropped
    return best


def final(make: Callable[[], Estimator], ground: Ground, trial: Trial) -> Estimator:
    """The member, learnt from all rows as its trial found best."""
    every = Fold(np.arange(len(ground.labels)), np.empty(0, dtype=np.intp))
    matrix, labels, weights = _learning(ground, every, trial.half_life)
    member = make()
    if isinstance(member, Boosted) and trial.rounds is not None:
        member.fit_rounds(matrix, labels, weights, trial.rounds)
    else:
        member.fit_matrix(matrix, labels, weights)
    return member


def _learning(ground: Ground, fold: Fold, half_life: float | None) -> tuple[Floats, Floats, Floats | None]:
    """Rows, labels and weights that a member learns from; faint rows are left out where both classes remain."""
    rows = fold.learn
    weights = None if ground.weights is None else ground.weights[rows]
    if half_life is not None:
        # Of thinned rows each stands for several.
        fading = recency(int(rows[-1] - rows[0]) + 1, half_life)[rows - rows[0]]
        kept = fading >= _FAINT
        if ground.task == "binary" and len(np.unique(ground.labels[rows[kept]])) < 2:
            kept[:] = True
        weights = fading if weights is None else fading * weights
        rows, weights = rows[kept], weights[kept]
        weights = weights / weights.mean()
    return np.asfortranarray(ground.matrix[rows]), ground.labels[rows], weights


def _thinned(fold: Fold, ground: Ground) -> Fold:
    """The fold with every so-manieth of its rows to learn from, counted from the newest, where there are many."""
    step = -(-len(fold.learn) // _ENOUGH)
    kept = fold.learn[::-1][::step][::-1]
    if ground.task == "binary" and len(np.unique(ground.labels[kept])) < 2:
        return fold
    return Fold(kept, fold.judge)


def _fitted(
    make: Callable[[], Estimator], ground: Ground, fold: Fold, half_life: float | None
) -> tuple[Estimator, Floats | None]:
    member = make()
    matrix, labels, weights = _learning(ground, _thinned(fold, ground), half_life)
    if isinstance(member, Boosted) and member.early_stopping_rounds:
        seen = np.asfortranarray(ground.matrix[fold.judge])
        return member, member.watch(matrix, labels, weights, seen, ground.labels[fold.judge])
    member.fit_matrix(matrix, labels, weights)
    return member, None


def _trial(fits: dict[int, tuple[Estimator, Floats | None]], ground: Ground, half_life: float | None) -> Trial:
    """What the fitted members of these folds say, all with the same number of trees: the one that suits the folds."""
    places = sorted(fits)
    curves = [(curve, len(ground.folds[at].judge)) for at in places if (curve := fits[at][1]) is not None]
    grown = {at: len(curve) for at in places if (curve := fits[at][1]) is not None}
    first = fits[places[0]][0]
    least = first.early_stopping_rounds or 1 if isinstance(first, Boosted) and ground.moving else 1
    rounds = _rounds(curves, least) if curves else None
    raws, losses, weighing = [], [], []
    for at in places:
        member, judge = fits[at][0], ground.folds[at].judge
        if isinstance(member, Boosted) and rounds is not None:
            member.rounds_ = min(rounds, grown[at])
        raw = member.raw_matrix(np.asfortranarray(ground.matrix[judge]))
        raws.append(raw)
        losses.append(row_losses(raw, ground.labels[judge], ground.task, ground.loss))
        weighing.append(np.ones(len(judge)) if ground.counting is None else ground.counting[judge])
    loss = float(np.average(np.concatenate(losses), weights=np.concatenate(weighing)))
    return Trial(half_life, rounds, np.concatenate(raws), loss)


def _rounds(curves: list[tuple[Floats, int]], least: int) -> int:
    """Trees, at least so many, after which the folds lose least. A curve that was stopped goes on as it ended."""
    longest = max(len(curve) for curve, _ in curves)
    total = np.zeros(longest)
    for curve, rows in curves:
        total += rows * np.concatenate([curve, np.full(longest - len(curve), curve[-1])])
    first = min(least, longest) - 1
    return first + int(np.argmin(total[first:])) + 1
