"""How good probabilities are. All take labels of 0/1 and probabilities of 1, and weigh every row alike."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from models.inputs import Floats

CALIBRATION_BINS = 15
_EPSILON = 1e-15


def auc(y: npt.ArrayLike, p: npt.ArrayLike) -> float:
    """Area under the ROC curve, ties counting half (Mann-Whitney); NaN where one class is absent."""
    labels, scores = _arrays(y, p)
    positives = float(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def losses(y: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """Log loss of each row in nats, probabilities clipped to [1e-15, 1 - 1e-15]."""
    labels, scores = _arrays(y, p)
    clipped = np.clip(scores, _EPSILON, 1 - _EPSILON)
    return cast(Floats, -np.where(labels == 1, np.log(clipped), np.log1p(-clipped)))


def logloss(y: npt.ArrayLike, p: npt.ArrayLike) -> float:
    """Mean log loss in nats."""
    return float(losses(y, p).mean())


def base_rate(y: npt.ArrayLike) -> float:
    """Share of ones."""
    return float(np.asarray(y, dtype=np.float64).mean())


def calibration(y: npt.ArrayLike, p: npt.ArrayLike, bins: int = CALIBRATION_BINS) -> tuple[Floats, Floats, Floats]:
    """Mean probability, share of ones and rows of `bins` bins of equal mass, from low to high probability.

    Rows of equal probability may fall into neighbouring bins; fewer rows than bins give fewer bins.
    """
    labels, scores = _arrays(y, p)
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return (
        np.array([scores[part].mean() for part in parts]),
        np.array([labels[part].mean() for part in parts]),
        np.array([float(len(part)) for part in parts]),
    )


def ece(y: npt.ArrayLike, p: npt.ArrayLike, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error over bins of equal mass: mean distance of probability and share, weighted by rows."""
    predicted, observed, rows = calibration(y, p, bins)
    return float(np.average(np.abs(predicted - observed), weights=rows))


def evaluate(y: npt.ArrayLike, p: npt.ArrayLike) -> dict[str, float]:
    """`auc`, `logloss`, `ece` and `base_rate` of one set of rows."""
    return {"auc": auc(y, p), "logloss": logloss(y, p), "ece": ece(y, p), "base_rate": base_rate(y)}


def coverage(values: npt.ArrayLike, interval: npt.ArrayLike) -> float:
    """Share of values within their intervals (n, 2), the ends included; of true probabilities within ranges too."""
    truth, ends = _ends(values, interval)
    return float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean())


def winkler(values: npt.ArrayLike, interval: npt.ArrayLike, coverage: float = 0.9) -> float:
    """Mean interval score (Winkler 1972) of intervals (n, 2) of this coverage, in units of the value; less is better.

    A row's score is its interval's width, and 2 / (1 - coverage) times how far the value lies outside.
    """
    truth, ends = _ends(values, interval)
    outside = np.maximum(ends[:, 0] - truth, 0.0) + np.maximum(truth - ends[:, 1], 0.0)
    return float((ends[:, 1] - ends[:, 0] + 2.0 / (1.0 - coverage) * outside).mean())


def _ends(values: npt.ArrayLike, interval: npt.ArrayLike) -> tuple[Floats, Floats]:
    truth, ends = np.asarray(values, dtype=np.float64), np.asarray(interval, dtype=np.float64)
    if ends.shape != (len(truth), 2) or not len(truth):
        raise ValueError(f"metrics need two ends for each of at least one value: {truth.shape}, {ends.shape}")
    return truth, ends


def _arrays(y: npt.ArrayLike, p: npt.ArrayLike) -> tuple[Floats, Floats]:
    labels, scores = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if labels.shape != scores.shape or not len(labels):
        raise ValueError(
            f"metrics need as many labels as probabilities, and at least one: {labels.shape}, {scores.shape}"
        )
    return labels, scores
