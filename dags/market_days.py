"""The clock of a simulated market: its days follow one another, each as long as the settings say.

The data interval of a run is a day of the market, so that scheduled runs, backfills and runs by hand speak of the same
days; only *when* the next day begins is the wall clock's business.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable

LIVE_SINCE = "LEADWISE_LIVE_SINCE"
"""Variable with the instant (ISO 8601) at which `leadwise up` began: nights without it are not caught up."""

_DAY = timedelta(days=1)


class MarketDays(Timetable):  # type: ignore[misc] # mypy does not follow Airflow's imports
    """One run a day of the market, `seconds` after the one before.

    Args:
        first: first day that is scheduled.
        horizon: the day after the last one.
        seconds: wall-clock seconds between two days.
    """

    description = "a day of the simulated market"

    def __init__(self, first: date, horizon: date, seconds: int) -> None:
        self.first, self.horizon, self.seconds = first, horizon, seconds

    @property
    def summary(self) -> str:
        """What the UI shows as schedule."""
        return f"a market day every {self.seconds} s"

    def serialize(self) -> dict[str, Any]:
        """What the scheduler keeps of it."""
        return {"first": self.first.isoformat(), "horizon": self.horizon.isoformat(), "seconds": self.seconds}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Timetable:
        """The timetable that `serialize` described."""
        return cls(date.fromisoformat(data["first"]), date.fromisoformat(data["horizon"]), data["seconds"])

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        """The day that ends at or before the date of a run by hand."""
        end = _midnight(run_after.astimezone(UTC).date())
        return DataInterval(end - _DAY, end)

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The day after the last one, `seconds` later; a backfill (which catches up) walks the days it asks for."""
        last = last_dagrun_info.data_interval if last_dagrun_info else None
        after = last.end.date() if last else None
        if restriction.catchup:
            day = after or (restriction.earliest.date() if restriction.earliest else self.first)
            if restriction.latest is not None and _midnight(day) > restriction.latest:
                return None
            return DagRunInfo.interval(_midnight(day), _midnight(day + _DAY))
        day = max(after or self.first, self.first)
        if day >= self.horizon:
            return None
        begin = _live_since()
        if last_dagrun_info is not None and after == day:
            begin = max(begin, last_dagrun_info.run_after) + timedelta(seconds=self.seconds)
        return DagRunInfo(
            run_after=pendulum.instance(begin),
            data_interval=DataInterval(_midnight(day), _midnight(day + _DAY)),
            partition_date=None,
            partition_key=None,
        )


def _midnight(day: date) -> pendulum.DateTime:
    return pendulum.datetime(day.year, day.month, day.day, tz="UTC")


def _live_since() -> datetime:
    told = os.environ.get(LIVE_SINCE)
    return datetime.fromisoformat(told) if told else datetime(2000, 1, 1, tzinfo=UTC)
