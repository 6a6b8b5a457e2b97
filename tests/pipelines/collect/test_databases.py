"""Tables of SQLite and of a real PostgreSQL: types, days, snapshots, what breaks off, and what is never told."""

import logging
import sqlite3
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.collect import databases, patience
from pipelines.collect.ingest import ingest
from pipelines.collect.postgres import Postgres
from pipelines.core.errors import ConfigError, SourceError, SourceUnreachable
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.quality.validate import validate
from tests.pipelines.collect.conftest import DAY, PASSWORD, MakeSource, PostgresServer, read, rows

pytestmark = pytest.mark.slow

WINDOW = "SELECT place, n FROM orders WHERE updated_at >= :start AND updated_at < :end ORDER BY n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAITS", (0.05, 0.1))


def orders(days: int = 3, a_day: int = 4) -> list[tuple[str, int, datetime]]:
    """Rows over days, the first and the last instant of each among them."""
    found = []
    for day in range(days):
        start = datetime(2026, 3, 1) + timedelta(days=day)
        last = start + timedelta(days=1) - timedelta(microseconds=1)
        found += [(f"p{day}", day * a_day + one, start + one * timedelta(hours=1)) for one in range(a_day - 1)]
        found.append((f"p{day}", day * a_day + a_day - 1, last))
    return found


def sqlite(path: Path, form: str = "%Y-%m-%d %H:%M:%S", **kinds: str) -> Path:
    with closing(sqlite3.connect(path)) as session, session:
        session.execute("CREATE TABLE orders (place text, n integer, updated_at text)")
        session.executemany("INSERT INTO orders VALUES (?, ?, ?)", [(p, n, t.strftime(form)) for p, n, t in orders()])
    return path


def fill(postgres: PostgresServer, days: int = 3, a_day: int = 4, kind: str = "timestamptz") -> None:
    values = ", ".join(f"('{place}', {n}, '{moment}+00')" for place, n, moment in orders(days, a_day))
    postgres.run(f"CREATE TABLE orders (place text, n int, updated_at {kind})", f"INSERT INTO orders VALUES {values}")


