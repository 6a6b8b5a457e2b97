"""Which days a run works on."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dags.days import hand_on, intervals_of
from pipelines.core.errors import ConfigError
from pipelines.core.interval import Interval, parse_day


def days(start: str, end: str) -> Interval:
    return Interval.of_days(parse_day(start), parse_day(end))


def update(extra: dict[str, Any]) -> Any:
    return SimpleNamespace(extra=extra)


def test_parameters_win_over_everything() -> None:
    context = {
        "params": {"from": "2026-03-01", "to": "2026-03-08"},
        "triggering_asset_events": {"clean": [update({"from": "2026-01-01", "to": "2026-01-02"})]},
        "data_interval_start": datetime(2026, 2, 1, tzinfo=UTC),
        "data_interval_end": datetime(2026, 2, 2, tzinfo=UTC),
    }
    assert intervals_of(context) == [days("2026-03-01", "2026-03-08")]


def test_a_scheduled_run_works_on_its_data_interval() -> None:
    context = {
        "params": {"from": None, "to": None},
        "triggering_asset_events": None,
        "data_interval_start": datetime(2026, 2, 1, tzinfo=UTC),
        "data_interval_end": datetime(2026, 2, 2, tzinfo=UTC),
    }
    assert intervals_of(context) == [days("2026-02-01", "2026-02-02")]


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 30)), min_size=1, max_size=8))
def test_updates_that_waited_keep_their_own_stretches(stretches: list[tuple[int, int]]) -> None:
    origin = parse_day("2026-01-01")
    intervals = [
        Interval.of_days(origin + timedelta(start), origin + timedelta(start + length)) for start, length in stretches
    ]
    one_by_one = [update(hand_on([interval])) for interval in intervals]
    found = intervals_of({"triggering_asset_events": {"clean": one_by_one}})
    assert set(found) == set(intervals)
    assert found == sorted(found, key=lambda interval: (interval.end, interval.start))
    assert intervals_of({"triggering_asset_events": {"clean": [update(hand_on(intervals))]}}) == found


def test_updates_that_a_paused_dag_missed_are_caught_up() -> None:
    def event(hour: int, day: int, *started: str) -> Any:
        runs = [SimpleNamespace(dag_id=dag) for dag in started]
        extra = hand_on([days(f"2026-03-{day:02}", f"2026-03-{day + 1:02}")])
        return SimpleNamespace(timestamp=datetime(2026, 4, 1, hour, tzinfo=UTC), extra=extra, created_dagruns=runs)

    newest_first = [event(5, 5, "mine"), event(4, 4, "other"), event(3, 3), event(2, 2, "mine"), event(1, 1)]
    context = {"dag": SimpleNamespace(dag_id="mine"), "triggering_asset_events": {"clean": [newest_first[0]]}}
    found = intervals_of(context, lambda: newest_first)
    assert [interval.start.day for interval in found] == [3, 4, 5]


def test_an_update_made_by_hand_says_its_days_itself() -> None:
    context = {"triggering_asset_events": {"clean": [update({"from": "2026-03-01", "to": "2026-03-08"})]}}
    assert intervals_of(context) == [days("2026-03-01", "2026-03-08")]


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({"params": {"from": "2026-03-01", "to": None}}, "give both"),
        ({"params": {"from": "2026-03-01", "to": "2026-03-01"}}, "empty"),
        ({"params": {"from": "March", "to": "2026-03-01"}}, "not a day"),
        ({"params": {}, "triggering_asset_events": {"clean": [update({})]}}, "does not know its days"),
        (
            {
                "data_interval_start": datetime(2026, 2, 1, tzinfo=UTC),
                "data_interval_end": datetime(2026, 2, 1, tzinfo=UTC),
            },
            "does not know its days",
        ),
    ],
)
def test_a_run_without_clear_days_is_refused(context: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        intervals_of(context)
