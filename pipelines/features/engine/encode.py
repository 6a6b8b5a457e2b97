"""Arrow columns as Feast's online stores hold them: bytes of its messages and keys, without making the messages."""

import struct
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

BOOL, DOUBLE, INT64, STRING, TIME = pa.bool_(), pa.float64(), pa.int64(), pa.string(), pa.timestamp("us")
KINDS = (BOOL, DOUBLE, INT64, STRING, TIME)
"""What is encoded here: Feast's Bool, Float64, Int64, String and UnixTimestamp."""

BYTES = pa.large_binary()
"""Type of encoded columns: the bytes of all rows lie in one buffer, end to end."""

# First byte of a message with this one field: its number in Feast's `Value`, and how protobuf writes it.
_BYTES, _VARINT, _FIXED64 = 2, 0, 1
_TAGS = {
    STRING: 2 << 3 | _BYTES,
    INT64: 4 << 3 | _VARINT,
    DOUBLE: 5 << 3 | _FIXED64,
    BOOL: 7 << 3 | _VARINT,
    TIME: 8 << 3 | _VARINT,
}
_NO_TIME = np.iinfo(np.int64).min
"""Seconds that Feast writes for a missing time; other missing values are empty messages."""

_KEY_TYPES = {STRING: 2, INT64: 4}

_One = TypeVar("_One")