def shop(postgres: PostgresServer, make_source: MakeSource, **more: Any) -> Tenant:
    return make_source(connection="shop", query=WINDOW, **more)


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d"])
def test_sqlite_gives_each_day_its_own_rows_however_times_are_written(
    make_source: MakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("LEADWISE_CONN_SHOP", f"sqlite:///{sqlite(tmp_path / 'a b.db', form)}")
    tenant = make_source(connection="shop", query=WINDOW)
    assert read(tenant, days=3).counts == {"market": 12}
    assert [(row["_batch_id"], row["place"], row["n"]) for row in rows(tenant)] == [
        (f"2026-03-0{day + 1}", f"p{day}", day * 4 + one) for day in range(3) for one in range(4)
    ]
    assert rows(tenant)[0]["_source_file"] == "shop:2026-03-01"
    assert rows(tenant)[0]["_interval_end"] == datetime(2026, 3, 2)


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_postgres_gives_each_day_its_own_rows(postgres: PostgresServer, make_source: MakeSource, kind: str) -> None:
    fill(postgres, kind=kind)
    tenant = shop(postgres, make_source)
    assert read(tenant, days=3).counts == {"market": 12}
    first = rows(tenant)
    assert [(row["_batch_id"], row["n"]) for row in first] == [(f"2026-03-0{n // 4 + 1}", n) for n in range(12)]
    read(tenant, date(2026, 3, 2))  # again: replaced, not added
    assert [(row["_batch_id"], row["n"]) for row in rows(tenant)] == [(row["_batch_id"], row["n"]) for row in first]


def test_database_rows_pass_the_gate(postgres: PostgresServer, make_source: MakeSource) -> None:
    fill(postgres)
    tenant = make_source(connection="shop", query=WINDOW.replace("place, n", "place || n AS place, n"))
    read(tenant, days=3)
    assert validate(tenant, Interval.of_days(DAY, date(2026, 3, 4))).counts["rows"] == 12


def test_postgres_keeps_types(postgres: PostgresServer, make_source: MakeSource) -> None:
    postgres.run(
        "CREATE TYPE mood AS ENUM ('good')",
        "CREATE DOMAIN small AS int CHECK (VALUE < 100)",
        """CREATE TABLE t AS SELECT 1::int2 AS i2, 2::int8 AS i8, 1.5::float4 AS f4, 12.345::numeric(9, 3) AS num,
           true AS yes, 'x'::varchar(3) AS text, DATE '2026-03-01' AS day, TIMESTAMP '2026-03-01 10:00:00.123456' AS ts,
           TIMESTAMPTZ '2026-03-01 10:00:00+02' AS tz, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS uid,
           '{"a": [1, "ñ"]}'::jsonb AS doc, '\\xdeadbeef'::bytea AS raw, '1 day'::interval AS span,
           TIME '10:00' AS clock, ARRAY['a', 'b'] AS list, 'good'::mood AS mood, '10.0.0.1'::inet AS ip,
           7::small AS small, '3.50'::money AS price,
           'NaN'::numeric AS nan, 'infinity'::timestamptz AS never, NULL::int AS nothing""",
    )
    tenant = make_source(connection="shop", query='SELECT *, 1 AS "a ""b""" FROM t;  ')
    read(tenant)
    table = Lake(tenant).read("raw.market")
    row = {key: value for key, value in table.to_pylist()[0].items() if not key.startswith("_")}
    assert str(row.pop("nan")) == "nan"
    assert row == {
        "i2": 1, "i8": 2, "f4": 1.5, "num": 12.345, "yes": True, "text": "x", "day": date(2026, 3, 1),
        "ts": datetime(2026, 3, 1, 10, 0, 0, 123456), "tz": datetime(2026, 3, 1, 8),
        "uid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "doc": '{"a": [1, "ñ"]}', "raw": "deadbeef", "span": "1 day",
        "clock": "10:00:00", "list": '["a","b"]', "mood": "good", "ip": "10.0.0.1/32", "small": 7, "price": 3.5,
        "never": None, "nothing": None, 'a "b"': 1,
    }  # fmt: skip
    assert table.schema.field("nothing").type == pa.int64(), "an empty column has its type"
    assert table.schema.field("tz").type == pa.timestamp("us")


def test_sqlite_columns_are_numbers_where_all_values_are(
    make_source: MakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", f'{{"conn_type": "sqlite", "host": "{tmp_path / "x.db"}"}}')
    with closing(sqlite3.connect(tmp_path / "x.db")) as session, session:
        session.execute("CREATE TABLE t (whole, real, mixed, blob, empty)")
        session.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?, NULL)",
            [(1, 1, 1, b"\xff"), (2**62, 2.5, "x", None), *[(None, None, None, None)] * 3000],
        )
    tenant = make_source(connection="shop", query="SELECT * FROM t")
    read(tenant)
    table = Lake(tenant).read("raw.market")
    assert [(r["whole"], r["real"], r["mixed"], r["blob"]) for r in table.slice(0, 2).to_pylist()] == [
        (1, 1.0, "1", "ff"),
        (2**62, 2.5, "x", None),
    ]
    assert table.num_rows == 3002
    assert "empty" not in table.column_names


def test_one_snapshot_for_all_sources_of_a_connection(
    postgres: PostgresServer, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(postgres, days=1)
    source = {"connection": "shop", "query": "SELECT place, n FROM orders ORDER BY n"}
    sql = "-- table: market\nselect place, n from market union all select place, n from other\n"
    tenant = make_source(more={"other": source}, sql=sql, **source)
    own = Postgres.batches

    def add_meanwhile(self: Postgres, *args: Any) -> Any:
        postgres.run("INSERT INTO orders VALUES ('late', 99, '2026-03-01')")
        return own(self, *args)

    monkeypatch.setattr(Postgres, "batches", add_meanwhile)
    assert read(tenant).counts == {"market": 4, "other": 4}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_can_be_written(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_source: MakeSource, kind: str
) -> None:
    monkeypatch.setenv("LEADWISE_CONN_SHOP", postgres.admin)
    fill(postgres)
    if kind == "sqlite":
        monkeypatch.setenv("LEADWISE_CONN_SHOP", f"sqlite:///{sqlite(tmp_path / 'x.db')}")
    session = databases.open_database("shop")
    for statement in ("DELETE FROM orders RETURNING n", "SELECT 1; DELETE FROM orders"):
        with pytest.raises(SourceError):
            list(session.batches(statement, pa.schema([("n", pa.int64())]), 10))
    with pytest.raises(ConfigError, match="must be one SELECT"):
        make_source(connection="shop", query="DELETE FROM orders")
    session.close()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT place, m FROM orders", r"column .m. does not exist"),
        ("SELECT place\nFROM ordrs", r"line 2: relation .ordrs. does not exist"),
        ("SELECT place, n, n FROM orders", r"'n' twice"),
        ("SELECT n FROM orders WHERE false", "gives no rows"),
        ("SELECT place::int AS n FROM orders", "can't run its query"),
        ("SELECT n / (n - 1) AS n FROM orders", "division by zero"),
    ],
)
def test_a_wrong_query_is_one_sentence_without_values(
    postgres: PostgresServer, make_source: MakeSource, query: str, says: str
) -> None:
    fill(postgres)
    tenant = make_source(connection="shop", query=query)
    with pytest.raises(SourceError, match=says) as caught:
        read(tenant)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("source 'market': ")
    assert "p0" not in message
    assert Lake(tenant).count("raw.market") == 0


