"""Mappings: rows keep their origin, typed sources keep their types, and SQL that fails is a sentence."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from pipelines.collect.ingest import ingest
from pipelines.core.errors import BatchRejected, LeadwiseError, SqlError
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.quality.lineage import ORIGIN, carry, is_plain
from pipelines.quality.validate import validate
from tests.conftest import BANK_FILE, MakeTenant

DATED = BANK_FILE.with_name("bank-full-dated.csv")
CONTRACT = """
kind: DataContract
apiVersion: v3.2.0
id: sales
version: 1.0.0
status: active
schema:
  - name: sales
    customProperties: [{property: arrived_at, value: P1D}]
    properties:
      - {name: sale_id, logicalType: string, primaryKey: true}
      - {name: sold_at, logicalType: timestamp, customProperties: [{property: event_time, value: true}]}
      - {name: amount, logicalType: integer}
"""


@pytest.fixture
def sell(make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tenant]:
    """A function that collects rows of `sold` (or `sales`, without a mapping) and validates them."""

    def run(rows: pa.Table, mapping: str | None, ending: str = "parquet") -> Tenant:
        from pipelines.core.params import _merge

        source = "sold" if mapping else "sales"

        def only(base: Any, change: Any) -> Any:
            merged = _merge(base, change)
            merged["tenants"]["demo"]["sources"] = {source: {"path": "{home}/in." + ending}}
            return merged

        monkeypatch.setattr("tests.conftest._merge", only)
        sql = {"mapping.sql": f"-- table: sales\n{mapping}\n"} if mapping else {"readme.txt": ""}
        params = {"tenants": {"demo": {"use_case": "selling"}}}
        tenant = make_tenant(params=params, contracts={"sales.yaml": CONTRACT}, sql=sql)
        tenant.home.mkdir(parents=True, exist_ok=True)
        path = tenant.home / f"in.{ending}"
        pq.write_table(rows, path) if ending == "parquet" else pcsv.write_csv(rows, path)
        interval = Interval.of_days(datetime(2026, 3, 1).date(), datetime(2026, 3, 3).date())
        ingest(tenant, interval)
        validate(tenant, interval)
        return tenant

    return run


ROWS = pa.table({"id": ["a", "b", "c"], "day": ["2026-03-01", "2026-03-01", "2026-03-02"], "cents": [100, 250, 300]})
PLAIN = "select id as sale_id, day as sold_at, cents // 100 as amount from sold"


def rows_of(tenant: Tenant) -> list[dict[str, Any]]:
    return sorted(Lake(tenant).read("clean.sales").to_pylist(), key=lambda row: str(row["sale_id"]))


def test_rows_keep_their_origin_and_arrive_after_their_delay(sell: Callable[..., Tenant]) -> None:
    rows = rows_of(sell(ROWS, PLAIN))
    assert [(row["sale_id"], row["amount"], row["_source_row"]) for row in rows] == [
        ("a", 1, 1),
        ("b", 2, 2),
        ("c", 3, 3),
    ]
    assert rows[0]["_arrived_at"] == datetime(2026, 3, 2), "event time plus the declared delay"
    assert rows[0]["_source_file"].endswith("in.parquet")


def test_mapping_sees_the_whole_source(sell: Callable[..., Tenant]) -> None:
    mapping = """
        with numbered as (select *, sum(cents) over (order by source_row) as so_far from sold)
        select id as sale_id, day as sold_at, so_far as amount from numbered
    """
    assert [(row["amount"], row["_source_row"]) for row in rows_of(sell(ROWS, mapping))] == [
        (100, 1),
        (350, 2),
        (650, 3),
    ]


def test_groups_have_a_place_of_their_own(sell: Callable[..., Tenant]) -> None:
    mapping = (
        "select day as sale_id, max(day) as sold_at, sum(cents) as amount from sold where id is not null group by day"
    )
    rows = rows_of(sell(ROWS, mapping))
    assert [(row["sale_id"], row["amount"]) for row in rows] == [("2026-03-01", 350), ("2026-03-02", 300)]
    assert {row["_batch_id"] for row in rows} == {"bulk"}


@pytest.mark.parametrize(
    ("mapping", "kind", "says"),
    [
        (
            "select id as sale_id, dya as sold_at, cents as amount from sold",
            BatchRejected,
            "mapping.sql:2.*'dya'.*'day'",
        ),
        ("select id as sale_id, day as sold_at from sold", BatchRejected, "does not give the column 'amount'"),
        (PLAIN.replace("as amount", "as amont"), BatchRejected, "'amont'.*did you mean 'amount'"),
        (PLAIN.replace("cents // 100", "cents + day"), SqlError, "mapping.sql:2"),
        (PLAIN + " where random() > 0.5", SqlError, "random"),
        (PLAIN.replace("from sold", "from 'in.parquet'"), SqlError, "mapping.sql:2"),
        (PLAIN.replace("as amount", "> 0 as amount"), BatchRejected, "'amount' is of type boolean.*integer"),
        (PLAIN.replace("cents // 100", "1"), BatchRejected, r"in.parquet has the column 'cents'.*mapping.sql.*name it"),
    ],
)
def test_mapping_that_fails_is_a_sentence(
    sell: Callable[..., Tenant], mapping: str, kind: type[LeadwiseError], says: str
) -> None:
    with pytest.raises(kind, match=says) as caught:
        sell(ROWS, mapping)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "mapping",
    [
        "select id as sale_id, day as sold_at,\n\n cast(phone as integer) as amount, from sold",
        "with x as (select * from sold)\nselect id as sale_id, day as sold_at,\n phone::integer as amount from x",
        "select day as sale_id, max(day) as sold_at,\n\n sum(phone::int) as amount from sold where id > '' group by 1",
    ],
)
def test_mapping_that_fails_on_a_row_names_its_line_and_no_phone(sell: Callable[..., Tenant], mapping: str) -> None:
    phones = pa.array(["1"] * 5000 + ["+525512345600"])
    rows = pa.table({"id": [f"s{i}" for i in range(5001)], "day": ["2026-03-01"] * 5001, "phone": phones})
    with pytest.raises(SqlError, match=r"mapping.sql:4: .*Could not convert string '…' to INT32") as caught:
        sell(rows, mapping)
    assert "5512345600" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("amount", pa.array(["1", "2"]), "'amount' is of type string.*asks for integer"),
        ("sold_at", pa.array([1, 2]), "'sold_at' is of type integer.*asks for timestamp"),
        ("sale_id", pa.array([1, 2]), "'sale_id' is of type integer.*asks for string"),
    ],
)
def test_typed_source_has_to_have_the_type(
    sell: Callable[..., Tenant], column: str, values: pa.Array, says: str
) -> None:
    day = datetime(2026, 3, 1)
    good = pa.table({"sale_id": ["a", "b"], "sold_at": pa.array([day, day], pa.timestamp("ns")), "amount": [1, 2]})
    assert len(rows_of(sell(good, None))) == 2
    with pytest.raises(BatchRejected, match=says):
        sell(good.set_column(good.column_names.index(column), column, values), None)


def test_text_source_is_read_as_the_type(sell: Callable[..., Tenant]) -> None:
    text = pa.table({"sale_id": ["1", "2"], "sold_at": ["2026-03-01", "2026-03-01T10:00:00Z"], "amount": ["1", "2.0"]})
    assert [row["amount"] for row in rows_of(sell(text, None, "csv"))] == [1, 2]


@pytest.mark.parametrize(
    ("sql", "plain"),
    [
        ("select a from t", True),
        ("select * from t where a > 1", True),
        ("with x as (select *, a + 1 as b from t) select b from x", False),
        ("select x.b from (select a as b from t) as x", False),
        ("select t.a, u.b from t join u on t.a = u.b", False),
        ("select a, row_number() over (order by a) as n from t", False),
    ],
)
def test_lineage_is_carried_through(sql: str, plain: bool) -> None:
    carried = carry(sql, {"t", "u"})
    assert carried is not None
    assert is_plain(sql) is plain
    with duckdb.connect() as connection:
        for name, column in (("t", "a"), ("u", "b")):
            lineage = ", ".join(f"'{name}' as {word}" for word in ORIGIN)
            connection.execute(f"create table {name} as select 2 as {column}, {lineage}").fetchall()
        result = connection.sql(carried[0])
        assert set(ORIGIN.values()) <= set(result.columns)
        assert len(result.fetchall()) == 1


@pytest.mark.parametrize("sql", ["select a, count(*) from t group by a", "select a from t union select a from t"])
def test_rows_that_are_no_source_rows_have_no_lineage(sql: str) -> None:
    assert carry(sql, {"t"}) is None


@pytest.mark.skipif(not DATED.is_file(), reason=f"there is no {DATED}")
def test_days_of_the_calls_agree_with_the_oracle(make_tenant: MakeTenant) -> None:
    tenant = make_tenant("bank")
    ingest(tenant, tenant.whole_run)
    report = validate(tenant, tenant.whole_run)
    assert report.counts == {"rows": 45_211, "quarantined": 0, "duplicates": 0}
    clean = Lake(tenant).read("clean.calls").sort_by("_source_row")
    oracle = pcsv.read_csv(DATED)
    assert clean["called_at"].cast(pa.date32()).to_pylist() == oracle["contact_date"].to_pylist()
    assert clean["subscribed"].to_pylist() == [answer == "yes" for answer in oracle["y"].to_pylist()]
    assert clean["balance"].to_pylist() == oracle["balance"].to_pylist()
    assert len(set(clean["call_id"].to_pylist())) == 45_211


def test_no_room_knows_a_column(tmp_path: Path) -> None:
    from pipelines.core.settings import ROOT

    files = [*(ROOT / "pipelines" / "quality").glob("*.py"), *(ROOT / "pipelines" / "collect").glob("*.py")]
    words = ("sms", "bank", "whatsapp")
    assert not [file for file in files if any(word in file.read_text(encoding="utf-8") for word in words)]
