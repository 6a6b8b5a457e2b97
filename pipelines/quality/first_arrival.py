"""Rows that a reading only repeats keep the arrival they had: else each reading would bring all of a file as news.

A source without days, and without a word on arrival, is read as a whole each time, and its rows arrive at the end of
that run. Of these, a row that equals the newest stored version of its key stays where it was. One that differs is a
correction: it arrives now, and the versions that were known before stay beside it. What the source no longer holds
goes.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.expressions import In

from pipelines.lake.evolve import as_of_today
from pipelines.quality.mapped import spilling
from pipelines.quality.staging import Stage

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from pipelines.lake.catalog import Lake
    from pipelines.quality.gate import Outcome

_ROWS = 100_000


def with_first_arrivals(lake: "Lake", outcome: "Outcome", folder: "Path") -> Stage:
    """The good rows of `outcome`, each with the arrival it has in the lake already.

    Work is linear in the rows of the table; DuckDB keeps their keys and hashes, and spills.

    Args:
        lake: of the tenant; nothing is written to it.
        outcome: of a table after the gate.
        folder: for the rows.

    Returns:
        What is to be published: `outcome.clean` itself where arrival hangs on no run, or nothing was published yet.
    """
    contract = outcome.contract
    if contract.arrived_at or contract.arrival_delay is not None or not outcome.mapped.dated_by_run:
        return outcome.clean
    if not outcome.clean.rows or not lake.exists(f"clean.{contract.name}"):
        return outcome.clean
    dated = Stage(folder / f"{contract.name}.dated", outcome.clean.schema)
    with spilling(lake) as connection:
        for batch in _dated(connection, lake, outcome):
            dated.add(pa.Table.from_batches([batch]))
    return dated


def _dated(connection: "duckdb.DuckDBPyConnection", lake: "Lake", outcome: "Outcome") -> Iterator[pa.RecordBatch]:
    """The new rows, and the stored versions of their keys that had arrived before them."""
    names = [f'"{name}"' for name in outcome.contract.keys]
    keys = ", ".join(names)
    cells = ", ".join(f'"{name}"' for name in outcome.contract.clean_columns)
    connection.register("_stored", _stored(lake, outcome))
    connection.execute(
        f"CREATE TABLE _known AS SELECT {keys}, max(_arrived_at) AS arrived,"
        f" list(hash(hash({cells}), _arrived_at)) AS versions FROM _stored GROUP BY ALL"
    )
    # As the newest version that it equals, else not before it.
    new = (
        "SELECT n.* EXCLUDE (_content) REPLACE (CASE WHEN k.arrived IS NULL THEN n._arrived_at"
        " WHEN list_contains(k.versions, hash(n._content, k.arrived)) THEN k.arrived"
        " ELSE greatest(n._arrived_at, k.arrived) END AS _arrived_at)"
        f" FROM (SELECT *, hash({cells}) AS _content FROM _new) AS n LEFT JOIN _known AS k ON {_same(names, 'n', 'k')}"
    )
    connection.register("_new", outcome.clean.reader())
    connection.execute(f"CREATE TABLE _now AS SELECT {keys}, min(_arrived_at) AS arrived FROM ({new}) GROUP BY ALL")
    connection.register("_new", outcome.clean.reader())
    connection.register("_stored", _stored(lake, outcome))
    yield from connection.sql(
        f"{new} UNION ALL BY NAME SELECT s.* FROM _stored AS s"
        f" JOIN _now AS w ON {_same(names, 's', 'w')} AND s._arrived_at < w.arrived"
    ).to_arrow_reader(_ROWS)


def _stored(lake: "Lake", outcome: "Outcome") -> pa.RecordBatchReader | None:
    """The rows of the same batches as the lake has them, in the columns of today."""
    system = pa.schema([field for field in outcome.clean.schema if field.name.startswith("_")])
    return as_of_today(lake, outcome.contract, system, In("_batch_id", list(outcome.mapped.batches)))


def _same(keys: list[str], one: str, other: str) -> str:
    return " AND ".join(f"{one}.{key} IS NOT DISTINCT FROM {other}.{key}" for key in keys)
