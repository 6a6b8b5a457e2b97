"""Questions: what they see is what was known, they read no more than they need, and no personal data."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expectations.contract import load_contracts
from pipelines import sql
from pipelines.core.errors import LeadwiseError, NotReady, SqlError
from pipelines.core.tenant import Tenant
from pipelines.lake.ask import ask
from pipelines.lake.asof import AsOf
from pipelines.lake.catalog import Lake
from pipelines.lake.identities import TABLE as IDENTITIES
from pipelines.lake.shown import shown
from tests.conftest import MakeTenant
from tests.pipelines.lake.test_asof import CONTRACT, START, SYSTEM

REFUNDS = CONTRACT.replace("orders", "refunds")


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant(contracts={"orders.yaml": CONTRACT, "refunds.yaml": REFUNDS})


def rows(tenant: Tenant, query: str, as_of: datetime | None = None) -> list[dict[str, Any]]:
    with ask(Lake(tenant), load_contracts(tenant.contracts_dir), query, as_of) as answer:
        return answer.table().to_pylist()


def store(tenant: Tenant, versions: list[dict[str, Any]], table: str = "orders", batch: str = "b") -> None:
    """Append versions to a clean table, as a batch of its own."""
    schema = pa.schema([*load_contracts(tenant.contracts_dir)[table].clean_schema(), *SYSTEM])
    own = [
        {
            **version,
            "_arrived_at": version["seen_at"],
            "_batch_id": batch,
            "_source_file": "f",
            "_source_row": number,
        }
        for number, version in enumerate(versions)
    ]
    Lake(tenant).write(f"clean.{table}", schema, [pa.Table.from_pylist(own, schema)], replace=("_batch_id", [batch]))


def order(number: int, day: int = 0, amount: int = 1, seen: int = 0) -> dict[str, Any]:
    return {
        "order_id": f"o{number}",
        "ordered_at": START + timedelta(days=day),
        "amount": amount,
        "returned": True,
        "seen_at": START + timedelta(days=day + seen),
    }


orders = st.builds(order, st.integers(0, 4), st.integers(0, 5), st.integers(0, 99), st.integers(0, 4))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(orders, max_size=6), min_size=1, max_size=3), st.integers(-1, 11))
def test_a_question_sees_what_a_feature_query_sees(
    tenant: Tenant, batches: list[list[dict[str, Any]]], day: int
) -> None:
    for number in range(3):
        store(tenant, batches[number] if number < len(batches) else [], batch=f"b{number}")
    instant = START + timedelta(days=day)
    query = "SELECT * FROM orders ORDER BY order_id"
    with AsOf(Lake(tenant), load_contracts(tenant.contracts_dir)) as views:
        assert rows(tenant, query, instant) == views.query(query, instant).to_pylist()


@pytest.mark.parametrize("day", [date(2026, 1, 5), date(2026, 1, 31), date(2026, 3, 2)])
def test_the_market_as_of_a_day(demo: Tenant, day: date) -> None:
    contracts = load_contracts(demo.contracts_dir)
    instant = datetime(day.year, day.month, day.day)
    with AsOf(Lake(demo), contracts) as views:
        for name in contracts:
            query = f"SELECT * FROM {name} ORDER BY ALL"
            assert rows(demo, query, instant) == views.query(query, instant).to_pylist(), name
    for name, limit in (("features.lead", "as_of"), ("deliver.scores", "as_of")):
        stored = Lake(demo).read(name).to_pylist()
        [counted] = rows(demo, f"SELECT count(*) AS n FROM {name}", instant)
        assert counted["n"] == sum(row[limit] <= instant for row in stored)


def test_without_an_instant_everything_is_known(tenant: Tenant) -> None:
    store(tenant, [order(1, day=400, amount=7)])  # beyond the tenant's run
    assert rows(tenant, "SELECT amount FROM orders") == [{"amount": 7}]
    assert rows(tenant, "SELECT count(*) AS n FROM refunds") == [{"n": 0}], "a table that was not written is empty"


@pytest.mark.local
def test_a_question_reads_the_tables_it_names_and_no_other(tenant: Tenant) -> None:
    store(tenant, [order(1)])
    store(tenant, [order(2)], table="refunds")
    refunds = Lake(tenant).table("clean.refunds")
    assert refunds is not None
    for task in refunds.scan().plan_files():
        Path(urlparse(task.file.file_path).path).unlink()
    assert rows(tenant, "SELECT a.order_id FROM orders a JOIN orders b USING (order_id)") == [{"order_id": "o1"}]
    with pytest.raises(LeadwiseError, match="a data file of table 'refunds'"):
        rows(tenant, "SELECT * FROM refunds")


def test_conditions_and_columns_reach_the_files(demo: Tenant) -> None:
    contracts = load_contracts(demo.contracts_dir)
    with ask(Lake(demo), contracts, "SELECT 1") as answer:
        assert answer.table().to_pylist() == [{"1": 1}]
    query = "SELECT probability FROM deliver.scores WHERE tier = 'A'"
    with ask(Lake(demo), contracts, query) as answer:
        plan = answer.connection.cursor().sql(f"EXPLAIN {query}").fetchall()[0][1]
    scan = plan[plan.index("PARQUET") :] if "PARQUET" in plan else plan
    assert "tier='A'" in scan.replace(" ", "")
    assert "probability" in scan
    assert "model_name" not in scan


def test_a_column_that_came_later_is_empty_in_older_files(tenant: Tenant) -> None:
    store(tenant, [order(1)], batch="old")
    later = CONTRACT.replace(
        "      - {name: amount,", "      - {name: note, logicalType: string}\n      - {name: amount,"
    )
    (tenant.contracts_dir / "orders.yaml").write_text(later, encoding="utf-8")
    assert rows(tenant, "SELECT order_id FROM orders") == [{"order_id": "o1"}]
    store(tenant, [{**order(2), "note": "new"}], batch="new")
    found = rows(tenant, "SELECT order_id, note FROM orders ORDER BY order_id")
    assert found == [{"order_id": "o1", "note": None}, {"order_id": "o2", "note": "new"}]


def test_no_table_that_can_be_asked_holds_a_phone(demo: Tenant) -> None:
    lake = Lake(demo)
    phones = set(lake.read(IDENTITIES)["phone"].to_pylist())
    digits = {phone.lstrip("+") for phone in phones}
    assert len(phones) > 100
    for name in shown(lake, load_contracts(demo.contracts_dir)):
        for row in rows(demo, f"SELECT * FROM {name}"):
            for cell in row.values():
                assert str(cell).lstrip("+") not in digits, f"{name} shows a phone"
    assert "record" not in rows(demo, "SELECT * FROM quarantine.messages LIMIT 1")[0]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("DELETE FROM leads", "DELETE is not allowed"),
        ("CREATE TABLE x AS SELECT 1", "CREATE is not allowed"),
        ("COPY leads TO 'x.csv'", "COPY is not allowed"),
        ("ATTACH 'x.db'", "ATTACH is not allowed"),
        ("INSTALL httpfs", "INSTALL is not allowed"),
        ("PRAGMA database_list", "PRAGMA is not allowed"),
        ("SET threads = 1", "SET is not allowed"),
        ("SELECT 1; SELECT 2", "second statement"),
        ("SELECT * FROM read_csv('/etc/passwd')", "read_csv is not allowed"),
        ("SELECT * FROM '/etc/passwd'", "there is no view '/etc/passwd'"),
        ("SELECT * FROM 'https://example.com/x.parquet'", "there is no table"),
        ("SELECT getenv('HOME')", "getenv is not allowed"),
        ("SELECT phone FROM identity.identities", "holds personal data"),
        ("SELECT * FROM raw.leads", "holds personal data"),
        ("SELECT value FROM quarantine.leads", "there is no column 'value'"),
        ("SELECT * FROM _store.t0", "there is no table '_store.t0'"),
        ("SELECT * FROM lead", "did you mean 'leads'"),
        ("SELECT * FROM features.leads", "did you mean 'features.lead'"),
        ("SELECT lead_idd FROM leads", "did you mean 'lead_id'"),
        ("SELECT x.lead_idd FROM leads x", "did you mean 'lead_id'"),
        ("SELECT CAST(lead_id AS INT) FROM leads", "Could not convert string '…'"),
        ("SELEC 1", "not SQL"),
        ("", "no SQL"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(demo: Tenant, query: str, sentence: str) -> None:
    with pytest.raises(SqlError, match=sentence) as caught:
        rows(demo, query)
    assert "\n" not in str(caught.value)


def test_before_the_first_run(make_tenant: MakeTenant) -> None:
    make_tenant()
    with pytest.raises(NotReady, match="leadwise run"):
        sql("demo", "SELECT 1")


def test_a_frame_for_a_notebook(demo: Tenant) -> None:
    found = sql("demo", "SELECT tier, probability FROM deliver.scores ORDER BY probability DESC", "2026-03-02")
    assert list(found.columns) == ["tier", "probability"]
    assert len(found) == Lake(demo).count("deliver.scores")
    assert sql("demo", "SELECT * FROM deliver.scores", datetime(2026, 1, 1)).empty
