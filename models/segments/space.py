"""The common space in which leads are compared: each input column counts alike, gaps count nothing.

Numbers go by median and interquartile range, then by their asinh: differences of up to one robust standard deviation
count as they are, larger ones by their ratio, so that no outlier draws a segment to itself. What comes out is scaled to
variance 1. A text or boolean has one coordinate for each frequent value, 0 or the column's scale, which together have
variance 1 as well; of columns that are nearly always the same it is kept smaller, or rare values would be outliers.

A gap is no value: it adds nothing to a distance. That a value is missing counts as a column of its own only where it is
information, which is where another column differs between leads with and without the gap. Columns that are missing
together count as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.inputs import Floats, Inputs

Codes = npt.NDArray[np.intp]
Kind = Literal["number", "level", "gap"]

REST = ""
"""Stands for all rare values of a text."""

_NORMAL = 1.349  # interquartile ranges of a normal distribution per standard deviation
_OUTLIER, _FAR = 100.0, 4.0  # robust standard deviations that count as infinite; and a coordinate's largest size
_KNOWN, _RARE, _MOST_REST, _LEVELS = 0.05, 0.01, 0.5, 40  # shares of rows; values of a text
_FEWEST_GINI = 0.25  # a text that varies less is not blown up to variance 1
_FEW, _LUMP = 50, 0.05  # a number with fewer distinct values, or such a share of one of them, has lumps
_TOLD, _TOGETHER, _FEWEST_ROWS = 0.5, 0.9, 30  # difference and correlation that make a gap information, and rows for it


@dataclass(frozen=True)
class Part:
    """What one input, or the gap of one, puts into the space.

    Attributes:
        feature: the input's name; of gaps of several columns the first one's.
        at: position of the input.
        kind: a number, the levels of a text or boolean, or whether the value is missing.
        lumpy: values come in lumps by nature (texts, counts), so that a lump is no evidence of a segment.
        levels: values with a coordinate each, most frequent first; none for a number.
        median: of a number, as `spread` (robust standard deviation), and `mean` and `scale` of what asinh gives.
        scale: also the coordinate of the level that a row has.
        together: further columns that are missing with this one.
    """

    feature: str
    at: int
    kind: Kind
    lumpy: bool
    levels: tuple[str, ...] = ()
    median: float = 0.0
    spread: float = 1.0
    mean: float = 0.0
    scale: float = 1.0
    together: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many coordinates."""
        return len(self.levels) or 1

    def number(self, values: Floats) -> Floats:
        """Coordinate of numbers; NaN stays NaN."""
        squashed = np.arcsinh(np.clip((values - self.median) / self.spread, -_OUTLIER, _OUTLIER))
        return np.asarray(np.clip((squashed - self.mean) / self.scale, -_FAR, _FAR), dtype=np.float64)

    def value(self, coordinate: float) -> float:
        """The number at this coordinate."""
        return float(self.median + self.spread * np.sinh(coordinate * self.scale + self.mean))


