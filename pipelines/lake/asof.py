"""What was known at an instant: SQL over views that cannot see the future.

Each contract's table stands as a view with, for each key, the newest version that had arrived by the instant, and with
columns that become known later empty until then. Rows that arrive at the very instant are known.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from types import TracebackType

import duckdb
import pyarrow as pa

from expectations.contract import Contract
from pipelines.lake.catalog import Lake
from pipelines.lake.evolve import as_of_today

_STORE = "_store"
ORDER = ("_arrived_at", "_batch_id", "_source_file", "_source_row")
"""Columns that order the versions of a key, the newest last."""

Params = Mapping[str, object]


class AsOf:
    """An in-memory DuckDB with a view per table of the use case, closed to files, settings and the network.

    Use as a context manager. `snapshots` names the Iceberg snapshot each view was made from.
    """

    def __init__(self, lake: Lake, contracts: Mapping[str, Contract], tables: Collection[str] | None = None) -> None:
        """Load the tables.

        Args:
            lake: of the tenant.
            contracts: by table name.
            tables: those that are needed; None is all.
        """
        self.snapshots: dict[str, int | None] = {}
        self._connection = duckdb.connect(config={"threads": lake.tenant.settings.threads})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET preserve_insertion_order = true")
        self._connection.execute(f"CREATE SCHEMA {_STORE}")
        for name, contract in contracts.items():
            if tables is None or name in tables:
                self._load(lake, name, contract)
        close(self._connection)

    def __enter__(self) -> "AsOf":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def query(self, sql: str, as_of: datetime, params: Params | None = None) -> pa.Table:
        """Run a SELECT as of an instant.

        Args:
            sql: over the views; `$as_of` and `params` are bound where it uses them.
            as_of: naive UTC.
            params: further named parameters.

        Raises:
            duckdb.Error: the SQL fails; the caller knows the file it came from.
        """
        return self._run(sql, as_of, params).to_arrow_table()

    def reader(
        self, sql: str, as_of: datetime, params: Params | None = None, rows: int = 100_000
    ) -> pa.RecordBatchReader:
        """`query`, streamed in batches of about `rows`."""
        return self._run(sql, as_of, params).to_arrow_reader(rows)

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection, for steps that keep tables of their own beside the views."""
        return self._connection

    def at(self, as_of: datetime) -> None:
        """Move all views to an instant."""
        self._connection.execute("SET VARIABLE as_of = $as_of::TIMESTAMP", {"as_of": as_of})

    def _run(self, sql: str, as_of: datetime, params: Params | None) -> duckdb.DuckDBPyRelation:
        self.at(as_of)
        relation = self._connection.sql(sql, params=self._bound(sql, as_of, params))
        if relation is None:
            raise duckdb.InvalidInputException("only a SELECT gives rows")
        return relation

    def _bound(self, sql: str, as_of: datetime, params: Params | None) -> dict[str, object]:
        """Those of the parameters that the SQL uses: DuckDB refuses the others."""
        given = {"as_of": as_of, **(params or {})}
        wanted = {name for statement in self._connection.extract_statements(sql) for name in statement.named_parameters}
        return {name: given[name] for name in wanted if name in given}

    def _load(self, lake: Lake, name: str, contract: Contract) -> None:
        schema = contract.clean_schema()
        table = stored(name)
        # Before the first batch there are no rows, in the right columns.
        rows = as_of_today(lake, contract, _SYSTEM) or pa.schema([*schema, *_SYSTEM]).empty_table()
        self.snapshots[name] = lake.snapshot_id(f"clean.{name}")
        keys = ", ".join(f'"{key}"' for key in contract.keys)
        order = ", ".join(ORDER)
        self._connection.register("_rows", rows)
        self._connection.execute(
            f"CREATE TABLE {table} AS SELECT * EXCLUDE (_batch_id, _source_file, _source_row),"
            f" coalesce(lead(_arrived_at) OVER (PARTITION BY {keys} ORDER BY {order}), 'infinity'::TIMESTAMP)"
            f" AS _superseded_at FROM _rows ORDER BY {order}"
        )
        self._connection.unregister("_rows")
        columns = ", ".join(known(contract, column) for column in schema.names)
        self._connection.execute(
            f'CREATE VIEW "{name}" AS SELECT {columns} FROM {table}'
            " WHERE _arrived_at <= getvariable('as_of') AND _superseded_at > getvariable('as_of')"
        )


_SYSTEM = pa.schema(
    [
        ("_arrived_at", pa.timestamp("us")),
        ("_batch_id", pa.string()),
        ("_source_file", pa.string()),
        ("_source_row", pa.int64()),
    ]
)


def stored(name: str) -> str:
    """SQL of the table behind a view: all versions of all keys, with `_arrived_at` and `_superseded_at`."""
    return f'{_STORE}."{name}"'


def close(connection: duckdb.DuckDBPyConnection) -> None:
    """From here on SQL sees what the connection holds, and no files, settings or network."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")


def known(contract: Contract, name: str) -> str:
    """SQL of a column of a view, empty before it is known as of the variable `as_of`."""
    delay = contract.clean_columns[name].known_after
    if delay is None:
        return f'"{name}"'
    known_at = f'"{contract.event_time}"::TIMESTAMP + to_seconds({delay.total_seconds()})'
    return f'CASE WHEN {known_at} <= getvariable(\'as_of\') THEN "{name}" END AS "{name}"'
