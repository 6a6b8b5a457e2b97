"""The correction for a base rate that moved: what recent matured labels say of the level of all scores.

Under prior shift (Saerens, Latinne & Decaestecker 2002) the log odds of all rows are off by one number. It is learnt
from the judged rows, the newest counting most, and it is used only where, stretch after stretch, it would have helped
the next one.
"""

from __future__ import annotations

import numpy as np

from models.base import expit
from models.inputs import Floats
from models.scorer.losses import row_losses
from models.scorer.trial import Ground

_PULL = 20.0
"""What holds the shift to 0, as the inverse of a variance in log odds: without evidence it stays within some .2."""
_STEPS = 25


def prior_shift(raw: Floats, ground: Ground, half_life: float, least_gain: float) -> tuple[float, Floats]:
    """The shift of log odds from here on, and the one that each judged row would have got when it was judged.

    All are 0 where that would not have helped beyond chance.

    Args:
        raw: out-of-fold log odds of the judged rows, fold after fold (n,).
        ground: the folds, forward in time, their labels and weights.
        half_life: of what a judged row says, in rows.
        least_gain: what the shift has to gain in the mean loss, in standard errors of the paired gain.
    """
    rows, labels = np.concatenate([fold.judge for fold in ground.folds]), ground.judged(ground.labels)
    weights = np.ones(len(rows)) if ground.weights is None else ground.judged(ground.weights)
    shifts = np.zeros(len(rows))
    end = 0
    for fold in ground.folds:
        start, end = end, end + len(fold.judge)
        known = np.flatnonzero(np.isin(rows[:start], fold.learn))
        fading = 0.5 ** ((fold.judge[0] - rows[known]) / half_life)
        shifts[start:end] = _fitted(raw[known], labels[known], weights[known] * fading)
    gain = row_losses(raw, labels, "binary", "squared") - row_losses(raw + shifts, labels, "binary", "squared")
    if ground.counting is not None:
        counting = ground.judged(ground.counting)
        gain = gain * counting / counting.mean()
    if gain.mean() <= max(0.0, least_gain * float(gain.std()) / np.sqrt(len(gain))):
        return 0.0, np.zeros(len(rows))
    return _fitted(raw, labels, weights * 0.5 ** ((len(ground.labels) - rows) / half_life)), shifts


def _fitted(raw: Floats, labels: Floats, weights: Floats) -> float:
    """The shift that loses least on these rows, drawn to 0; by Newton's method."""
    shift = 0.0
    for _ in range(_STEPS):
        p = expit(raw + shift)
        step = (weights @ (p - labels) + _PULL * shift) / (weights @ (p * (1 - p)) + _PULL)
        shift -= float(step)
        if abs(step) < 1e-10:
            break
    return shift
