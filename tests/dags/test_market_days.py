"""The clock of a simulated market, as the scheduler and a backfill ask it."""

from datetime import UTC, date, datetime, timedelta

import pendulum
import pytest
from airflow.timetables.base import DagRunInfo, TimeRestriction

from dags.market_days import LIVE_SINCE, MarketDays

FIRST, HORIZON = date(2026, 4, 1), date(2026, 4, 4)
CLOCK = MarketDays(FIRST, HORIZON, 60)
SCHEDULED = TimeRestriction(earliest=pendulum.datetime(2026, 1, 1), latest=None, catchup=False)
SINCE = datetime(2026, 11, 1, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def since(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIVE_SINCE, SINCE.isoformat())


def day(info: DagRunInfo | None) -> date:
    assert info is not None
    assert info.data_interval is not None
    assert info.data_interval.end - info.data_interval.start == timedelta(days=1)
    return info.data_interval.start.date()


def test_days_follow_one_another_a_minute_apart_and_end_with_the_market() -> None:
    found: list[DagRunInfo] = []
    while (
        info := CLOCK.next_dagrun_info_v2(last_dagrun_info=found[-1] if found else None, restriction=SCHEDULED)
    ) is not None:
        found.append(info)
    assert [day(info) for info in found] == [FIRST, FIRST + timedelta(days=1), FIRST + timedelta(days=2)]
    assert [(info.run_after - SINCE).total_seconds() for info in found] == [0, 60, 120]


def test_days_missed_while_nobody_was_up_are_not_made_up_for() -> None:
    old = pendulum.instance(SINCE - timedelta(days=1))
    last = DagRunInfo(
        run_after=old,
        data_interval=DagRunInfo.interval(pendulum.datetime(2026, 4, 1), pendulum.datetime(2026, 4, 2)).data_interval,
    )
    info = CLOCK.next_dagrun_info_v2(last_dagrun_info=last, restriction=SCHEDULED)
    assert info is not None
    assert day(info) == date(2026, 4, 2)
    assert info.run_after == SINCE + timedelta(seconds=60)


def test_a_backfill_of_old_days_does_not_move_the_clock() -> None:
    backfilled = DagRunInfo.interval(pendulum.datetime(2026, 2, 1), pendulum.datetime(2026, 2, 2))
    assert day(CLOCK.next_dagrun_info_v2(last_dagrun_info=backfilled, restriction=SCHEDULED)) == FIRST


def test_a_backfill_walks_the_days_it_asks_for() -> None:
    asked = TimeRestriction(earliest=pendulum.datetime(2026, 2, 1), latest=pendulum.datetime(2026, 2, 3), catchup=True)
    found: list[DagRunInfo] = []
    while (
        info := CLOCK.next_dagrun_info_v2(last_dagrun_info=found[-1] if found else None, restriction=asked)
    ) is not None:
        found.append(info)
    assert [day(info) for info in found] == [date(2026, 2, 1), date(2026, 2, 2), date(2026, 2, 3)]


def test_a_run_by_hand_works_on_the_day_before_its_date() -> None:
    interval = CLOCK.infer_manual_data_interval(run_after=pendulum.datetime(2026, 3, 5, 7, 30))
    assert (interval.start.date(), interval.end.date()) == (date(2026, 3, 4), date(2026, 3, 5))


def test_it_survives_being_written_down() -> None:
    again = MarketDays.deserialize(CLOCK.serialize())
    assert again.serialize() == CLOCK.serialize()
    assert "60 s" in again.summary