@dataclass(frozen=True)
class Space:
    """Inputs, the parts that tell leads apart, and why other inputs are left out, by name."""

    inputs: Inputs
    parts: tuple[Part, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    @cached_property
    def slices(self) -> list[slice]:
        """Where the coordinates of each part stand."""
        ends = np.cumsum([0, *(part.width for part in self.parts)])
        return [slice(int(a), int(b)) for a, b in zip(ends[:-1], ends[1:], strict=True)]

    @property
    def width(self) -> int:
        """How many coordinates there are."""
        return sum(part.width for part in self.parts)

    @cached_property
    def _level_of(self) -> list[Codes]:
        """For each part the level of each category; the last entry, -1, is read by gaps."""
        return [_level_of(part, self.inputs.columns[part.at].categories) for part in self.parts]

    @classmethod
    def learn(cls, inputs: Inputs, matrix: Floats) -> Space:
        """The space of these encoded rows (rows, inputs)."""
        parts: list[Part] = []
        left_out: dict[str, str] = {}
        for i, column in enumerate(inputs.columns):
            known = matrix[~np.isnan(matrix[:, i]), i]
            if len(known) < max(1.0, _KNOWN * len(matrix)):
                found: Part | str = "no value is known" if not len(known) else "hardly a value is known"
            elif column.kind == "numeric":
                found = _number(column.name, i, known)
            else:
                found = _levels(column.name, i, known, column.categories or ("false", "true"))
            if isinstance(found, str):
                left_out[column.name] = found
            else:
                parts.append(found)
        plain = cls(inputs, tuple(parts), left_out)
        return cls(inputs, (*parts, *_telling_gaps(plain, matrix)), left_out)

    def _levels_at(self, matrix: Floats, which: int) -> Codes:
        """Level of each row in one part that has levels; -1 where the value is missing."""
        part, values = self.parts[which], matrix[:, self.parts[which].at]
        gap = np.isnan(values)
        if part.kind == "gap":
            return np.asarray([part.levels.index("known"), part.levels.index("missing")])[gap.astype(np.intp)]
        boolean = not self.inputs.columns[part.at].categories
        codes = np.where(gap, -1, (values > 0.5) if boolean else values).astype(np.intp)
        return self._level_of[which][codes]

    def coordinates(self, matrix: Floats) -> Floats:
        """Coordinates (rows, width) of encoded rows; NaN where a value is missing."""
        points = np.empty((len(matrix), self.width))
        for i, (part, at) in enumerate(zip(self.parts, self.slices, strict=True)):
            if part.kind == "number":
                points[:, at.start] = part.number(matrix[:, part.at])
                continue
            table = np.vstack([np.eye(part.width) * part.scale, np.full(part.width, np.nan)])
            points[:, at] = table[self._levels_at(matrix, i)]
        return points

    def distances(self, matrix: Floats, centres: Floats) -> Floats:
        """Squared distances (centres, rows) over what is known of each row.

        Column by column in one order, without BLAS: a row gets the same bits in whatever batch it stands.
        """
        total = np.zeros((len(centres), len(matrix)))
        for i, (part, at) in enumerate(zip(self.parts, self.slices, strict=True)):
            if part.kind == "number":
                coordinate = part.number(matrix[:, part.at])
                for row, centre in zip(total, centres[:, at.start], strict=True):
                    difference = coordinate - centre
                    difference *= difference
                    np.copyto(difference, 0.0, where=np.isnan(difference))
                    row += difference
                continue
            levels = np.eye(part.width) * part.scale
            table = ((levels[:, None, :] - centres[None, :, at]) ** 2).sum(axis=2)
            table = np.vstack([table, np.zeros(len(centres))])
            total += table[self._levels_at(matrix, i)].T
        return total

    def shared(self, centres: Floats, other: Space, others: Floats) -> tuple[Floats, Floats]:
        """Centres of this space and those of another one, both in this one, on the parts that both have."""
        place = {(part.feature, part.kind): i for i, part in enumerate(other.parts)}
        here, there = [np.zeros((len(centres), 0))], [np.zeros((len(others), 0))]
        for part, at in zip(self.parts, self.slices, strict=True):
            if (i := place.get((part.feature, part.kind))) is not None:
                here.append(centres[:, at])
                there.append(_moved(others[:, other.slices[i]], other.parts[i], part))
        return np.hstack(here), np.hstack(there)

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        columns = [[c.name, c.kind, list(c.categories)] for c in self.inputs.columns]
        return {"inputs": columns, "parts": [asdict(part) for part in self.parts], "left_out": dict(self.left_out)}

    @classmethod
    def from_dict(cls, data: dict[str, Any], inputs: Inputs) -> Space:
        """What `to_dict` gave, with its inputs."""
        parts = ({**p, "levels": tuple(p["levels"]), "together": tuple(p["together"])} for p in data["parts"])
        return cls(inputs, tuple(Part(**part) for part in parts), dict(data["left_out"]))


def _moved(centres: Floats, of: Part, to: Part) -> Floats:
    """Centres (n, width) of one part in the coordinates of the same part of another space."""
    if to.kind == "number":
        return to.number(np.array([[of.value(one)] for (one,) in centres]).reshape(-1, 1))
    moved = np.zeros((len(centres), to.width))
    for level, share in zip(of.levels, (centres / of.scale).T, strict=True):
        target = level if level in to.levels else REST
        if target in to.levels:
            moved[:, to.levels.index(target)] += share * to.scale
    return moved


def _number(name: str, at: int, known: Floats) -> Part | str:
    low, median, high = (float(q) for q in np.percentile(known, [25, 50, 75]))
    spread = (high - low) / _NORMAL
    for ends in ((1, 99), (0, 100)):  # more than half of a count may be 0
        if not spread > 0:
            spread = float(np.std(np.clip(known, *np.percentile(known, ends))))
    if not spread > 0:
        return f"it is always {known[0]:.6g}"
    squashed = np.arcsinh(np.clip((known - median) / spread, -_OUTLIER, _OUTLIER))
    mean, scale = float(squashed.mean()), float(squashed.std())
    if not scale > 0:
        return f"it is nearly always {median:.6g}"
    counts = np.unique(known, return_counts=True)[1]
    lumpy = len(counts) < _FEW or counts.max() >= _LUMP * len(known)
    return Part(name, at, "number", bool(lumpy), (), median, spread, mean, scale)


def _levels(name: str, at: int, known: Floats, categories: Sequence[str]) -> Part | str:
    codes = (known > 0.5 if categories == ("false", "true") else known).astype(np.intp)
    counts = np.bincount(codes, minlength=len(categories)) / len(known)
    order = np.argsort(-counts, kind="stable")
    frequent = [int(i) for i in order if counts[i] >= _RARE][:_LEVELS]
    rest = 1.0 - float(counts[frequent].sum())
    if rest > _MOST_REST:
        return f"it has {np.count_nonzero(counts):,} values, most of them rare"
    if len(frequent) == 1 and rest < _RARE:
        return f"it is always {categories[frequent[0]]!r}" if rest <= 0 else "it is nearly always the same"
    shares = [float(counts[i]) for i in frequent] + ([rest] if rest > 1e-12 else [])
    levels = tuple(categories[i] for i in frequent) + ((REST,) if rest > 1e-12 else ())
    return Part(name, at, "level", True, levels, scale=_level_scale(shares))


def _level_scale(shares: Sequence[float]) -> float:
    """What makes indicators of levels with these shares have variance 1 together."""
    return float(1.0 / np.sqrt(max(1.0 - sum(p * p for p in shares), _FEWEST_GINI)))


def _level_of(part: Part, categories: Sequence[str]) -> Codes:
    names = categories or ("false", "true")
    place = {level: i for i, level in enumerate(part.levels)}
    return np.array([place.get(name, place.get(REST, -1)) for name in names] + [-1], dtype=np.intp)


def _telling_gaps(space: Space, matrix: Floats) -> Iterator[Part]:
    """A part for each group of columns missing together whose gap goes with another column's values."""
    gaps = {part.at: np.isnan(matrix[:, part.at]) for part in space.parts}
    gaps = {at: gap for at, gap in gaps.items() if _KNOWN <= gap.mean() <= 1 - _KNOWN}
    points = space.coordinates(matrix) if gaps else np.empty((len(matrix), 0))
    left = list(gaps)
    while left:
        first = left[0]
        group = [at for at in left if _same(gaps[first], gaps[at])]
        left = [at for at in left if at not in group]
        others = [i for i, part in enumerate(space.parts) if part.at not in group]
        if any(_told(points[:, space.slices[i]], gaps[first]) for i in others):
            names = space.inputs.names
            share = float(gaps[first].mean())
            yield Part(
                names[first],
                first,
                "gap",
                True,
                ("known", "missing"),
                scale=_level_scale([share, 1 - share]),
                together=tuple(names[at] for at in group[1:]),
            )


def _same(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> bool:
    both, either = float((one & other).mean()), float(one.mean() * other.mean())
    spread = np.sqrt(one.mean() * (1 - one.mean()) * other.mean() * (1 - other.mean()))
    return bool((both - either) / spread >= _TOGETHER)


def _told(points: Floats, gap: npt.NDArray[np.bool_]) -> bool:
    """Whether coordinates of a part differ by half a standard deviation between rows with and without a gap."""
    known = ~np.isnan(points[:, 0])
    there, not_there = points[known & gap], points[known & ~gap]
    if min(len(there), len(not_there)) < _FEWEST_ROWS:
        return False
    spread = np.sqrt((there.var(axis=0) + not_there.var(axis=0)) / 2)
    return bool((np.abs(there.mean(axis=0) - not_there.mean(axis=0)) > _TOLD * np.maximum(spread, 1e-9)).any())
