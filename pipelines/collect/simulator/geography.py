"""Where Mexico's area codes (LADA) are, and what time it is there."""

import csv
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from pipelines.collect.simulator.kit import DAY_SECONDS, Floats, Ints

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Geography:
    """Area codes with their state and time zone; arrays run over area codes unless said otherwise.

    Attributes:
        ladas: area codes, of two or three digits.
        timezones: IANA name of the zone of each.
        weights: how many leads come from each, about a city's inhabitants in thousands.
        state: index of each one's state in `states`.
        states: three-letter codes.
        economy: usual economic index, per state (made up).
    """

    ladas: tuple[str, ...]
    timezones: tuple[str, ...]
    weights: Floats
    state: Ints
    states: tuple[str, ...]
    economy: Floats

    def noon_offsets(self, start: date, days: int) -> NDArray[np.int64]:
        """Seconds that local time is ahead of UTC at noon of each day: one row an area code, one column a day."""
        zones = {name: _offsets(ZoneInfo(name), start, days) for name in set(self.timezones)}
        return np.stack([zones[name] for name in self.timezones])


def _offsets(zone: ZoneInfo, start: date, days: int) -> NDArray[np.int64]:
    noons = (datetime.combine(start + timedelta(days=d), time(12), zone) for d in range(days))
    offsets = (noon.utcoffset() or timedelta() for noon in noons)
    return np.array([offset.total_seconds() for offset in offsets], dtype=np.int64)


@cache
def geography() -> Geography:
    """Read `ladas.csv` and `states.csv`."""
    states = _rows("states.csv")
    codes = tuple(row["state"] for row in states)
    ladas = _rows("ladas.csv")
    return Geography(
        ladas=tuple(row["lada"] for row in ladas),
        timezones=tuple(row["timezone"] for row in ladas),
        weights=np.array([float(row["weight"]) for row in ladas]),
        state=np.array([codes.index(row["state"]) for row in ladas], dtype=np.int64),
        states=codes,
        economy=np.array([float(row["economic_index"]) for row in states]),
    )


def _rows(name: str) -> list[dict[str, str]]:
    with (_HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def epoch(day: date) -> int:
    """Seconds from 1970 to the UTC midnight that begins `day`."""
    return int(datetime.combine(day, time(), UTC).timestamp()) // DAY_SECONDS * DAY_SECONDS
