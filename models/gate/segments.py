"""Floors in segments: a challenger that is better on average may not be shown to be much worse for some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.base import Task
from models.compare import Ints
from models.gate.check import CHALLENGER, CHAMPION, ENTITIES, GUESS, Check, Figure, Rows, rows_of, verdict
from models.inputs import Floats
from models.judges import judge_of

if TYPE_CHECKING:
    from pipelines.core.promotion_params import GateParams


@dataclass(frozen=True, eq=False)
class _Part:
    """Some rows of a window.

    Attributes:
        name: of the segment's value.
        at: places of the rows.
        judged: whether they, and their entities, are enough.
    """

    name: str
    at: Ints
    judged: bool


@dataclass(frozen=True, eq=False)
class _Floor:
    """The challenger against one other in one part, in units of the loss.

    Attributes:
        part: where.
        over: against whom.
        gain: the loss of the other less that of the challenger.
        upper: one-sided upper bound of the gain.
        unit: loss of the constant guess.
        allowed: by how much it may be shown to be worse.
    """

    part: _Part
    over: str
    gain: float
    upper: float
    unit: float
    allowed: float

    @property
    def broken(self) -> bool:
        """Whether it is shown to be worse by more than is allowed."""
        return not self.upper >= -self.allowed

    @property
    def share(self) -> float:
        """The gain in units of the guess's loss, to rank by."""
        return self.gain / max(self.unit, 1e-12)


def segments(
    y: npt.ArrayLike,
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike | None,
    guess: float,
    columns: Mapping[str, npt.ArrayLike],
    *,
    task: Task,
    params: GateParams,
    clusters: npt.ArrayLike | None = None,
    looks: int = 1,
) -> list[Check]:
    """One check a column: no value of it may be shown to be worse off than with the champion, or the constant guess.

    Shown is what the one-sided upper bound of the gain says: below minus `segments.tolerance` of the constant guess's
    loss on these rows. The bound is the normal one with an error that is robust to entities (Liang & Zeger 1986, with
    the delta method for an RMSE): far out in the tail, where many comparisons share the chance of error (Bonferroni:
    parts of all columns × others × looks), resamples say nothing.

    Values with fewer than `segments.rows` rows are pooled as "others"; these too are left unjudged where they are too
    few, and so is a part of fewer than 30 entities.

    Args:
        y: labels of n rows.
        ours: probabilities or numbers of the challenger, n.
        theirs: the champion's, n; None where there is none.
        guess: base rate or mean of the challenger's training.
        columns: values of n rows by name of the segment; None and NaN are "missing".
        task: "binary" or "regression".
        params: level, rows, and of segments rows and tolerance.
        clusters: entity of each row, n; None takes each row for itself.
        looks: how often these rows were looked at, this time included.

    Returns:
        At least one check, whatever is given.
    """
    if not columns:
        return [Check("segments", "not applicable", "no column is declared as a segment", {})]
    given = {CHALLENGER: ours, GUESS: guess} | ({} if theirs is None else {CHAMPION: theirs})
    rows = rows_of(y, given, task, params, clusters)
    if isinstance(rows, str):
        return [Check(f"segment {name}", "failed", rows, {}) for name in columns]
    parts = {name: _parts(values, rows, params.segments.rows) for name, values in columns.items()}
    others = [who for who in rows.predictions if who != CHALLENGER]
    comparisons = len(others) * sum(part.judged for found in parts.values() for part in found or ())
    tail = (1 - params.level) / max(1, comparisons * max(1, looks))
    checks = []
    for name, found in parts.items():
        if found is None:
            checks.append(Check(f"segment {name}", "failed", f"'{name}' has not {len(rows.y)} values", {}))
            continue
        floors = [
            _floor(rows, part, who, tail, params.segments.tolerance) for part in found if part.judged for who in others
        ]
        checks.append(_check(name, found, floors, tail, params))
    return checks


