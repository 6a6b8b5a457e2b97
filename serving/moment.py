"""Columns of the moment for one row, in plain Python: what `feature_repo.on_demand` computes, without Arrow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

_DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Clock:
    """What is derived from the moment of a request and the stored features of one entity.

    Attributes:
        times: stored feature with seconds since 1970, and the name of its days-since column.
        timezone: stored feature with an IANA time zone; None where there is none.
    """

    times: tuple[tuple[str, str], ...]
    timezone: str | None

    def add_to(self, row: dict[str, Any], moment: datetime) -> None:
        """Put the columns of `moment` (naive UTC) into a row of stored features; None where an input is missing."""
        seconds = int(moment.replace(tzinfo=UTC, microsecond=0).timestamp())
        for stored, name in self.times:
            since = row.get(stored)
            row[name] = None if since is None else (seconds - since) / _DAY
        if self.timezone is not None:
            local = _local(moment, row.get(self.timezone))
            row["local_hour"] = None if local is None else float(local.hour)
            row["local_weekday"] = None if local is None else float(local.weekday())

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {"times": [list(pair) for pair in self.times], "timezone": self.timezone}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Clock":
        """What `to_dict` gave."""
        return cls(tuple((str(stored), str(name)) for stored, name in told["times"]), told["timezone"])


def _local(moment: datetime, zone: Any) -> datetime | None:
    known = _zone(zone) if isinstance(zone, str) and zone else None
    return None if known is None else moment.replace(tzinfo=UTC).astimezone(known)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    """The zone of this name; None where there is none."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None