def test_days_without_rows_are_normal_only_if_said(postgres: PostgresServer, make_source: MakeSource) -> None:
    fill(postgres, days=1)
    with pytest.raises(SourceError, match=r"no rows for 2026-03-02: write sparse: true"):
        read(shop(postgres, make_source), days=2)
    tenant = shop(postgres, make_source, sparse=True)
    assert read(tenant, days=2).counts == {"market": 4}
    assert validate(tenant, Interval.of_days(DAY, date(2026, 3, 3))).counts["duplicates"] == 0


def secrets_in(text: str) -> list[str]:
    return [one for one in (PASSWORD, "s3cr3t", "topsecret") if one in text]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("s3cr3t", "topsecret"), "refuses the login"),
        (("shop:", "nobody:"), "refuses the login"),
        (("/postgres?", "/nowhere?"), "nowhere.* does not exist"),
        (("host=", "host=/nowhere"), "does not answer"),
        (("postgresql+psycopg", "mysql"), "driver that is not installed"),
        (("@/postgres", "@host:99x/postgres"), "can't be read as a connection"),
    ],
)
def test_a_wrong_address_is_one_sentence_without_its_password(
    postgres: PostgresServer,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    change: tuple[str, str],
    says: str,
) -> None:
    fill(postgres)
    monkeypatch.setenv("LEADWISE_CONN_SHOP", postgres.url.replace(*change))
    tenant = shop(postgres, make_source)
    with caplog.at_level(logging.DEBUG), pytest.raises((SourceError, ConfigError), match=says) as caught:
        read(tenant)
    assert "\n" not in str(caught.value)
    assert not secrets_in(str(caught.value) + repr(caught.value.__context__) + caplog.text)


def test_no_password_in_lake_report_or_logs(
    postgres: PostgresServer, make_source: MakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    fill(postgres)
    tenant = shop(postgres, make_source)
    with caplog.at_level(logging.DEBUG):
        report = read(tenant)
    held = Lake(tenant).read("raw._files").to_pylist()
    assert not secrets_in(f"{report.to_dict()}{rows(tenant)}{held}{caplog.text}")
    for path in tenant.home.rglob("*"):
        if path.is_file():
            assert not secrets_in(path.read_bytes().decode("latin-1")), path


def test_a_server_that_dies_amid_rows_and_comes_back(
    postgres: PostgresServer, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(postgres)
    tenant = make_source(connection="shop", query="SELECT place, n FROM orders ORDER BY n")
    read(tenant)
    before = rows(tenant)
    postgres.run("INSERT INTO orders SELECT repeat('x', 400), g, now() FROM generate_series(1, 150000) g")
    own, deaths = Postgres.batches, 3

    def die(self: Postgres, *args: Any) -> Any:
        nonlocal deaths
        for number, batch in enumerate(own(self, *args)):
            yield batch
            if number == 2 and deaths:
                deaths -= 1
                postgres.kill()
                if deaths:
                    postgres.start()

    monkeypatch.setattr(Postgres, "batches", die)
    with pytest.raises(SourceUnreachable, match="broke off: nothing of this source was written") as caught:
        read(tenant)
    assert "\n" not in str(caught.value)
    assert rows(tenant) == before, "what was there stays"
    with pytest.raises(SourceUnreachable, match="does not answer"):
        read(tenant)
    postgres.start()
    deaths = 1
    died = postgres.kill
    monkeypatch.setattr(postgres, "kill", lambda: (died(), postgres.start()))
    assert ingest(tenant, Interval.day(DAY)).counts == {"market": 150_012}, "one death is waited out"
    assert deaths == 0
    assert Lake(tenant).count("raw.market") == 150_012


def test_a_missing_sqlite_file_is_not_made(
    make_source: MakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADWISE_CONN_SHOP", f"sqlite:///{tmp_path / 'no.db'}")
    with pytest.raises(SourceError, match=r"source 'market': .*no\.db, where there is no file"):
        read(make_source(connection="shop", query=WINDOW))
    assert not (tmp_path / "no.db").exists()
