"""All versions of all keys of a clean table, in DuckDB, with the time from which and until which each one counts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from expectations.contract import Contract
from pipelines.lake.catalog import Lake
from pipelines.lake.evolve import as_of_today, is_current
from pipelines.lake.files import fed

_STORE = "_store"
ORDER = ("_arrived_at", "_batch_id", "_source_file", "_source_row")
"""Columns that order the versions of a key, the newest last."""

MARK = "_mark"
"""Column of a value that `load` was asked to keep beside each row."""

SYSTEM = pa.schema(
    [
        ("_arrived_at", pa.timestamp("us")),
        ("_batch_id", pa.string()),
        ("_source_file", pa.string()),
        ("_source_row", pa.int64()),
    ]
)
"""Those columns, as clean tables have them."""


def stored(name: str) -> str:
    """SQL of the table behind a view: all versions of all keys, with `_arrived_at` and `_superseded_at`."""
    return f'{_STORE}."{name}"'


def load(
    connection: duckdb.DuckDBPyConnection, lake: Lake, contract: Contract, columns: Sequence[str], mark: str | None
) -> None:
    """Make a table of the versions, and a view of those that count as of the variable `as_of`.

    Rows lie in the order of their arrival, whatever files they came from: so a sum of fractions that one thread makes
    is the same in every bit.

    Args:
        connection: not closed to files.
        lake: of the tenant.
        contract: of the table.
        columns: of the view; none is its key.
        mark: SQL of the value that is kept as `MARK`, over all columns of the contract.
    """
    name, columns = contract.name, columns or contract.keys
    late = contract.event_time if any(contract.clean_columns[one].known_after for one in columns) else None
    kept = dict.fromkeys([*columns, *([late] if late else []), "_arrived_at"])
    spare = [one for one in dict.fromkeys([*contract.keys, *ORDER]) if one not in kept]
    marked = f", {mark} AS {MARK}" if mark else ""
    needed = contract.clean_columns if mark else dict.fromkeys([*kept, *contract.keys])
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_STORE}")
    with _rows(connection, lake, contract, [one for one in contract.clean_columns if one in needed]) as source:
        connection.execute(
            f"CREATE TABLE {stored(name)} AS SELECT {_list([*kept, *spare])}{marked},"
            f" 'infinity'::TIMESTAMP AS _superseded_at FROM {source}"
            f" ORDER BY {', '.join(ORDER)}"
        )
    _supersede(connection, stored(name), contract.keys)
    for column in spare:
        connection.execute(f'ALTER TABLE {stored(name)} DROP COLUMN "{column}"')
    connection.execute(
        f'CREATE VIEW "{name}" AS SELECT {", ".join(known(contract, column) for column in columns)}'
        f" FROM {stored(name)} WHERE _arrived_at <= getvariable('as_of') AND _superseded_at > getvariable('as_of')"
    )


@contextmanager
def _rows(
    connection: duckdb.DuckDBPyConnection, lake: Lake, contract: Contract, columns: Sequence[str]
) -> Iterator[str]:
    """What to write after FROM to read a clean table in the columns of its contract."""
    name = f"clean.{contract.name}"
    if is_current(lake, contract):
        with fed(connection, lake, name, columns=[*columns, *SYSTEM.names], order=ORDER[0]) as source:
            yield source
        return
    # Before the first batch there are no rows, in the right columns.
    schema = pa.schema([*contract.clean_schema(), *SYSTEM])
    connection.register("_rows", as_of_today(lake, contract, SYSTEM) or schema.empty_table())
    try:
        yield "_rows"
    finally:
        connection.unregister("_rows")


def _supersede(connection: duckdb.DuckDBPyConnection, table: str, keys: Sequence[str]) -> None:
    """Say of each version until when it counts: those of a key are put in order only where it has several."""
    key = _list(keys)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE _several AS SELECT hash({key}) FROM {table} GROUP BY 1 HAVING count(*) > 1"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE _until AS SELECT row, until FROM (SELECT rowid AS row,"
        f" lead(_arrived_at) OVER (PARTITION BY {key} ORDER BY {', '.join(ORDER)}) AS until"
        f" FROM {table} WHERE hash({key}) IN (FROM _several)) WHERE until IS NOT NULL ORDER BY row"
    )
    connection.execute(f"UPDATE {table} AS t SET _superseded_at = u.until FROM _until AS u WHERE t.rowid = u.row")
    connection.execute("DROP TABLE _several")
    connection.execute("DROP TABLE _until")


def _list(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def known(contract: Contract, name: str) -> str:
    """SQL of a column of a view, empty before it is known as of the variable `as_of`."""
    delay = contract.clean_columns[name].known_after
    if delay is None:
        return f'"{name}"'
    known_at = f'"{contract.event_time}"::TIMESTAMP + to_seconds({delay.total_seconds()})'
    return f'CASE WHEN {known_at} <= getvariable(\'as_of\') THEN "{name}" END AS "{name}"'
