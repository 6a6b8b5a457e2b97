"""What sets a segment apart from the other leads, and a short name made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from models.inputs import Floats
from models.segments.space import REST, Codes, Part, Space

Direction = Literal["high", "low", "medium", "is", "missing", "known"]

EVERYONE = "all leads"
"""Name of the only segment, where there is one."""

_TRAITS = 6  # kept of a segment
_WORTH = 0.3  # a smaller difference is no trait
_SECOND = 0.5  # a second trait is named where it is at least so large, as a share of the first
_MOSTLY = 0.5  # share of a segment that has a value which names it
_SPREAD = 0.1  # standard deviation within segments that counts at least: differences are 10 times a coordinate at most
_FEWEST = 5  # known values on either side of a comparison
_NARROW = 0.5  # a segment in the middle of all is named by a number whose spread in it is so much smaller


@dataclass(frozen=True)
class Trait:
    """One thing that sets a segment apart.

    Attributes:
        feature: the input's name.
        direction: high, low or (in the middle, and narrow) medium for a number; "is" for a value of a text or boolean;
            whether the value is missing or known.
        size: difference from the other leads' mean or share in standard deviations within segments, positive; of
            "medium" the logarithm of how much less it varies. The larger, the more it sets apart.
        level: the value, for "is": of a boolean "true" or "false".
        typical: of a number its value at the segment's centre; of "is", "missing" and "known" the share of the segment.
        lift: that share as a multiple of the other leads' share; None for a number, or where no other lead has it.
    """

    feature: str
    direction: Direction
    size: float
    level: str | None = None
    typical: float | None = None
    lift: float | None = None

    @property
    def words(self) -> str:
        """The trait in a few English words."""
        if self.direction == "is":
            return f"{self.feature} { {'true': 'yes', 'false': 'no'}.get(str(self.level), self.level) }"
        if self.direction in ("missing", "known"):
            return f"{self.feature} {self.direction}"
        return f"{self.direction} {self.feature}"

    @property
    def naming(self) -> bool:
        """Whether it may be part of a name: a value that most of the segment has, or a number."""
        return self.direction in ("high", "low", "medium") or (self.typical or 0.0) >= _MOSTLY


def traits(space: Space, points: Floats, labels: Codes, segment: int) -> tuple[Trait, ...]:
    """What sets a segment apart, most first; nothing where it holds all rows.

    Args:
        space: what the coordinates are of.
        points: coordinates (rows, width), NaN where a value is missing.
        labels: segment of each row.
        segment: which.
    """
    inside = labels == segment
    if inside.all() or not inside.any():
        return ()
    found: list[Trait] = []
    for part, at in zip(space.parts, space.slices, strict=True):
        known = ~np.isnan(points[:, at.start])
        here, there = points[inside & known][:, at], points[~inside & known][:, at]
        if min(len(here), len(there)) < _FEWEST:
            continue
        trait = _number(part, here[:, 0], there[:, 0]) if part.kind == "number" else _level(part, here, there)
        if trait is not None and trait.size >= _WORTH:
            found.append(trait)
    return tuple(sorted(found, key=lambda one: -one.size)[:_TRAITS])


def _number(part: Part, here: Floats, there: Floats) -> Trait:
    difference = float(here.mean() - there.mean())
    size = abs(difference) / max(float(np.sqrt((here.var() + there.var()) / 2)), _SPREAD)
    typical = part.value(float(here.mean()))
    everyone = float(np.concatenate([here, there]).std())
    if size < _WORTH and here.std() < _NARROW * everyone:
        narrower = float(np.log(everyone / max(float(here.std()), _SPREAD * everyone)))
        return Trait(part.feature, "medium", narrower, None, typical)
    return Trait(part.feature, "high" if difference > 0 else "low", size, None, typical)


def _level(part: Part, here: Floats, there: Floats) -> Trait | None:
    shares, others = here.mean(axis=0) / part.scale, there.mean(axis=0) / part.scale
    within = np.sqrt((shares * (1 - shares) + others * (1 - others)).clip(0) / 2)
    sizes = (shares - others) / np.maximum(within, _SPREAD)
    sizes[[level == REST for level in part.levels]] = -np.inf  # rare values together are nothing to call by name
    best = int(sizes.argmax())
    if not sizes[best] > 0:
        return None
    share, other = float(shares[best]), float(others[best])
    lift = share / other if other > 0 else None
    level = part.levels[best]
    if part.kind == "gap":
        return Trait(part.feature, "missing" if level == "missing" else "known", float(sizes[best]), None, share, lift)
    return Trait(part.feature, "is", float(sizes[best]), level, share, lift)


def named(found: Sequence[Trait], taken: set[str], fallback: str) -> tuple[str, tuple[Trait, ...]]:
    """A name that is not taken, and the traits it is made of.

    Args:
        found: traits, most first.
        taken: names that others have.
        fallback: an unique word that is put behind a name where all are taken.
    """
    usable = [trait for trait in found if trait.naming] or list(found)
    if not usable:
        return (EVERYONE, ()) if EVERYONE not in taken else (f"segment {fallback}", ())
    for made_of in _choices(usable):
        name = ", ".join(trait.words for trait in made_of)
        if name not in taken:
            return name, made_of
    best = next(_choices(usable))
    return f"{', '.join(trait.words for trait in best)} ({fallback})", best


def _choices(usable: Sequence[Trait]) -> Iterator[tuple[Trait, ...]]:
    """The two that set most apart, one of them where the second is small; then other pairs, then triples."""
    if len(usable) == 1 or usable[1].size < _SECOND * usable[0].size:
        yield (usable[0],)
    for count in (2, 3):
        yield from combinations(usable, count)