def _parts(values: npt.ArrayLike, rows: Rows, least: int) -> list[_Part] | None:
    """The rows by value, the largest first and small ones pooled; None where the values do not fit the rows."""
    given = np.asarray(values, dtype=object)
    if given.shape != rows.y.shape:
        return None
    texts = np.array(["missing" if value is None or value != value else str(value) for value in given])
    names, place, counts = np.unique(texts, return_inverse=True, return_counts=True)
    large = [int(number) for number in np.argsort(-counts, kind="stable") if counts[number] >= least]
    found = [_part(str(names[number]), place == number, rows, least) for number in large]
    rest = ~np.isin(place, large)
    if rest.any():
        found.append(_part(f"others ({len(names) - len(large)} together)", rest, rows, least))
    return found


def _part(name: str, inside: npt.NDArray[np.bool_], rows: Rows, least: int) -> _Part:
    at = np.flatnonzero(inside)
    return _Part(name, at, len(at) >= least and len(np.unique(rows.groups[at])) >= ENTITIES)


def _floor(rows: Rows, part: _Part, who: str, tail: float, tolerance: float) -> _Floor:
    judge, y = judge_of(rows.task), rows.y[part.at]
    ours, theirs, guess = (judge.losses(y, rows.predictions[one][part.at]) for one in (CHALLENGER, who, GUESS))
    means = judge.total(np.array([ours.mean(), theirs.mean(), guess.mean()]))
    gain, unit = float(means[1] - means[0]), float(means[2])
    if rows.task == "regression":  # to first order, a root moves by half its square's move, divided by it
        ours, theirs = (loss / (2 * max(mean, 1e-300)) for loss, mean in zip((ours, theirs), means[:2], strict=True))
    upper = gain - NormalDist().inv_cdf(tail) * _error(theirs - ours, rows.groups[part.at])
    return _Floor(part, who, gain, upper, unit, tolerance * unit)


def _error(differences: Floats, groups: Ints) -> float:
    """Standard error of a mean over rows of which those of one group belong together."""
    place = np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(place, differences - differences.mean())
    return float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(differences))


def _check(name: str, parts: list[_Part], floors: list[_Floor], tail: float, params: GateParams) -> Check:
    title, asked = f"segment {name}", params.segments
    left = [part for part in parts if not part.judged]
    figures: dict[str, Figure] = {"judged": len(parts) - len(left), "level": 1 - tail, "tolerance": asked.tolerance}
    figures |= {f"{part.name}: rows not judged": len(part.at) for part in left}
    if not floors:
        said = f"no value of '{name}' has {asked.rows} rows of {ENTITIES} entities"
        return Check(title, "not applicable", said, figures)
    broken = sorted((one for one in floors if one.broken), key=lambda one: one.share)
    worst = min(floors, key=lambda one: one.share)
    for one in dict.fromkeys([*broken, worst]):
        figures |= _figures(one)
    if broken:
        words = " and ".join(_told(one) for one in broken[:3])
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        return verdict(title, False, f"by '{name}' it is {words}{more}", figures)
    judged = len(parts) - len(left)
    said = (
        f"no value of '{name}' is shown to be worse off ({judged} judged); the least gain is {worst.gain:+.4f} over"
        f" {worst.over} in {worst.part.name} ({len(worst.part.at)} rows), where {-worst.allowed:+.4f} is allowed"
    )
    return verdict(title, True, said, figures)


def _told(one: _Floor) -> str:
    return (
        f"worse than {one.over} in {one.part.name} ({len(one.part.at)} rows) by {-one.gain:.4f} of loss,"
        f" surely by {-one.upper:.4f}, and {one.allowed:.4f} is allowed"
    )


def _figures(one: _Floor) -> dict[str, Figure]:
    numbers = {"gain": one.gain, "upper": one.upper, "allowed": -one.allowed, "guess": one.unit}
    found: dict[str, Figure] = {f"{one.part.name}: {key} over {one.over}": value for key, value in numbers.items()}
    return found | {f"{one.part.name}: rows": len(one.part.at)}
