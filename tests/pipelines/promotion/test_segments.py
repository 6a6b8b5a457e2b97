"""A row held out belongs to the segment its entity was in when it happened, by what had arrived."""

import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.expressions import AlwaysTrue

from expectations.contract import Column, Contract
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.lake.versions import SYSTEM
from pipelines.promotion.segments import with_segments
from pipelines.registry.tracking import ENTITY
from pipelines.train.artifacts import veiled
from tests.conftest import MakeTenant

VISITS = Contract(
    "visits",
    "1",
    "",
    (
        Column("visit_id", "string", key=True),
        Column("client_id", "string", entity="client_id"),
        Column("at", "timestamp", event_time=True),
        Column("channel", "string", segment=True),
        Column("plan", "string", segment=True),
    ),
    Path("visits.yaml"),
)
COLUMNS = {"channel": VISITS, "plan": VISITS}
AS_OF = datetime(2026, 3, 1)


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant("demo")


def drawn(seed: int = 1) -> list[dict[str, Any]]:
    """Visits of 12 clients at 40 hours, so that several of one client meet; some arrive when it is too late."""
    draw = random.Random(seed)
    return [
        {
            "visit_id": f"v{number:03d}",
            "client_id": f"c{draw.randrange(12)}",
            "at": datetime(2026, 1, 1) + timedelta(hours=draw.randrange(40)),
            "channel": draw.choice(["sms", "call", None]),
            "plan": draw.choice("ABC"),
            "_arrived_at": AS_OF + timedelta(days=1 if draw.random() < 0.1 else -1),
            "_batch_id": "b",
            "_source_file": "f",
            "_source_row": number,
        }
        for number in range(200)
    ]


def fill(tenant: Tenant, rows: list[dict[str, Any]]) -> None:
    schema = pa.schema([*VISITS.clean_schema(), *SYSTEM])
    Lake(tenant).write("clean.visits", schema, [pa.Table.from_pylist(rows, schema=schema)], replace=AlwaysTrue())


def held(clients: list[str], times: list[datetime]) -> pa.Table:
    digests = veiled(pa.chunked_array([clients]))
    return pa.table({"event_time": pa.array(times, pa.timestamp("us")), "label": [0] * len(times), ENTITY: digests})


def test_as_the_newest_event_by_then_said(tenant: Tenant) -> None:
    visits = drawn()
    fill(tenant, visits)
    draw = random.Random(2)
    clients = [f"c{draw.randrange(14)}" for _ in range(300)]  # two are unknown to the lake
    times = [datetime(2026, 1, 1) + timedelta(hours=draw.randrange(-5, 45)) for _ in clients]
    rows = with_segments(tenant, held(clients, times), COLUMNS, AS_OF)

    expected = []
    for client, time in zip(clients, times, strict=True):
        known = [v for v in visits if v["client_id"] == client and v["at"] <= time and v["_arrived_at"] <= AS_OF]
        newest = max(known, key=lambda v: (v["at"], v["visit_id"]), default={"channel": None, "plan": None})
        expected.append((newest["channel"], newest["plan"]))
    assert list(zip(rows["channel"].to_pylist(), rows["plan"].to_pylist(), strict=True)) == expected
    assert len({*expected}) > 6
    assert rows["event_time"].to_pylist() == times


def test_a_feature_of_that_name_is_what_counts(tenant: Tenant) -> None:
    fill(tenant, drawn())
    own = held(["c1"], [AS_OF]).append_column("channel", pa.array(["own"]))
    rows = with_segments(tenant, own, COLUMNS, AS_OF)
    assert rows["channel"].to_pylist() == ["own"]
    assert rows["plan"].null_count == 0


def test_what_nobody_can_tell_is_not_added(tenant: Tenant) -> None:
    fill(tenant, drawn())
    nobody = held(["x"], [AS_OF])
    assert with_segments(tenant, nobody, COLUMNS, AS_OF).schema.names == nobody.schema.names
    unknown = nobody.drop_columns([ENTITY])
    assert with_segments(tenant, unknown, COLUMNS, AS_OF) is unknown
    empty = nobody.slice(0, 0)
    assert with_segments(tenant, empty, COLUMNS, AS_OF) is empty


def test_a_table_that_was_never_written_tells_nothing(tenant: Tenant) -> None:
    rows = held(["c1"], [AS_OF])
    assert with_segments(tenant, rows, COLUMNS, AS_OF).schema.names == rows.schema.names


def test_what_could_part_rows_by_their_outcome_is_not_added(tenant: Tenant) -> None:
    """A column that becomes known later, and one of rows without a time: they hold what came after the row."""
    fill(tenant, drawn())
    late = replace(
        VISITS, columns=tuple(replace(c, known_after=timedelta(days=2)) if c.segment else c for c in VISITS.columns)
    )
    timeless = replace(VISITS, columns=tuple(replace(c, event_time=False) for c in VISITS.columns))
    rows = held(["c1"], [AS_OF])
    for contract in (late, timeless):
        assert with_segments(tenant, rows, dict.fromkeys(COLUMNS, contract), AS_OF).schema.names == rows.schema.names
