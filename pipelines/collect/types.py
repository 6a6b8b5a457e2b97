"""The types in which raw keeps the columns of typed sources."""

from typing import Any

import pyarrow as pa


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


def fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with the columns of `schema`, in its order and types."""
    columns: list[Any] = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table[field.name]
        if pa.types.is_timestamp(column.type) and column.type.tz:
            column = column.cast(pa.timestamp(column.type.unit, "UTC")).cast(pa.timestamp(column.type.unit))
        cut = pa.types.is_timestamp(column.type) and pa.types.is_timestamp(field.type)  # nanoseconds lose digits
        columns.append(column.cast(field.type, safe=not cut))
    return pa.Table.from_arrays(columns, schema=schema)
