"""The days a DAG run works on, whoever started it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.core.errors import ConfigError
from pipelines.core.interval import Interval, midnight, parse_day

HANDED = "intervals"
"""Key of an asset event's extra: the stretches of days that its task worked on, each a `from` and a `to`."""


def intervals_of(context: Mapping[str, Any], history: Callable[[], Iterable[Any]] | None = None) -> list[Interval]:
    """The stretches of days a run works on, the oldest first.

    They are its parameters, else what the assets that started it hand on, else its data interval.

    Several updates may wait when a run starts. Each keeps its own stretch, so that the outcome is the same however they
    fell together.

    Args:
        context: of the running task.
        history: gives the events of the asset that starts this DAG, the newest first.

    Raises:
        ConfigError: the run says nothing of its days, or only half.
    """
    days = [context.get("params", {}).get(key) for key in ("from", "to")]
    if all(days):
        return [Interval.of_days(parse_day(days[0]), parse_day(days[1]))]
    if any(days):
        raise ConfigError("this run has only one of the parameters 'from' and 'to': give both, or neither")
    updates = [event for some in (context.get("triggering_asset_events") or {}).values() for event in some]
    if updates and history is not None:
        first = min(event.timestamp for event in updates)
        updates += _missed(history(), context["dag"].dag_id, first)
    if handed := _handed(event.extra for event in updates):
        return handed
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is not None and end is not None and start < end:
        return [Interval(_naive(start), _naive(end))]
    raise ConfigError(
        "this run does not know its days: start it with the parameters 'from' and 'to',"
        ' such as {"from": "2026-03-01", "to": "2026-03-02"}'
    )


def hand_on(intervals: Iterable[Interval]) -> dict[str, Any]:
    """What a task writes on the asset it updates, for the next DAG."""
    return {HANDED: [interval.to_dict() for interval in intervals]}


def _missed(events: Iterable[Any], dag_id: str, first: datetime) -> list[Any]:
    """Updates right before the instant `first` that started no run of this DAG.

    It was paused then, and Airflow keeps none for a paused DAG.
    """
    found = []
    for event in events:
        if event.timestamp >= first:
            continue
        if any(run.dag_id == dag_id for run in event.created_dagruns):
            break
        found.append(event)
    return found


def _handed(extras: Iterable[Mapping[str, Any] | None]) -> list[Interval]:
    """The different stretches of several updates, by their end; a person may write one as `from` and `to`."""
    found = {
        Interval.of_days(parse_day(days["from"]), parse_day(days["to"]))
        for extra in extras
        for days in (extra or {}).get(HANDED, [extra or {}])
        if {"from", "to"} <= days.keys()
    }
    return sorted(found, key=lambda interval: (interval.end, interval.start))


def _naive(moment: datetime) -> datetime:
    """The naive UTC midnight of an aware instant."""
    return midnight(moment.astimezone(UTC).date())
