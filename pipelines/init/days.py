"""How the rows of a table lie in time."""

from dataclasses import dataclass
from datetime import date
from itertools import accumulate

import duckdb

from pipelines.init.profile import Facts, value
from pipelines.init.source import File, sentences

_OUTLIERS = 0.001  # share of the rows, at either end, that may be typing errors
_FAR = 3.0  # times the span of the others


@dataclass(frozen=True)
class Days:
    """Rows by day.

    Attributes:
        table: whose.
        days: in order.
        rows: of each day.
        left_out: rows so far from the others that they must be typing errors.
    """

    table: str
    days: tuple[date, ...]
    rows: tuple[int, ...]
    left_out: int = 0

    @property
    def first(self) -> date:
        """The first day."""
        return self.days[0]

    @property
    def last(self) -> date:
        """The last day."""
        return self.days[-1]

    def at(self, share: float) -> date:
        """The first day by whose end `share` of the rows had happened."""
        wanted = share * sum(self.rows)
        return next(day for day, done in zip(self.days, accumulate(self.rows), strict=True) if done >= wanted)

    def until(self, day: date) -> int:
        """Rows before `day`."""
        return sum(rows for one, rows in zip(self.days, self.rows, strict=True) if one < day)


def days_of(file: File, time: Facts, connection: duckdb.DuckDBPyConnection) -> Days | None:
    """Count the rows of each day; None where no cell can be read."""
    with sentences(file.path, file.format):
        rows = connection.execute(
            f'SELECT ({value(time, file.typed)})::timestamp::date AS _day, count(*) FROM "{file.name}"'
            " GROUP BY _day HAVING _day IS NOT NULL ORDER BY _day"
        ).fetchall()
    if not rows:
        return None
    return trimmed(Days(file.name, tuple(row[0] for row in rows), tuple(int(row[1]) for row in rows)))


def trimmed(days: Days) -> Days:
    """Without the few rows at the ends that would stretch the run over years in which nothing happened."""
    low, high = days.at(_OUTLIERS), days.at(1 - _OUTLIERS)
    span = max((high - low).days, 30)
    kept = [
        (day, rows)
        for day, rows in zip(days.days, days.rows, strict=True)
        if (low - day).days <= _FAR * span and (day - high).days <= _FAR * span
    ]
    if len(kept) == len(days.days):
        return days
    inside = sum(rows for _, rows in kept)
    return Days(days.table, tuple(d for d, _ in kept), tuple(r for _, r in kept), sum(days.rows) - inside)
