"""Whether what came in one window is what had been said of it, but for chance and a tolerance.

Unlike the alarm on a fresh champion (`models.alarm`), which adds up all evidence since a promotion, this looks at each
window by itself: several that speak against a model, told by `models.retraining.trigger`, mean that the world moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import betainc, ndtr

from models import metrics
from models.base import Task, expit, logit
from models.compare import Ints
from models.gate.check import ENTITIES, Figure
from models.inputs import Floats, InputError

_TAIL = 0.9  # quantile of the holdout's errors beyond which one is large
_HOLDOUT_Z = 1.645  # of the interval of a holdout's share: its 95 % bound on either side
_LEAST = 30  # outcomes of either kind below which no slope is judged: its normal tail would be off


@dataclass(frozen=True)
class Judged:
    """What the outcomes of one window say.

    Attributes:
        state: "kept", "broken" (they differ beyond chance and tolerance), or "unknown" (too few to say).
        rows: outcomes.
        p_value: chance of a sound model to look as bad; 1 where nothing can be said.
        said: one sentence with numbers, for a person.
        figures: every number by name, JSON-ready; None stands for what does not exist.
    """

    state: Literal["kept", "broken", "unknown"]
    rows: int
    p_value: float
    said: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class _Reading:
    """A p-value, and what tells it."""

    p_value: float
    said: str
    figures: Mapping[str, Figure]


def judged(
    y: npt.ArrayLike,
    p: npt.ArrayLike,
    *,
    alpha: float,
    tolerance: float,
    rows: int,
    clusters: npt.ArrayLike | None = None,
    task: Task = "binary",
    reference: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> Judged:
    """Judge the outcomes that became known within one window.

    Of a binary outcome two things are tested at half of `alpha` each. In the large: as many come as were said, by the
    binomial's tail, which is no lighter than that of unequal probabilities (Hoeffding 1956). Beyond that, the log loss:
    once probabilities are set to the rate that came it is no larger than they themselves expect, which is the score
    test of Cox's (1958) slope. Of a number three things are tested at a third each: errors are not larger than in the
    holdout, and neither more nor less lies above what was said.

    Args:
        y: n outcomes, 0/1 or numbers; where `y` or `p` is not finite there is none.
        p: what had been said of them, n probabilities of 1 or numbers.
        alpha: chance of a sound model to look broken in a window, within (0, 1).
        tolerance: share t within [0, 1): odds from 1 - t to 1 / (1 - t) times those that were said are sound, and so
            are log odds that spread 1 - t times as far as the true ones.
        rows: fewer outcomes say nothing; nor do those of fewer than 30 entities.
        clusters: n entities, within which outcomes may depend on each other. None: none do.
        task: "binary" or "regression".
        reference: of a regression, labels and predictions of the holdout that the model was judged on.

    Raises:
        InputError: lengths that differ, a label other than 0 and 1, a probability outside 0 to 1, a limit out of range,
            or a regression without a holdout.
    """
    if not (0 < alpha < 1 and 0 <= tolerance < 1):
        raise InputError(f"alpha has to lie in (0, 1) and tolerance in [0, 1), not {alpha} and {tolerance}")
    held = None if task == "binary" else _holdout(reference)
    labels, said, groups = _rows(y, p, clusters, binary=held is None)
    count, entities = len(labels), len(np.unique(groups))
    figures: dict[str, Figure] = {"rows": count, "alpha": alpha, "tolerance": tolerance}
    if count < rows or entities < ENTITIES:
        lack = f"{count:,} outcomes are known" if count < rows else f"outcomes of {entities} entities are known"
        least = f"{rows:,}" if count < rows else f"{ENTITIES}"
        words = f"{lack}, fewer than {least} say nothing" if count else "no outcome is known yet"
        return Judged("unknown", count, 1.0, words, figures)
    found = (
        _binary(labels, said, groups, tolerance) if held is None else _numbers(labels, said, groups, tolerance, held)
    )
    broken = found.p_value <= alpha
    words = f"of {count:,} outcomes {found.said} (p {found.p_value:.2g}, {alpha:g} or less is broken)"
    figures |= {**found.figures, "p": found.p_value}
    return Judged("broken" if broken else "kept", count, found.p_value, words, figures)


def tails(came: Floats, low: Floats, high: Floats, groups: Ints, tolerance: float) -> tuple[float, float]:
    """Chance that as many come, or more; and that as few come, or fewer, where what was said is true.

    Args:
        came: 0/1 of n rows.
        low: the lowest probabilities that may have been said, before any tolerance.
        high: the highest.
        groups: a whole number for each row's entity; rows of one count as fewer, by their design effect.
        tolerance: see `judged`.
    """
    width = -np.log1p(-tolerance)
    most, least = float(expit(logit(high) + width).mean()), float(expit(logit(low) - width).mean())
    middle = (low + high) / 2
    plain = float((middle * (1 - middle)).sum())
    alone = len(came) == int(groups.max()) + 1
    effect = 1.0 if alone or not plain else max(1.0, _spread(came - middle, groups) / plain)
    rows = len(came) / effect
    ones = float(came.mean()) * rows
    more = float(betainc(ones, rows - ones + 1, most)) if ones > 0 else 1.0
    fewer = float(betainc(rows - ones, ones + 1, 1 - least)) if ones < rows else 1.0
    return more, fewer


def _binary(y: Floats, p: Floats, groups: Ints, tolerance: float) -> _Reading:
    """Probabilities: as many as were said, and as well told apart."""
    rate = min(1.0, 2 * min(tails(y, p, p, groups, tolerance)))
    order = _flatter(y, p, groups, tolerance)
    came, said, loss = float(y.mean()), float(p.mean()), metrics.logloss(y, p)
    expected = float((p * metrics.losses(np.ones_like(p), p) + (1 - p) * metrics.losses(np.zeros_like(p), p)).mean())
    words = f"{100 * came:.1f} % came and {100 * said:.1f} % was said, log loss {loss:.4f} and {expected:.4f} was said"
    figures: dict[str, Figure] = {"came": came, "said": said, "loss": loss, "loss said": expected}
    return _Reading(min(1.0, 2 * min(rate, order)), words, {**figures, "p in the large": rate, "p of the loss": order})


def _flatter(y: Floats, p: Floats, groups: Ints, tolerance: float) -> float:
    """Chance of log odds that are right but for their average to lose as much; 1 where too few came or did not."""
    ones = float(y.sum())
    if min(ones, len(y) - ones) < _LEAST:
        return 1.0
    odds = logit(p)
    claimed = (1 - tolerance) * odds
    reach = float(np.abs(claimed).max()) + 20.0
    q = expit(claimed + brentq(lambda shift: float(expit(claimed + shift).sum()) - ones, -reach, reach, xtol=1e-9))
    weights = q * (1 - q)
    centred = odds - float((weights * odds).sum() / weights.sum())
    lost = (q - y) * centred
    variance = max(float((weights * centred**2).sum()), _spread(lost, groups, centre=False))
    return float(ndtr(-lost.sum() / np.sqrt(variance))) if variance > 0 else 1.0


def _numbers(y: Floats, p: Floats, groups: Ints, tolerance: float, held: tuple[Floats, Floats]) -> _Reading:
    """Numbers: events that came with a known share of the holdout's rows, labels and predictions."""
    errors = np.abs(held[0] - held[1])
    large = float(np.quantile(errors, _TAIL, method="inverted_cdf"))
    beyond, usual = np.abs(y - p) > large, errors > large
    above, usually = y > p, held[0] > held[1]
    larger, _ = tails(beyond.astype(np.float64), *_share(usual, len(y)), groups, tolerance)
    sides = tails(above.astype(np.float64), *_share(usually, len(y)), groups, tolerance)
    shares = [100 * float(one.mean()) for one in (beyond, usual, above, usually)]
    words = (
        f"{shares[0]:.1f} % have an error larger than {large:.4g} and {shares[1]:.1f} % had in the holdout,"
        f" {shares[2]:.1f} % lie above what was said and {shares[3]:.1f} % did"
    )
    names = ("errors beyond", "errors beyond, holdout", "above", "above, holdout")
    figures: dict[str, Figure] = dict(zip(names, [one / 100 for one in shares], strict=True))
    return _Reading(min(1.0, 3 * min(larger, *sides)), words, figures)


