"""Whether predictions mean what they say, and intervals hold what they promise, beyond what chance explains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models import metrics
from models.base import Task
from models.compare import Ints
from models.gate.check import CHALLENGER, Check, rows_of, verdict
from models.inputs import Floats

if TYPE_CHECKING:
    from pipelines.core.promotion_params import GateParams

PROMISED = 0.9
"""Share that the judged intervals are made to hold."""

_DRAWS = 200  # of labels: the mean of the error by chance is then known to a few hundredths of itself
_CELLS = 2_000_000  # draws × rows at once


def calibration(y: npt.ArrayLike, p: npt.ArrayLike, *, task: Task, params: GateParams) -> Check:
    """The calibration error, less what chance gives a calibrated model on as many rows.

    Of probabilities: the ECE over 15 bins of equal mass, less the mean ECE of labels drawn from the probabilities
    (consistency resampling, Bröcker & Smith 2007). Of numbers: the mean distance of predicted and observed over such
    bins, in standard deviations of the label, less the mean of it when each error, about its bin's mean, is given a
    random sign (the wild bootstrap, Liu 1988), which leaves every row its own spread.

    What is left may be `params.calibration`, or as much as chance alone leaves in all but 1 - `params.level` of cases.
    Of numbers with a long tail more than .03 is left of a calibrated model in 12 % of windows of 500 rows; so 8 % of
    them fail.

    Args:
        y: labels of n rows.
        p: probabilities or numbers of the challenger, n.
        task: "binary" or "regression".
        params: of them `rows`, `level`, and `calibration`, which may be left at least.
    """
    rows = rows_of(y, {CHALLENGER: p}, task, params)
    if isinstance(rows, str):
        return Check("calibration", "failed", rows, {})
    labels, scores = rows.y, rows.predictions[CHALLENGER]
    if task == "regression" and rows.one_label:
        return Check("calibration", "failed", f"all {len(labels)} rows have the same label, {labels[0]:g}", {})
    order = np.argsort(scores, kind="stable")
    errors = (scores - labels)[order]
    starts = _starts(len(errors))
    unit = 1.0 if task == "binary" else float(labels.std())
    drawn = (_drawn(scores[order], starts) if task == "binary" else _signed(errors, starts)) / unit
    error, by_chance, at_most = float(_error(errors, starts)) / unit, drawn.mean(), np.quantile(drawn, params.level)
    left = error - by_chance
    what = "calibration error" if task == "binary" else "calibration error in standard deviations of the label"
    said = f"{what} {error:.4f}, of which chance explains {by_chance:.4f}: {left:+.4f} is left"
    allowed = max(params.calibration, at_most - by_chance)
    said = f"{said}, {allowed:.4f} at most is allowed"
    figures = {"error": error, "by chance": by_chance, "left": left, "most": allowed, "rows": len(labels)}
    return verdict("calibration", left <= allowed, said, figures)


def coverage(held: float | None, *, task: Task, params: GateParams, least: float | None = None) -> Check:
    """Whether 90 % intervals hold what they promise.

    A value's intervals may hold neither much less nor much more; a probability's ranges, judged by bins of rows, may
    hold more, since a bin averages the rows' errors.

    Args:
        held: share of rows (of a probability: of bins) whose outcome lies inside; None where there are no intervals.
        task: "binary" or "regression".
        params: of them `coverage`, by how much it may differ from .9.
        least: share that chance alone may leave; see `held_by_chance`. None asks for .9 less `params.coverage`.
    """
    if held is None:
        return Check("coverage", "not applicable", "the estimator gives no intervals", {})
    if not 0 <= held <= 1:
        return Check("coverage", "failed", "no interval could be judged", {})
    floor = PROMISED - params.coverage
    floor = floor if least is None else min(floor, least)
    most = 1.0 if task == "binary" else min(PROMISED + params.coverage, 1.0)
    of = "bins of rows" if task == "binary" else "outcomes"
    said = f"90 % intervals hold {100 * held:.1f} % of {of}, {100 * floor:.1f} to {100 * most:.1f} % is allowed"
    figures = {"held": held, "promised": PROMISED, "least": floor, "most": most}
    rounding = 1e-9  # .83 is less than .9 - .07
    return verdict("coverage", floor - rounding <= held <= most + rounding, said, figures)


def held_by_chance(p: npt.ArrayLike, ends: npt.ArrayLike, *, params: GateParams) -> float | None:
    """Share of bins of rows that ranges of calibrated probabilities hold in all but 1 - `params.level` of cases.

    The share of ones of a bin of few rows may lie outside a range that holds its probability: that is no fault of the
    range. Labels are drawn from the probabilities, as in `calibration`.

    Args:
        p: probabilities of n rows.
        ends: lower and upper end of each row, (n, 2); rows of NaN are left out.
        params: of them `level`.

    Returns:
        A share; None where there is no row to tell from.
    """
    scores, ranges = np.asarray(p, dtype=np.float64), np.asarray(ends, dtype=np.float64)
    known = np.isfinite(ranges).all(axis=1) & (scores >= 0) & (scores <= 1)
    if not known.any():
        return None
    order = np.argsort(scores[known], kind="stable")
    scores, ranges = scores[known][order], ranges[known][order]
    starts = _starts(len(scores))
    rows = np.diff([*starts, len(scores)])
    low, high = (np.add.reduceat(ranges[:, end], starts) / rows for end in (0, 1))
    shares = np.concatenate([np.add.reduceat(labels, starts, axis=1) / rows for labels in _labels(scores)])
    inside = ((low <= shares) & (shares <= high)).mean(axis=1)
    return float(np.quantile(inside, 1 - params.level, method="inverted_cdf"))


def _starts(count: int) -> Ints:
    """Where the bins of equal mass begin; no bin is empty."""
    sizes = [len(part) for part in np.array_split(np.arange(count), min(metrics.CALIBRATION_BINS, count))]
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)


def _error(errors: Floats, starts: Ints) -> Floats:
    """Mean distance of predicted and observed over bins, weighted by rows, for each of (..., n) errors."""
    bins = np.add.reduceat(errors, starts, axis=-1)
    return np.asarray(np.abs(bins).sum(axis=-1) / errors.shape[-1])


def _drawn(scores: Floats, starts: Ints) -> Floats:
    """Error of the bins when labels are drawn from the probabilities, (draws,)."""
    return np.concatenate([_error(scores - labels, starts) for labels in _labels(scores)])


def _signed(errors: Floats, starts: Ints) -> Floats:
    """Error of the bins when each row's error about its bin's mean has a random sign, (draws,)."""
    rows = np.diff([*starts, len(errors)])
    means = np.add.reduceat(errors, starts) / rows
    # What the mean took away of the spread is given back.
    spread = (errors - np.repeat(means, rows)) * np.repeat(np.sqrt(rows / np.maximum(rows - 1, 1)), rows)
    signs = (np.where(drawn < 0.5, -1.0, 1.0) for drawn in _uniform(len(errors)))
    return np.concatenate([_error(sign * spread, starts) for sign in signs])


def _labels(scores: Floats) -> Iterator[Floats]:
    """Labels of 0 and 1 drawn from probabilities, (draws, n) at a time."""
    for drawn in _uniform(len(scores)):
        yield (drawn < scores).astype(np.float64)


def _uniform(count: int) -> Iterator[Floats]:
    rng = np.random.default_rng(0)
    step = max(1, _CELLS // count)
    for start in range(0, _DRAWS, step):
        yield rng.random((min(step, _DRAWS - start), count))
