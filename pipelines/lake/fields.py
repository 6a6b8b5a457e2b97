"""Columns of an Iceberg table under other names and types, and giving the table others."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.table import Table, Transaction


def plain(kind: pa.DataType) -> pa.DataType:
    """Iceberg hands out large strings and binaries where plain ones went in."""
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    return kind


def columns_of(table: Table | Transaction) -> dict[str, pa.DataType]:
    """The columns of a table as they are, by name, in Arrow's plain types."""
    metadata = table.metadata if isinstance(table, Table) else table.table_metadata
    return {field.name: plain(field.type) for field in metadata.schema().as_arrow()}


def refit(transaction: Transaction, schema: pa.Schema) -> None:
    """Give the table the columns of `schema` and no others; its rows have to be replaced in the same transaction."""
    stored = columns_of(transaction)
    wanted = {field.name: plain(field.type) for field in schema}
    kept = {name for name, kind in wanted.items() if stored.get(name) == kind}
    if stored != wanted:
        fresh = {name: kind for name, kind in wanted.items() if name not in kept}
        reshape(transaction, [name for name in stored if name not in kept], fresh)


def reshape(transaction: Transaction, gone: Iterable[str], fresh: Mapping[str, pa.DataType]) -> None:
    """Drop and add columns; one of another type is another column to Iceberg, of the same name."""
    with transaction.update_schema(allow_incompatible_changes=True) as update:
        for name in gone:
            update.delete_column(name)
    with transaction.update_schema() as update:
        update.union_by_name(pa.schema(list(fresh.items())))


@dataclass(frozen=True)
class Fitted:
    """Columns of today, as a table has them.

    Attributes:
        schema: of today.
        names: of each column, its name in the table; None where it has none yet.
    """

    schema: pa.Schema
    names: tuple[str | None, ...]

    def read(self, rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """The rows under the names and types of today."""
        if rows.schema.names == self.schema.names and rows.schema.types == self.schema.types:
            return rows
        return pa.RecordBatchReader.from_batches(self.schema, (self._fitted(batch) for batch in rows))

    def _fitted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        arrays = [
            pa.nulls(batch.num_rows, field.type) if name is None else batch.column(name).cast(field.type)
            for field, name in zip(self.schema, self.names, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)