def _share(held: npt.NDArray[np.bool_], rows: int) -> tuple[Floats, Floats]:
    """Ends of the score interval (Wilson 1927) of a holdout's share, for each of so many rows."""
    count, share, z = len(held), float(held.mean()), _HOLDOUT_Z
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return np.full(rows, max(centre - half, 0.0)), np.full(rows, min(centre + half, 1.0))


def _spread(values: Floats, groups: Ints, centre: bool = True) -> float:
    """Variance of a sum over rows of which those of one group belong together (Liang & Zeger 1986)."""
    sums = np.bincount(groups, values - values.mean() if centre else values)
    return float((sums**2).sum()) * len(sums) / max(len(sums) - 1, 1)


def _rows(
    y: npt.ArrayLike, p: npt.ArrayLike, clusters: npt.ArrayLike | None, *, binary: bool
) -> tuple[Floats, Floats, Ints]:
    """Outcomes, what was said and codes of entities, checked; those that are not finite are left out."""
    labels, said = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    names = np.arange(labels.size) if clusters is None else np.asarray(clusters)
    if labels.ndim != 1 or any(one.shape != labels.shape for one in (said, names)):
        raise InputError(f"outcomes, predictions and entities differ: {labels.shape}, {said.shape}, {names.shape}")
    known = np.isfinite(labels) & np.isfinite(said)
    labels, said = labels[known], said[known]
    if binary and not (np.isin(labels, (0.0, 1.0)).all() and ((said >= 0) & (said <= 1)).all()):
        raise InputError("labels have to be 0 or 1, and what was said of them probabilities")
    return labels, said, np.unique(names[known], return_inverse=True)[1]


def _holdout(reference: tuple[npt.ArrayLike, npt.ArrayLike] | None) -> tuple[Floats, Floats]:
    """Labels and predictions of the holdout's rows that have both."""
    if reference is None:
        raise InputError("a regression is judged against its holdout: give its labels and predictions as reference")
    labels, said, _ = _rows(*reference, None, binary=False)
    if not len(labels):
        raise InputError("the holdout of a regression has no row with a label and a prediction: give one that has")
    return labels, said
