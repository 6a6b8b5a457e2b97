"""Which days a run works on."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dags.days import interval_of
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
    assert interval_of(context) == days("2026-03-01", "2026-03-08")


def test_a_scheduled_run_works_on_its_data_interval() -> None:
    context = {
        "params": {"from": None, "to": None},
        "triggering_asset_events": None,
        "data_interval_start": datetime(2026, 2, 1, tzinfo=UTC),
        "data_interval_end": datetime(2026, 2, 2, tzinfo=UTC),
    }
    assert interval_of(context) == days("2026-02-01", "2026-02-02")


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 30)), min_size=1, max_size=8))
def test_updates_that_waited_are_worked_on_together(stretches: list[tuple[int, int]]) -> None:
    origin = parse_day("2026-01-01")
    intervals = [
        Interval.of_days(origin + timedelta(start), origin + timedelta(start + length)) for start, length in stretches
    ]
    context = {"triggering_asset_events": {"clean": [update(interval.to_dict()) for interval in intervals]}}
    found = interval_of(context)
    assert found.start == min(interval.start for interval in intervals)
    assert found.end == max(interval.end for interval in intervals)


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
        interval_of(context)
