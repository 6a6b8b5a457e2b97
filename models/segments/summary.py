"""What a page says of each segment: how large, what on average, what mostly, and its share of the budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.inputs import Columns, Floats, InputError, is_missing
from models.segments.clustering import Segments
from pipelines.core.errors import nearest


@dataclass(frozen=True)
class Summary:
    """One segment among some leads.

    Attributes:
        id: the segment's.
        name: the segment's.
        size: how many leads.
        share: of all leads, 0 to 1.
        means: mean of each numeric column over what is known; None where nothing is.
        mostly: the most frequent value of each text column and its share of what is known; None where nothing is.
        budget: recommended share of the budget, 0 to 1; over all segments they sum to 1, where there is a lead.
    """

    id: int
    name: str
    size: int
    share: float
    means: dict[str, float | None]
    mostly: dict[str, tuple[str, float] | None]
    budget: float


class Tally:
    """Counts by segment, batch after batch."""

    def __init__(self, segments: Segments, numbers: Sequence[str] = (), texts: Sequence[str] = ()) -> None:
        """Count for these segments the sums of some numeric columns and the values of some text columns."""
        self.segments = segments
        self.numbers, self.texts = tuple(numbers), tuple(texts)
        self._ids = np.array(sorted(segments.names), dtype=np.int64)
        count = len(self._ids)
        self._sizes = np.zeros(count, dtype=np.int64)
        self._sums, self._known = np.zeros((count, len(self.numbers))), np.zeros((count, len(self.numbers)))
        self._values: list[list[Counter[str]]] = [[Counter() for _ in self.texts] for _ in range(count)]

    def add(self, ids: npt.ArrayLike, X: Columns) -> None:
        """Count a batch.

        Args:
            ids: segment of each row, as `Segments.assign` gives it.
            X: its columns; others than those asked for are not looked at.

        Raises:
            InputError: an id of no segment, a column that is missing, of another length or not of numbers.
        """
        given = np.asarray(ids, dtype=np.int64)
        place = np.minimum(np.searchsorted(self._ids, given), len(self._ids) - 1)
        if (wrong := self._ids[place] != given).any():
            raise InputError(f"there is no segment {given[wrong][0]}: there are {', '.join(map(str, self._ids))}")
        columns = {name: self._column(X, name, len(given)) for name in (*self.numbers, *self.texts)}
        count = len(self._ids)
        self._sizes += np.bincount(place, minlength=count)
        for i, name in enumerate(self.numbers):
            values = _floats(name, columns[name])
            known = np.isfinite(values)
            self._sums[:, i] += np.bincount(place[known], values[known], minlength=count)
            self._known[:, i] += np.bincount(place[known], minlength=count)
        for i, name in enumerate(self.texts):
            values = np.asarray(columns[name], dtype=object)
            for segment in range(count):
                inside = values[place == segment]
                self._values[segment][i].update(str(value) for value in inside if not is_missing(value))

    @staticmethod
    def _column(X: Columns, name: str, rows: int) -> npt.ArrayLike:
        if name not in X.keys():  # noqa: SIM118
            raise InputError(f"column {name!r} of the summary is missing: {nearest(name, map(str, X.keys()))}")
        if len(X[name]) != rows:
            raise InputError(f"{rows} ids of segments do not fit {len(X[name])} values of {name!r}")
        column: npt.ArrayLike = X[name]
        return column

    def read(self, rate: str | None = None, floor: float = 0.0) -> list[Summary]:
        """What was counted, the largest segment first.

        Args:
            rate: the numeric column that holds expected conversions per message, for the budget; None: by size alone.
            floor: conversions per message at which a message does not pay, such as its cost over a conversion's value.

        Raises:
            InputError: a rate that is not among the columns, or a floor that is no number of 0 or more.
        """
        if rate is not None and rate not in self.numbers:
            raise InputError(f"rate {rate!r} is not counted: {nearest(rate, self.numbers)}")
        if not (np.isfinite(floor) and floor >= 0):
            raise InputError(f"floor of the budget must be 0 or more conversions per message, not {floor}")
        with np.errstate(invalid="ignore"):
            means = self._sums / self._known
        rates = None if rate is None else np.nan_to_num(means[:, self.numbers.index(rate)])
        budgets = budget(self._sizes, rates, floor)
        names, total = self.segments.names, max(int(self._sizes.sum()), 1)
        found = [
            Summary(
                int(one),
                names[int(one)],
                int(self._sizes[i]),
                float(self._sizes[i] / total),
                {name: _known(means[i, j]) for j, name in enumerate(self.numbers)},
                {name: _mostly(self._values[i][j]) for j, name in enumerate(self.texts)},
                float(budgets[i]),
            )
            for i, one in enumerate(self._ids)
        ]
        return sorted(found, key=lambda one: (-one.size, one.id))


def budget(sizes: npt.ArrayLike, rates: npt.ArrayLike | None = None, floor: float = 0.0) -> Floats:
    """Share of the budget of each segment: its share of all conversions expected beyond what messages have to bring.

    That is size × max(rate - floor, 0), scaled to sum to 1. Where no segment is above the floor, size × rate; where
    none is expected to convert, or no rate is given, size. All 0 where there is no lead.

    Args:
        sizes: leads of each segment.
        rates: expected conversions per message of each.
        floor: conversions per message at which a message does not pay.
    """
    leads = np.asarray(sizes, dtype=np.float64)
    expected = np.ones(len(leads)) if rates is None else np.clip(np.asarray(rates, dtype=np.float64), 0.0, None)
    for weights in (leads * np.clip(expected - floor, 0.0, None), leads * expected, leads):
        if weights.sum() > 0:
            return np.asarray(weights / weights.sum(), dtype=np.float64)
    return np.zeros(len(leads))


def _floats(name: str, values: npt.ArrayLike) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"column {name!r} of the summary must hold numbers") from None


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mostly(counts: Counter[str]) -> tuple[str, float] | None:
    """The most frequent value, of equally frequent ones the first by alphabet."""
    if not counts:
        return None
    value = min(counts, key=lambda one: (-counts[one], one))
    return value, counts[value] / counts.total()
