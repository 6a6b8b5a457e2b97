"""The days a DAG run works on, whoever started it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.core.errors import ConfigError
from pipelines.core.interval import Interval, midnight, parse_day


def interval_of(context: Mapping[str, Any]) -> Interval:
    """The days a run works on: its parameters, else the assets that started it, else its data interval.

    Args:
        context: of the running task.

    Raises:
        ConfigError: the run says nothing of its days, or only half.
    """
    days = [context.get("params", {}).get(key) for key in ("from", "to")]
    if all(days):
        return Interval.of_days(parse_day(days[0]), parse_day(days[1]))
    if any(days):
        raise ConfigError("this run has only one of the parameters 'from' and 'to': give both, or neither")
    events = context.get("triggering_asset_events") or {}
    handed = _union(event.extra for updates in events.values() for event in updates)
    if handed is not None:
        return handed
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is not None and end is not None and start < end:
        return Interval(_naive(start), _naive(end))
    raise ConfigError(
        "this run does not know its days: start it with the parameters 'from' and 'to',"
        ' such as {"from": "2026-03-01", "to": "2026-03-02"}'
    )


def _union(extras: Iterable[Mapping[str, Any] | None]) -> Interval | None:
    """From the first to the last day of several updates: runs that waited are caught up in one."""
    found = [(extra["from"], extra["to"]) for extra in extras if extra and {"from", "to"} <= extra.keys()]
    if not found:
        return None
    starts, ends = zip(*found, strict=True)
    return Interval.of_days(min(map(parse_day, starts)), max(map(parse_day, ends)))


def _naive(moment: datetime) -> datetime:
    """The naive UTC midnight of an aware instant."""
    return midnight(moment.astimezone(UTC).date())
