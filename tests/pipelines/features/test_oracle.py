"""SQL windows and the point-in-time join against second, independent ways to compute them."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.features.compute import stored_schema, table_of
from pipelines.features.join import point_in_time

from .conftest import TIME, World, at, days

HORIZON = 12
moments = st.integers(0, HORIZON * 24 * 4 - 1).map(lambda quarter: at(0, quarter / 4))
late = st.sampled_from([0, 0, 0, 1, 30, 60]).map(lambda hours: timedelta(hours=hours))
leads = st.sampled_from(["a", "b", "c"])
messages = st.lists(st.tuples(leads, moments, late, st.booleans()), max_size=12)
common = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@common
@given(messages)
def test_message_windows_agree_with_polars(world: World, events: list[tuple[str, datetime, timedelta, bool]]) -> None:
    world.plant("leads", *({"lead_id": lead} for lead in "abc"))
    world.plant(
        "messages",
        *(
            {"message_id": f"m{n}", "lead_id": lead, "sent_at": sent, "_arrived_at": sent + delay,
             "status": "delivered" if delivered else "failed"}
            for n, (lead, sent, delay, delivered) in enumerate(events)
        ),
    )  # fmt: skip
    world.compute(days(0, HORIZON))
    known = pl.DataFrame(
        {"lead_id": [e[0] for e in events], "sent": [e[1] for e in events], "arrived": [e[1] + e[2] for e in events],
         "delivered": [e[3] for e in events]},
        schema={"lead_id": pl.String, "sent": pl.Datetime("us"), "arrived": pl.Datetime("us"), "delivered": pl.Boolean},
    )  # fmt: skip
    spine = [(lead, at(day)) for day in range(HORIZON + 1) for lead in "abc"]
    table = pa.table(
        {"lead_id": [lead for lead, _ in spine], "event_time": pa.array([when for _, when in spine], TIME)}
    )
    found = point_in_time(world.tenant, world.lake, world.definitions, table).read_all().to_pylist()
    for (lead, when), row in zip(spine, found, strict=True):
        mine = known.filter((pl.col("lead_id") == lead) & (pl.col("arrived") <= when) & (pl.col("sent") <= when))
        week = mine.filter(pl.col("sent") > when - timedelta(days=7))
        assert (row["messages_7d"], row["messages_90d"]) == (week.height, mine.height)
        assert row["delivery_rate"] == pytest.approx((mine["delivered"].sum() + 9) / (mine.height + 10))


feature_rows = st.dictionaries(st.tuples(leads, st.integers(0, 20)), st.integers(-5, 5), max_size=25)
events = st.lists(st.tuples(leads | st.just("nobody"), st.integers(-1, 21), st.integers(0, 23)), max_size=25)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(feature_rows, events, st.integers(1, 30))
def test_join_takes_the_last_row_before_the_event(
    world: World, rows: dict[tuple[str, int], int], spine: list[tuple[str, int, int]], size: int
) -> None:
    for view in world.definitions.views.values():
        schema = stored_schema(view)
        stored = [_stored(schema, lead, at(day), value) for (lead, day), value in rows.items()]
        world.lake.write(
            table_of(view), schema, [pa.Table.from_pylist(stored, schema)], replace=("lead_id", list("abc"))
        )
    table = pa.table(
        {"n": pa.array(range(len(spine)), pa.int64()), "lead_id": pa.array([lead for lead, *_ in spine], pa.string()),
         "event_time": pa.array([at(day, hour) for _, day, hour in spine], TIME)}
    )  # fmt: skip
    reader = table.to_reader(max_chunksize=7)
    found = point_in_time(world.tenant, world.lake, world.definitions, reader, rows=size).read_all()
    assert found.select(table.schema.names) == table
    expected = [
        max(((d, v) for (one, d), v in rows.items() if one == lead and d <= day), default=(None, None))[1]
        for lead, day, _ in spine
    ]
    assert found["messages_7d"].to_pylist() == expected
    in_memory = point_in_time(world.tenant, world.lake, world.definitions, table).read_all()
    assert in_memory == found
    many = pa.concat_tables([table] * (1 + 100 // max(1, len(spine))))  # too many to be looked up one by one
    joined = point_in_time(world.tenant, world.lake, world.definitions, many).read_all()
    assert joined.slice(0, len(spine)).combine_chunks() == found.combine_chunks()


def _stored(schema: pa.Schema, lead: str, when: datetime, value: int) -> dict[str, Any]:
    row: dict[str, Any] = {"lead_id": lead, "as_of": when}
    if "messages_7d" in schema.names:
        row["messages_7d"] = value
    return row
