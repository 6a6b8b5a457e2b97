"""Feature rows as the online store holds them: one SQLite row per entity and feature, in Feast's encoding."""

import struct
from collections.abc import Iterable, Iterator
from itertools import chain, cycle, repeat
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.definitions import View

ROWS = 5_000
"""Entities handed to the online store at once: a transaction each."""

_FIELDS = {
    pa.bool_(): "bool_val",
    pa.float64(): "double_val",
    pa.int64(): "int64_val",
    pa.string(): "string_val",
    pa.timestamp("us"): "unix_timestamp_val",
}

_One = TypeVar("_One")
Row = tuple[bytes, str, bytes, str | None, int]


def online_rows(view: View, newest: pa.Table, as_of: str) -> Iterator[tuple[int, Iterator[Row]]]:
    """Parts of a table for the online store.

    Args:
        view: whose rows.
        newest: one row per entity.
        as_of: the column with the time of a row, naive UTC.

    Yields:
        Number of entities, and for each of their features (entity key, feature name, value, text, event time), in the
        order of the online store's key: appending is what SQLite does fastest.
    """
    features = sorted(view.features, key=lambda field: field.name)
    names = [field.name for field in features]
    for start in range(0, newest.num_rows, ROWS):
        table = newest.slice(start, ROWS)
        pairs = [_values(table.column(field.name), field.type) for field in features]
        values = chain.from_iterable(zip(*(pair[0] for pair in pairs), strict=True))
        texts = chain.from_iterable(zip(*(pair[1] for pair in pairs), strict=True))
        keys = _each(_keys(view.entity, table.column(view.entity)), len(names))
        stamps = _each(_stamps(table.column(as_of)), len(names))
        # Names go round without end: the columns of the values say when the part is over.
        yield table.num_rows, zip(keys, cycle(names), values, texts, stamps, strict=False)


def _each(values: Iterable[_One], times: int) -> Iterator[_One]:
    """Every value so many times over."""
    return chain.from_iterable(repeat(value, times) for value in values)


def _stamps(column: pa.ChunkedArray) -> list[int]:
    """Times as Feast's SQLite adapter writes them, asked once for equal ones."""
    from feast.infra.online_stores.sqlite import adapt_datetime_epoch

    encoded = column.combine_chunks().dictionary_encode()
    known = [adapt_datetime_epoch(stamp) for stamp in encoded.dictionary.to_pylist()]
    return [known[code] for code in encoded.indices.to_pylist()]


def _keys(entity: str, column: pa.ChunkedArray) -> list[bytes]:
    """Entity keys as Feast serialises them (version 3), without a message for each."""
    from feast.infra.key_encoding_utils import serialize_entity_key_prefix
    from feast.protos.feast.types.Value_pb2 import ValueType

    prefix = serialize_entity_key_prefix([entity], entity_key_serialization_version=3)
    if column.type == pa.int64():
        head = prefix + struct.pack("<II", ValueType.INT64, 8)
        return [head + struct.pack("<q", key) for key in column.to_pylist()]
    head = prefix + struct.pack("<I", ValueType.STRING)
    texts = [key.encode() for key in column.to_pylist()]
    return [head + struct.pack("<I", len(text)) + text for text in texts]


def _values(column: pa.ChunkedArray, kind: pa.DataType) -> tuple[list[bytes], list[str | None]]:
    """A column as Feast's messages and texts, each distinct value serialised once; missing ones as Feast has them."""
    from feast.infra.online_stores.helpers import extract_text_and_num
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.type_map import NULL_TIMESTAMP_INT_VALUE

    is_time = kind == pa.timestamp("us")
    if is_time:
        column = pc.floor_temporal(column, unit="second").cast(pa.timestamp("s")).cast(pa.int64())
    encoded = column.combine_chunks().dictionary_encode()
    messages = [Value(**{_FIELDS[kind]: value}) for value in encoded.dictionary.to_pylist()]
    messages.append(Value(unix_timestamp_val=NULL_TIMESTAMP_INT_VALUE) if is_time else Value())
    values = [message.SerializeToString() for message in messages]
    texts = [extract_text_and_num(message, False)[0] for message in messages]
    codes = encoded.indices.fill_null(len(messages) - 1).to_pylist()
    return [values[code] for code in codes], [texts[code] for code in codes]
