"""Whether instants that are computed again give the rows that they gave before."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import duckdb
import pyarrow as pa
from pyiceberg.expressions import BooleanExpression

from feature_repo.definitions import View
from pipelines.features.history import AS_OF, Span, older_rows, table_of
from pipelines.lake.catalog import Lake
from pipelines.lake.fields import columns_of


def differing(
    lake: Lake,
    view: View,
    rows: pa.ipc.RecordBatchFileReader,
    span: BooleanExpression,
    before: Sequence[Span],
    instants: Sequence[datetime],
) -> int:
    """Count the rows that are not what they were: of entity and instant, only before, only now, or with other values.

    Sums of hashes are compared first, in flat memory; only where they differ are rows put side by side.

    Args:
        lake: of the tenant.
        view: by whose definition of today both were computed; rows of another one are not looked at.
        rows: what was computed now.
        span: the stored rows that are replaced.
        before: stretches of instants that had been computed.
        instants: what was computed now, in order.
    """
    again = [one for one in instants if any(first <= one <= last for first, last in before)]
    table = lake.table(table_of(view))
    if table is None or not again or not set(view.schema.names) <= set(columns_of(table)):
        return 0
    if older_rows(lake, view, span):
        return 0  # another definition gives other rows
    names = [view.entity, AS_OF, *(field.name for field in view.features)]
    with (
        tempfile.TemporaryDirectory(prefix="leadwise-differing-") as folder,
        duckdb.connect(config={"threads": lake.tenant.settings.threads, "temp_directory": folder}) as connection,
    ):
        connection.register("_again", pa.table({AS_OF: pa.array(again, pa.timestamp("us"))}))
        within = f"SELECT {_list(names)} FROM {{0}} WHERE {AS_OF} IN (SELECT {AS_OF} FROM _again)"
        sums = f"SELECT count(*), sum(hash({_list(names)})) FROM ({within})"
        sides: dict[str, Callable[[], pa.RecordBatchReader]] = {
            "old": lambda: lake.scan(table_of(view), columns=names, where=span),
            "new": lambda: _reader(rows),
        }
        if len({_asked(connection, side(), sums) for side in sides.values()}) == 1:
            return 0
        for name, side in sides.items():
            connection.register("_side", side())
            connection.execute(f'CREATE TABLE "{name}" AS {within.format("_side")}')
            connection.unregister("_side")
        unlike = " OR ".join(f'o."{name}" IS DISTINCT FROM n."{name}"' for name in names)
        on = f'o."{view.entity}" = n."{view.entity}" AND o.{AS_OF} = n.{AS_OF}'
        counted = f"SELECT count(*) FROM old AS o FULL JOIN new AS n ON {on} WHERE {unlike}"
        return int(connection.execute(counted).fetchall()[0][0])


def _asked(connection: duckdb.DuckDBPyConnection, side: pa.RecordBatchReader, sql: str) -> tuple[int, int | None]:
    connection.register("_side", side)
    count, total = connection.execute(sql.format("_side")).fetchall()[0]
    connection.unregister("_side")
    return int(count), total


def _reader(rows: pa.ipc.RecordBatchFileReader) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(rows.num_record_batches):
            yield rows.get_batch(number)

    return pa.RecordBatchReader.from_batches(rows.schema, batches())


def _list(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
