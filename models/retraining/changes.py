"""What kind of change a window shows: a new market, another share of outcomes, or data that broke on its way here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.inputs import Floats, InputError
from models.retraining.outcomes import tails

Kind = Literal["quiet", "data drift", "prior shift", "quality break"]

_SHOWN = 3  # names in a sentence


@dataclass(frozen=True)
class ColumnChange:
    """One column against the sample that was trained on.

    Attributes:
        name: of the column.
        drifted: the verdict on its values, gaps aside.
        missing_before: share of gaps in that sample, 0 to 1.
        missing_now: share of gaps in the window.
        decides: whether its drift alone is drift of the whole, as that of the score is.
    """

    name: str
    drifted: bool
    missing_before: float = 0.0
    missing_now: float = 0.0
    decides: bool = False


@dataclass(frozen=True)
class SourceAge:
    """How old the newest row of a source is at the end of the window.

    Attributes:
        name: of the source.
        days: age; infinite where nothing ever came.
        allowed: age up to which it is in time.
    """

    name: str
    days: float
    allowed: float


@dataclass(frozen=True)
class RateChange:
    """Share of ones among settled outcomes.

    Attributes:
        before: in training.
        now: in the window.
        p_value: chance to lie as far from `before`, tolerance and chance allowed for.
    """

    before: float
    now: float
    p_value: float


@dataclass(frozen=True)
class Change:
    """What kind of change it is.

    Attributes:
        kind: see `classified`.
        said: one sentence, for a person.
        columns: names of the columns, or sources, that tell it.
    """

    kind: Kind
    said: str
    columns: tuple[str, ...] = ()


def rate_change(
    y: npt.ArrayLike, before: float, *, tolerance: float, clusters: npt.ArrayLike | None = None
) -> RateChange | None:
    """The share of ones of a window's outcomes against that of training.

    Args:
        y: 0/1 of n rows; those that are not finite are left out.
        before: share of ones in training, within (0, 1).
        tolerance: see `models.retraining.judged`.
        clusters: n entities.

    Returns:
        The change; None where there is no outcome.
    """
    labels = np.asarray(y, dtype=np.float64)
    known = np.isfinite(labels)
    if not 0 < before < 1:
        raise InputError(f"the share of ones in training has to lie in (0, 1), not {before}")
    if not known.any():
        return None
    names = np.arange(len(labels)) if clusters is None else np.asarray(clusters)
    groups = np.unique(names[known], return_inverse=True)[1]
    said: Floats = np.full(int(known.sum()), before)
    p_value = min(1.0, 2 * min(tails(labels[known], said, said, groups, tolerance)))
    return RateChange(before, float(labels[known].mean()), p_value)


def classified(
    columns: Iterable[ColumnChange],
    sources: Iterable[SourceAge] = (),
    rate: RateChange | None = None,
    *,
    missing: float,
    share: float,
    alpha: float,
) -> Change:
    """Tell kinds of change apart, by the first of these rules that holds.

    1. *quality break*: a source is later than is allowed, or a column's gaps grew by `missing` or more, or nothing of
       it comes any more. What else moved, the score first of all, may come from that. Gaps that got fewer are none: a
       platform that answers again is what is hoped for.
    2. *data drift*: the values of more than `share` of the columns moved, or those of one that decides.
    3. *prior shift*: the share of ones moved beyond chance and tolerance (p-value at most `alpha`), though the columns
       look as before.
    4. *quiet*: none of these.

    A break that stays, as of a platform that was given up, is for a person to decide on: a model that is trained then
    has the gaps in its own sample, and no window breaks by them any more.

    Args:
        columns: against the sample that was trained on.
        sources: of which fresh rows are expected.
        rate: of settled outcomes; None where there are none yet.
        missing: growth of a share of gaps, 0 to 1.
        share: of columns, 0 to 1.
        alpha: chance of a prior shift to be seen where there is none.
    """
    looked = sorted(columns, key=lambda one: one.name)
    late = sorted((one for one in sources if one.days > one.allowed), key=lambda one: one.name)
    gaps = [one for one in looked if _emptier(one, missing)]
    if late or gaps:
        words = [f"source '{one.name}' is {_age(one.days)}, {one.allowed:g} days are allowed" for one in late]
        words += [
            f"'{one.name}' lacks {_percent(one.missing_now)}, {_percent(one.missing_before)} before" for one in gaps
        ]
        names = tuple([one.name for one in late] + [one.name for one in gaps])
        return Change("quality break", f"data broke: {_list(words)}", names)
    drifted = [one for one in looked if one.drifted]
    names = tuple(one.name for one in drifted)
    deciding = [one.name for one in drifted if one.decides]
    if deciding or len(drifted) > share * len(looked):
        first = [*deciding, *(name for name in names if name not in deciding)]
        return Change("data drift", f"{len(drifted)} of {len(looked)} columns drifted: {_list(first)}", names)
    if rate is not None and rate.p_value <= alpha:
        said = f"{_percent(rate.now)} came, {_percent(rate.before)} in training, though columns look as before"
        return Change("prior shift", f"{said} (p {rate.p_value:.2g})")
    return Change("quiet", f"{len(drifted)} of {len(looked)} columns drifted", names)


def _emptier(one: ColumnChange, missing: float) -> bool:
    grown = one.missing_now - one.missing_before
    rounding = 1e-9  # .3 less .2 is less than .1
    return grown >= missing - rounding or (one.missing_now >= 1 and grown > 0)


def _age(days: float) -> str:
    return f"{days:.1f} days old" if np.isfinite(days) else "empty"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _list(words: list[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
