"""Run a use case's queries as of an instant, with sentences instead of DuckDB's errors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from feature_repo.queries import Query
from feature_repo.sql import failed
from pipelines.core.errors import SqlError

if TYPE_CHECKING:
    from pipelines.lake.asof import AsOf

ROWS = 100_000
"""Rows of a batch where results are streamed."""


def rows_of(
    asof: "AsOf", query: Query, as_of: datetime, params: Mapping[str, object] | None = None
) -> pa.RecordBatchReader:
    """Stream the rows of a view, label or candidates query.

    Args:
        asof: views to read; what the reader has not given yet must be read before the next query.
        query: which one.
        as_of: naive UTC instant.
        params: further parameters, e.g. horizon_days of a label.

    Raises:
        SqlError: the SQL fails, at the start or later.
    """
    with sentences(query):
        found = asof.reader(query.sql, as_of, params, ROWS)

    def batches() -> Iterator[pa.RecordBatch]:
        with sentences(query):
            for batch in found:
                yield batch.cast(query.schema)

    return pa.RecordBatchReader.from_batches(query.schema, batches())


@contextmanager
def sentences(query: Query) -> Iterator[None]:
    """Turn DuckDB's errors into one sentence with the query's file and line."""
    try:
        yield
    except duckdb.Error as error:
        raise failed(error, query.sql, query.path) from None


def refuse_twins(connection: duckdb.DuckDBPyConnection, table: str, query: Query, as_of: datetime) -> int:
    """Make sure that `table`, the result of `query`, has one row per entity, and return how many rows that is.

    Raises:
        SqlError: an entity with several rows, or a row without an entity.
    """
    entity = f'"{query.entity}"'
    counted = f"SELECT count(*), count({entity}), count(DISTINCT {entity}) FROM {table}"
    rows, named, distinct = connection.execute(counted).fetchall()[0]
    if rows != named:
        raise SqlError(
            f"{query.path}:1: view '{query.name}' gives {rows - named} rows without {query.entity}"
            f" as of {as_of:%Y-%m-%d}: leave them out with WHERE {query.entity} IS NOT NULL"
        )
    if named == distinct:
        return int(rows)
    value, count = connection.execute(
        f"SELECT {entity}, count(*) AS n FROM {table} GROUP BY ALL HAVING n > 1 ORDER BY n DESC, {entity} LIMIT 1"
    ).fetchall()[0]
    raise SqlError(
        f"{query.path}:1: view '{query.name}' gives {count} rows for {query.entity} '{value}' as of {as_of:%Y-%m-%d}"
        f" ({rows - distinct} rows too many in all): return one row per {query.entity}, with GROUP BY {query.entity}"
    )
