"""Days since and the local clock, against Python's own calendar."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.on_demand import Moment, days_since, online_columns, source_of, transform

MOMENT = Moment("lead_id", (("last_message_at", "days_since_message"),), "timezone")
ZONES = ["America/Mexico_City", "America/Tijuana", "America/Cancun", "Asia/Kathmandu", "UTC"]
# Arrow follows the tables of the time zone database, which end in 2037, and not the rules for the years after.
times = st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1))


@settings(deadline=None)
@given(event=times, before=st.none() | times, zone=st.none() | st.sampled_from(ZONES))
def test_columns_agree_with_the_calendar(event: datetime, before: datetime | None, zone: str | None) -> None:
    found = online_columns(MOMENT, {"event_time": [event], "last_message_at": [before], "timezone": [zone]})
    if before is None:
        assert found["days_since_message"] == [None]
    else:
        passed = event.replace(microsecond=0) - before.replace(microsecond=0)
        assert found["days_since_message"] == [passed / timedelta(days=1)]
    if zone is None:
        assert found["local_hour"] == found["local_weekday"] == [None]
    else:
        local = event.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
        assert (found["local_hour"], found["local_weekday"]) == ([local.hour], [local.weekday()])


@settings(deadline=None)
@given(st.lists(st.tuples(times, st.none() | times, st.none() | st.sampled_from([*ZONES, "Mars/Base"])), max_size=8))
def test_batch_and_request_give_the_same(rows: list[tuple[datetime, datetime | None, str | None]]) -> None:
    events, before, zones = (list(part) for part in zip(*rows, strict=True)) if rows else ([], [], [])
    time = pa.timestamp("us")
    table = pa.table(
        {"event_time": pa.array(events, time), "last_message_at": pa.array(before, time),
         "timezone": pa.array(zones, pa.string())}
    )  # fmt: skip
    batch = MOMENT.add_to(table).select(MOMENT.outputs).to_pydict()
    assert batch == online_columns(MOMENT, {"event_time": events, "last_message_at": before, "timezone": zones})


def test_every_form_of_a_time_is_the_same_moment() -> None:
    moment = datetime(2026, 3, 1, 18, 30)
    aware = moment.replace(tzinfo=UTC)
    forms = [moment, aware, aware.astimezone(ZoneInfo("America/Tijuana")), aware.isoformat(), int(aware.timestamp())]
    count = len(forms)
    rows = {"event_time": forms, "last_message_at": [moment] * count, "timezone": ["America/Cancun"] * count}
    found = online_columns(MOMENT, rows)
    assert found["days_since_message"] == [0.0] * count
    assert found["local_hour"] == [13.0] * count


def test_unknown_zone_is_missing_not_wrong() -> None:
    found = online_columns(
        MOMENT, {"event_time": [datetime(2026, 1, 1)], "last_message_at": [None], "timezone": ["Mars/Base"]}
    )
    assert found["local_hour"] == [None]


def test_source_makes_the_function_by_itself() -> None:
    namespace: dict[str, object] = {}
    exec(source_of(MOMENT, "moment"), namespace)
    rows = {"event_time": [datetime(2026, 1, 2)], "last_message_at": [datetime(2026, 1, 1)], "timezone": ["UTC"]}
    assert namespace["moment"](rows) == transform(MOMENT, "moment")(rows)  # type: ignore[operator]


def test_names() -> None:
    assert [days_since(name) for name in ("last_message_at", "acquired_at", "last_reply_at", "born")] == [
        "days_since_message", "days_since_acquired", "days_since_reply", "days_since_born",
    ]  # fmt: skip
