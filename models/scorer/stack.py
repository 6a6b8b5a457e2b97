"""Stacking (Wolpert 1992; Breiman 1996, with weights that are not negative) of out-of-fold raw predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.base import Task, expit
from models.inputs import Floats
from models.members.boosted import Loss
from models.scorer.losses import row_losses

_PULL = 0.002
"""Loss that the weights' sum pays for being 0 or 2 instead of 1."""

_STEADY_PULL, _EVEN = 1.0, 0.1
"""The same where the outcomes move, and what weights pay for being uneven, times their squared distance."""


@dataclass(frozen=True)
class Stack:
    """raw = intercept + Σ weight × raw of the member. Members that did not help have no weight and are not named."""

    intercept: float
    weights: Mapping[str, float]

    def combine(self, raws: Mapping[str, Floats]) -> Floats:
        """The stacked raw prediction."""
        total = np.full(len(next(iter(raws.values()))), self.intercept)
        for name, weight in self.weights.items():
            total += weight * raws[name]
        return total


def stacked(
    raws: Mapping[str, Floats],
    labels: Floats,
    weights: Floats | None,
    *,
    task: Task,
    loss: Loss,
    least_gain: float,
) -> Stack:
    """Learn a stack, starting from the best member and adding others while they help beyond chance.

    Args:
        raws: out-of-fold raw predictions of each member, on the same rows.
        labels: outcomes of these rows.
        weights: of these rows; None weighs all alike.
        task: of the labels.
        loss: of a regression.
        least_gain: what a further member has to gain in the mean loss, in standard errors of the paired gain.
    """
    rows = np.ones(len(labels)) if weights is None else weights / weights.mean()

    def learn(names: list[str]) -> tuple[Stack, Floats]:
        found = _solve({name: raws[name] for name in names}, labels, rows, task, loss)
        return found, rows * row_losses(found.combine(raws), labels, task, loss)

    best, lost = min((learn([name]) for name in raws), key=lambda one: float(one[1].sum()))
    while left := [name for name in raws if name not in best.weights]:
        wider, lower = min((learn([*best.weights, name]) for name in left), key=lambda one: float(one[1].sum()))
        gain = lost - lower
        error = float(gain.std() / np.sqrt(len(gain)))
        if set(wider.weights) == set(best.weights) or gain.mean() <= max(0.0, least_gain * error):
            break
        best, lost = wider, lower
    return best


def steadied(raws: Mapping[str, Floats], labels: Floats, weights: Floats | None, *, least_gain: float) -> Stack:
    """Learn a stack for 0/1 outcomes whose rate and causes move: nearly the mean of the members.

    Where the past is no fair sample of what comes, an intercept or a slope that suits it is an error of tomorrow, and
    which member was best yesterday says little. So there is no intercept, weights are drawn to sum to 1 and to be even,
    and members are left out only where that helps beyond chance (the mean of forecasts: Bates & Granger 1969; why even
    weights are hard to beat: Smith & Wallis 2009). Arguments are those of `stacked`.
    """
    rows = np.ones(len(labels)) if weights is None else weights / weights.mean()

    def learn(names: list[str]) -> tuple[Stack, Floats]:
        found = _solve_steady({name: raws[name] for name in names}, labels, rows)
        return found, rows * row_losses(found.combine(raws), labels, "binary", "squared")

    names = list(raws)
    best, lost = learn(names)
    while len(names) > 1:
        fewer = [[name for name in names if name != out] for out in names]
        left, (narrower, lower) = min(((few, learn(few)) for few in fewer), key=lambda one: float(one[1][1].sum()))
        gain = lost - lower
        if gain.mean() <= max(0.0, least_gain * float(gain.std() / np.sqrt(len(gain)))):
            break
        names, best, lost = left, narrower, lower
    return best


def _solve_steady(raws: Mapping[str, Floats], labels: Floats, rows: Floats) -> Stack:
    """Weights ≥ 0 that lose least on these rows, and pay for their sum and unevenness."""
    from scipy.optimize import minimize

    share, design = rows / rows.sum(), np.column_stack(list(raws.values()))
    even = np.full(design.shape[1], 1.0 / design.shape[1])

    def value(weights: Floats) -> tuple[float, Floats]:
        raw, over, apart = design @ weights, weights.sum() - 1.0, weights - even
        lost = float(row_losses(raw, labels, "binary", "squared") @ share)
        steps = design.T @ ((expit(raw) - labels) * share) + 2 * _STEADY_PULL * over + 2 * _EVEN * apart
        return lost + _STEADY_PULL * over**2 + _EVEN * float(apart @ apart), steps

    found = minimize(value, even, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(even)).x
    weights = {name: float(w) for name, w in zip(raws, found, strict=True)}
    return Stack(0.0, {name: w for name, w in weights.items() if w > 1e-3} or weights)


def _solve(raws: Mapping[str, Floats], labels: Floats, rows: Floats, task: Task, loss: Loss) -> Stack:
    """Intercept and weights ≥ 0 that lose least on these rows; members of no weight are dropped."""
    from scipy.optimize import minimize

    share = rows / rows.sum()
    unit = _unit(labels, share) if task == "regression" else 1.0
    design, outcomes = np.column_stack(list(raws.values())) / unit, labels / unit
    centre = share @ design

    def value(parameters: Floats) -> tuple[float, Floats]:
        raw = parameters[0] + (design - centre) @ parameters[1:]
        over = parameters[1:].sum() - 1.0
        slope = _slope(raw, outcomes, task, loss) * share
        lost = float(row_losses(raw, outcomes, task, loss) @ share)
        steps = np.concatenate([[slope.sum()], (design - centre).T @ slope + 2 * _PULL * over])
        return lost + _PULL * over**2, steps

    count = design.shape[1]
    start = np.concatenate([[float(share @ design.mean(axis=1))], np.full(count, 1.0 / count)])
    bounds = [(None, None), *[(0.0, None)] * count]
    found = minimize(value, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200}).x
    weights = {name: float(w) for name, w in zip(raws, found[1:], strict=True)}
    intercept = float(found[0] - centre @ found[1:]) * unit
    return Stack(intercept, {name: w for name, w in weights.items() if w > 1e-3} or weights)


def _unit(labels: Floats, share: Floats) -> float:
    """Standard deviation of the labels; 1 where there is none."""
    middle = float(share @ labels)
    return float(np.sqrt(share @ (labels - middle) ** 2)) or 1.0


def _slope(raw: Floats, labels: Floats, task: Task, loss: Loss) -> Floats:
    """Derivative of `row_losses` by the raw prediction."""
    if task == "binary":
        return expit(raw) - labels
    return np.sign(raw - labels) if loss == "absolute" else 2 * (raw - labels)
