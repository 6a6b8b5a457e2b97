"""The types in which raw keeps the columns of typed sources."""

from typing import Any

import pyarrow as pa

from pipelines.core.errors import SourceError


def stored_type(kind: pa.DataType) -> pa.DataType:
    """The type in which raw keeps a Parquet column: the widest of its kind; times are naive UTC microseconds."""
    if pa.types.is_dictionary(kind):
        return stored_type(kind.value_type)
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us")
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return kind
    return pa.string()


def fit(table: pa.Table, schema: pa.Schema, called: str) -> pa.Table:
    """`table` with the columns of `schema`, in its order and types.

    Args:
        table: rows as they were read.
        schema: of the raw table.
        called: where the rows come from, for a sentence.

    Raises:
        SourceError: a column holds values that its type does not; never the values.
    """
    columns: list[Any] = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table[field.name]
        if pa.types.is_timestamp(column.type) and column.type.tz:
            column = column.cast(pa.timestamp(column.type.unit, "UTC")).cast(pa.timestamp(column.type.unit))
        cut = pa.types.is_timestamp(column.type) and pa.types.is_timestamp(field.type)  # nanoseconds lose digits
        try:
            columns.append(column.cast(field.type, safe=not cut))
        except pa.ArrowException:
            raise _misfit(called, field, column.type) from None
    return pa.Table.from_arrays(columns, schema=schema)


def _misfit(called: str, field: pa.Field, kind: pa.DataType) -> SourceError:
    if pa.types.is_floating(kind) and pa.types.is_integer(field.type):
        return SourceError(
            f"{called}: column '{field.name}' holds numbers with a fraction ({kind}) and was stored as whole numbers"
            f" ({field.type}) so far: export it as whole numbers, or under another name"
        )
    return SourceError(
        f"{called}: column '{field.name}' holds values of type {kind} that do not fit the stored type {field.type}:"
        " export it with that type, or under another name"
    )
