"""Rows of an Iceberg table as a stream: one data file after the other, in flat memory."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyiceberg.expressions import BooleanExpression
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table import ALWAYS_TRUE, DataScan, Table

from pipelines.core.stores import sentences
from pipelines.lake.fields import plain


def stream(
    table: Table,
    *,
    columns: Sequence[str] | None = None,
    where: BooleanExpression | str | None = None,
) -> pa.RecordBatchReader:
    """`Lake.scan` of the newest version of a table that is at hand."""
    return streamed(table, planned(table, columns, where))


def planned(
    table: Table,
    columns: Sequence[str] | None,
    where: BooleanExpression | str | None,
    snapshot_id: int | None = None,
) -> DataScan:
    """Which files and columns of a table to read; see `Lake.scan`."""
    return table.scan(
        row_filter=ALWAYS_TRUE if where is None else where,
        selected_fields=tuple(columns) if columns else ("*",),
        snapshot_id=snapshot_id,
    )


def streamed(table: Table, scan: DataScan) -> pa.RecordBatchReader:
    """The rows of a scan, file after file."""
    return _plain_reader(scan.projection().as_arrow(), by_file(table, scan))


def by_file(table: Table, scan: DataScan) -> Iterator[pa.RecordBatch]:
    """Read one data file after the other: asked for all, PyIceberg reads ahead to the last of them."""
    arrow = ArrowScan(table.metadata, table.io, scan.projection(), scan.row_filter)
    with sentences(f"table {'.'.join(table.name())} of tenant '{table.catalog.name}'", table.location()):
        for task in scan.plan_files():
            yield from arrow.to_record_batches([task])


def _plain_reader(full: pa.Schema, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatchReader:
    schema = pa.schema([pa.field(field.name, plain(field.type)) for field in full])
    return pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in batches))
