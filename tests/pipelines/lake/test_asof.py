"""Views show, for each key, the newest version that had arrived, and nothing that was not known yet."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expectations.contract import load_contracts
from pipelines.core.tenant import Tenant
from pipelines.lake.asof import AsOf
from pipelines.lake.catalog import Lake
from tests.conftest import MakeTenant

CONTRACT = """
kind: DataContract
apiVersion: v3.1.0
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: order_id, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: ordered_at, logicalType: timestamp, required: true,
         customProperties: [{property: event_time, value: true}]}
      - {name: amount, logicalType: integer}
      - {name: returned, logicalType: boolean, customProperties: [{property: known_after, value: P2D}]}
      - {name: seen_at, logicalType: timestamp, required: true,
         customProperties: [{property: arrived_at, value: true}]}
"""
SYSTEM = [
    ("_arrived_at", pa.timestamp("us")),
    ("_batch_id", pa.string()),
    ("_source_file", pa.string()),
    ("_source_row", pa.int64()),
]
START = datetime(2026, 1, 1)


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant(contracts={"orders.yaml": CONTRACT})


def store(tenant: Tenant, versions: list[dict[str, Any]]) -> AsOf:
    """Write versions as the clean table would hold them and open the views."""
    contracts = load_contracts(tenant.contracts_dir)
    schema = pa.schema([*contracts["orders"].clean_schema(), *SYSTEM])
    rows = [
        {
            **version,
            "_arrived_at": version["seen_at"],
            "_batch_id": "b",
            "_source_file": "f",
            "_source_row": number,
        }
        for number, version in enumerate(versions)
    ]
    lake = Lake(tenant)
    lake.write("clean.orders", schema, [pa.Table.from_pylist(rows, schema)], replace=("_batch_id", ["b"]))
    return AsOf(lake, contracts)


def version(key: str, event: float, seen: float, amount: int = 0) -> dict[str, Any]:
    """A version of order `key`; times are hours after START."""
    return {
        "order_id": key,
        "ordered_at": START + timedelta(hours=event),
        "amount": amount,
        "returned": True,
        "seen_at": START + timedelta(hours=seen),
    }


def seen(views: AsOf, hours: float) -> dict[str, tuple[int, bool | None]]:
    table = views.query("SELECT order_id, amount, returned FROM orders", START + timedelta(hours=hours))
    return {row["order_id"]: (row["amount"], row["returned"]) for row in table.to_pylist()}


def test_a_row_is_seen_from_its_arrival_on(tenant: Tenant) -> None:
    with store(tenant, [version("a", 0, 10)]) as views:
        assert seen(views, 9.99) == {}
        assert seen(views, 10) == {"a": (0, None)}


def test_what_is_known_later_is_empty_until_then(tenant: Tenant) -> None:
    with store(tenant, [version("a", 0, 1)]) as views:
        assert seen(views, 47.9)["a"][1] is None
        assert seen(views, 48)["a"][1] is True


def test_a_correction_counts_from_its_arrival_on(tenant: Tenant) -> None:
    with store(tenant, [version("a", 0, 5, 2), version("a", 0, 1, 1)]) as views:
        assert seen(views, 4)["a"][0] == 1
        assert seen(views, 5)["a"][0] == 2


VERSIONS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.integers(0, 30), st.integers(0, 99)), max_size=25
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VERSIONS, st.integers(0, 80))
def test_views_agree_with_an_oracle_in_plain_python(
    tenant: Tenant, drawn: list[tuple[str, int, int, int]], hour: int
) -> None:
    versions = [version(key, event, event + late, amount) for key, event, late, amount in drawn]
    now = START + timedelta(hours=hour)
    expected: dict[str, tuple[int, bool | None]] = {}
    for one in sorted(versions, key=lambda v: v["seen_at"]):  # stable: a later row of the same instant wins
        if one["seen_at"] <= now:
            known = one["ordered_at"] + timedelta(days=2) <= now
            expected[one["order_id"]] = (one["amount"], True if known else None)

    with store(tenant, versions) as views:
        assert seen(views, hour) == expected


def test_rows_lie_in_order_of_arrival_whatever_order_they_were_written_in(tenant: Tenant) -> None:
    drawn = [version(str(n), 0, n * 7919 % 100) for n in range(100)]
    with store(tenant, drawn) as views:
        keys = views.query("SELECT order_id FROM orders", START + timedelta(days=9))["order_id"].to_pylist()
    assert keys == [one["order_id"] for one in sorted(drawn, key=lambda one: one["seen_at"])]


def test_only_the_columns_that_a_query_reads_are_there(tenant: Tenant) -> None:
    store(tenant, [version("a", 0, 1, 1), version("a", 0, 2, 2), version("b", 0, 1)]).connection.close()
    contracts, now = load_contracts(tenant.contracts_dir), START + timedelta(hours=50)
    for columns, shown in ((["returned", "amount"], ["amount", "returned"]), ([], ["order_id"])):
        with AsOf(Lake(tenant), contracts, {"orders": columns}) as views:
            found = views.query("SELECT * FROM orders", now)
            assert found.schema.names == shown
            assert found.num_rows == 2
            assert columns == [] or [row["returned"] for row in found.to_pylist()] == [True, True]


def test_a_sum_of_fractions_is_the_same_in_every_bit(tenant: Tenant) -> None:
    tenant = dataclasses.replace(tenant, settings=tenant.settings.model_copy(update={"threads": 4}))
    with store(tenant, []) as views:
        views.connection.execute(
            "CREATE TABLE many AS SELECT hash(n) % 1000 AS k, hash(n, 'v') % 100000 / 7 AS v"
            " FROM range(1000000) AS r (n)"
        )
        sql = "SELECT sum(hash(k, s))::VARCHAR AS sums FROM (SELECT k, sum(v) AS s FROM many GROUP BY k)"
        assert len({views.query(sql, START)["sums"][0].as_py() for _ in range(4)}) == 1


def test_tables_without_a_row_are_there(tenant: Tenant) -> None:
    with AsOf(Lake(tenant), load_contracts(tenant.contracts_dir)) as views:
        assert views.query("SELECT count(*) AS n FROM orders", START)["n"].to_pylist() == [0]
        assert views.snapshots == {"orders": None}


def test_parameters_are_bound_where_the_sql_uses_them(tenant: Tenant) -> None:
    with store(tenant, [version("a", 0, 1)]) as views:
        sql = "SELECT date_diff('hour', ordered_at, $as_of) AS age, $days AS days FROM orders"
        row = views.query(sql, START + timedelta(hours=2), {"days": 7, "unused": 1}).to_pylist()[0]

    assert row == {"age": 2, "days": 7}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY orders TO '/tmp/leak.csv'",
        "ATTACH '/tmp/other.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT * FROM versions",
    ],
)
def test_the_engine_itself_is_closed(tenant: Tenant, sql: str) -> None:
    versions = pa.table({"secret": [1]})
    with store(tenant, []) as views, pytest.raises(duckdb.Error):
        views.query(sql, START)
    assert versions.num_rows == 1
