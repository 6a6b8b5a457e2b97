"""Intervals are UTC days, end excluded."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.errors import ConfigError
from pipelines.core.interval import DAY, Interval, parse_day, parse_instant

DAYS = st.dates(date(1990, 1, 1), date(2090, 1, 1))


@given(DAYS, st.integers(1, 400))
def test_days_meet_and_end_is_excluded(start: date, length: int) -> None:
    interval = Interval.of_days(start, start + length * DAY)

    days = list(interval.days())

    assert days[0] == start
    assert len(days) == length
    assert days[-1].isoformat() == interval.label
    assert Interval.day(days[-1]).as_of == interval.as_of


@pytest.mark.parametrize("length", [0, -1])
def test_an_empty_interval_is_refused(length: int) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        Interval.of_days(date(2026, 1, 5), date(2026, 1, 5) + length * DAY)


def test_zoned_or_broken_instants_are_refused() -> None:
    with pytest.raises(ConfigError, match="naive UTC midnights"):
        Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-02:00"])
def test_an_instant_beyond_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="outside the years"):
        parse_instant(text)


@pytest.mark.parametrize("text", ["2026-02-30", "yesterday", "", "2026/01/01"])
def test_what_is_not_a_day_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="YYYY-MM-DD"):
        parse_day(text)
