"""The types in which raw keeps the columns of typed sources."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.core.errors import SourceError

WIDER = {
    (pa.int64(), pa.float64()): pa.float64(),
    (pa.date32(), pa.timestamp("us")): pa.timestamp("us"),
}
"""The type that holds the values of two."""


class Wider(SourceError):
    """Values that the stored type of their column does not hold, and a wider one of its kind does.

    Attributes:
        column: its name.
        type: the wider type.
    """

    def __init__(self, sentence: str, column: str, kind: pa.DataType) -> None:
        super().__init__(sentence)
        self.column, self.type = column, kind


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
        Wider: a column holds values that its type does not, and a wider one would.
        SourceError: no type of that kind holds them. The sentences never show values.
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
        if pa.types.is_date(field.type) and pa.types.is_timestamp(column.type) and not _whole_days(column):
            raise _misfit(called, field, column.type)  # Arrow would cut the hours off
    return pa.Table.from_arrays(columns, schema=schema)


def _whole_days(times: pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.equal(times.cast(pa.date32()).cast(times.type), times)).as_py() in (True, None))


def _misfit(called: str, field: pa.Field, kind: pa.DataType) -> SourceError:
    sentence = (
        f"{called}: column '{field.name}' holds values of type {kind} that do not fit the stored type {field.type}:"
        " export it with that type, or under another name"
    )
    wider = WIDER.get((field.type, stored_type(kind)))
    return SourceError(sentence) if wider is None else Wider(sentence, field.name, wider)
