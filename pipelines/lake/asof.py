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
from pipelines.lake.versions import load

_MEMORY = "1GB"
"""What DuckDB keeps in memory; the rest waits on the disk."""

Params = Mapping[str, object]


class AsOf:
    """A DuckDB with a view per table of the use case, closed to files, settings and the network.

    Tables are loaded on all threads; a query runs on one, and gives the same rows in every bit whenever it runs.
    Use as a context manager. `snapshots` names the Iceberg snapshot each view was made from.
    """

    def __init__(
        self,
        lake: Lake,
        contracts: Mapping[str, Contract],
        reads: Mapping[str, Collection[str]] | None = None,
        marks: Mapping[str, str] | None = None,
    ) -> None:
        """Load the tables.

        Args:
            lake: of the tenant.
            contracts: by table name.
            reads: tables that are needed, and their columns; None is all of both.
            marks: by table, SQL of a value of each row that is kept as `MARK` beside it, over any columns.
        """
        settings = lake.tenant.settings
        self.snapshots: dict[str, int | None] = {}
        self._connection = duckdb.connect(config={"threads": settings.threads, "memory_limit": _MEMORY})
        self._connection.execute(f"SET temp_directory = '{lake.tenant.home / 'tmp' / 'duckdb'}'")
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET preserve_insertion_order = true")
        for name, contract in contracts.items():
            if reads is None or name in reads:
                columns = [one for one in contract.clean_columns if reads is None or one in reads[name]]
                self.snapshots[name] = lake.snapshot_id(f"clean.{name}")
                load(self._connection, lake, contract, columns, (marks or {}).get(name))
        # Threads would add up fractions in another order each time, and the last bits of a sum with them.
        self._connection.execute("SET threads = 1")
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


def close(connection: duckdb.DuckDBPyConnection) -> None:
    """From here on SQL sees what the connection holds, and no files, settings or network."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")