def messages(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """A column as Feast's messages, of type `BYTES`, none missing.

    Args:
        column: of type `kind`.
        kind: one of `KINDS`. A time loses what is below a second, as in Feast; NaN is missing, as in Feast.
    """
    values = _values(column, kind)
    there = values.is_valid().to_numpy(zero_copy_only=False)
    if kind == STRING:
        heads = _varints(_TAGS[STRING], pc.binary_length(values).fill_null(0).to_numpy(), there)
        return join(heads, values.cast(BYTES).fill_null(b""))
    if kind == DOUBLE:
        bytes_ = np.empty((len(values), 9), np.uint8)
        bytes_[:, 0] = _TAGS[DOUBLE]
        bytes_[:, 1:] = values.fill_null(0.0).to_numpy().astype("<f8").view(np.uint8).reshape(-1, 8)
        return _ragged(bytes_, np.where(there, 9, 0))
    if kind == TIME:
        return _varints(_TAGS[TIME], values.cast(pa.int64()).fill_null(_NO_TIME).to_numpy())
    return _varints(_TAGS[kind], values.cast(pa.int64()).fill_null(0).to_numpy(), there)


def texts(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """What SQL stores keep beside the message of each row; null for what is missing, and for times.

    Args:
        column: of type `kind`.
        kind: one of `KINDS`.
    """
    values = _values(column, kind)
    if kind == TIME:
        return pa.nulls(len(values), STRING)
    if kind == BOOL:
        return pc.if_else(values, "True", "False")
    return _float_texts(values) if kind == DOUBLE else values.cast(STRING)


def _values(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """What is encoded of a column: NaN is missing, and a time has whole seconds."""
    values = column.combine_chunks()
    if kind == DOUBLE:
        return pc.if_else(pc.is_nan(values), None, values)
    return pc.floor_temporal(values, unit="second").cast(pa.timestamp("s")) if kind == TIME else values


def _float_texts(values: pa.Array) -> pa.Array:
    """Floats as Python writes them. Arrow writes the same digits, and a power of ten or a `.0` at other times."""
    size = pc.abs(values)
    plain = values.cast(STRING)
    whole = pc.binary_join_element_wise(plain, ".0", "")
    found = pc.if_else(pc.equal(values, pc.floor(values)), whole, plain)
    odd = pc.or_(pc.greater_equal(size, 1e9), pc.and_(pc.less(size, 1e-3), pc.greater(size, 0.0))).fill_null(False)
    return pc.replace_with_mask(found, odd, pa.array(map(repr, values.filter(odd).to_pylist()), STRING))


def join(*parts: pa.Array | bytes) -> pa.Array:
    """Columns of type `BYTES`, and bytes that are the same in each row, side by side: one column of that type."""
    typed = [pa.scalar(one, BYTES) if isinstance(one, bytes) else one for one in (*parts, b"")]
    return pc.binary_join_element_wise(*typed)


def flat(column: pa.Array) -> memoryview:
    """The bytes of a column of type `BYTES`, end to end."""
    _, ends, kept = column.buffers()
    first, last = np.frombuffer(ends, np.int64)[[column.offset, column.offset + len(column)]]
    return memoryview(kept)[first:last]


def _varints(tag: int, numbers: npt.NDArray[np.int64], there: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Messages of one field with numbers as protobuf writes them, one to ten bytes, negative ones ten.

    Args:
        tag: the first byte.
        numbers: of any integer type.
        there: where a message is not empty; everywhere by default.
    """
    rest = numbers.astype(np.int64).view(np.uint64)
    columns = [np.full(len(rest), tag, np.uint8)]
    lengths = np.ones(len(rest), np.int64)
    while len(columns) == 1 or rest.any():
        lengths += (rest != 0) | (len(columns) == 1)
        columns.append((rest & np.uint64(127) | np.uint64(128)).astype(np.uint8))
        rest = rest >> np.uint64(7)
    bytes_ = np.stack(columns, axis=1)
    bytes_[np.arange(len(lengths)), lengths - 1] &= 127  # the last byte says that no other follows
    return _ragged(bytes_, lengths if there is None else np.where(there, lengths, 0))


def _ragged(bytes_: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> pa.Array:
    """The first so many bytes of each row of a matrix, of type `BYTES`."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    kept = bytes_[np.arange(bytes_.shape[1]) < lengths[:, None]]
    return pa.Array.from_buffers(BYTES, len(lengths), [None, pa.py_buffer(ends), pa.py_buffer(kept)])


def key_head(entity: str) -> bytes:
    """How every key of an entity begins (Feast's serialization, version 3): the name of the join key."""
    name = entity.encode()
    return struct.pack("<III", 1, _KEY_TYPES[STRING], len(name)) + name


def keys(entity: str, column: pa.ChunkedArray | pa.Array, tail: bytes = b"") -> pa.Array:
    """The key of each row, of type `BYTES`.

    Args:
        entity: name of the join key.
        column: its values, texts or 64-bit integers, none missing.
        tail: what follows in each key.
    """
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    head = key_head(entity) + struct.pack("<I", _KEY_TYPES[values.type])
    if values.type == INT64:
        return join(head + struct.pack("<I", 8), _fixed(values), tail)
    return join(head, _fixed(pc.binary_length(values)), values.cast(BYTES), tail)


def _fixed(numbers: pa.Array) -> pa.Array:
    """Integers in little-endian bytes, of type `BYTES`."""
    wide = numbers.to_numpy()
    bytes_ = wide.astype(wide.dtype.newbyteorder("<")).view(np.uint8).reshape(-1, wide.itemsize)
    return _ragged(bytes_, np.full(len(bytes_), wide.itemsize))


def unpack_keys(entity: str, found: Iterable[bytes], tail: bytes = b"") -> list[str | int]:
    """The entities of those keys that are of this entity and end in `tail`, in their order."""
    head = key_head(entity)
    start = len(head) + 8
    entities: list[str | int] = []
    for key in found:
        if not key.startswith(head) or len(key) < start:
            continue
        kind, length = struct.unpack_from("<II", key, len(head))
        if key[start + length :] == tail:
            value = key[start : start + length]
            entities.append(value.decode() if kind == _KEY_TYPES[STRING] else struct.unpack("<q", value)[0])
    return entities


def key_tail(key: bytes) -> bytes:
    """What follows the entity in a key, whichever entity it is of; nothing where it is no such key."""
    if len(key) < 12:
        return b""
    entity = key[12 : 12 + struct.unpack_from("<I", key, 8)[0]].decode(errors="replace")
    start = len(head := key_head(entity)) + 8
    if not key.startswith(head) or len(key) < start:
        return b""
    return key[start + struct.unpack_from("<I", key, start - 4)[0] :]


def stamps(column: pa.ChunkedArray, encode_one: Callable[[datetime], _One]) -> list[_One]:
    """Times as `encode_one` writes them, asked once for equal ones."""
    encoded = column.combine_chunks().dictionary_encode()
    known = [encode_one(stamp) for stamp in encoded.dictionary.to_pylist()]
    return [known[code] for code in encoded.indices.to_pylist()]
