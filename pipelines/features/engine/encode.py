"""Arrow columns as Feast's online stores hold them: bytes of its messages and keys, without making the messages."""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

BOOL, DOUBLE, INT64, STRING, TIME = pa.bool_(), pa.float64(), pa.int64(), pa.string(), pa.timestamp("us")
KINDS = (BOOL, DOUBLE, INT64, STRING, TIME)
"""What is encoded here: Feast's Bool, Float64, Int64, String and UnixTimestamp."""

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


@dataclass(frozen=True)
class Encoded:
    """A column, each distinct value encoded once.

    Attributes:
        codes: position of each row's value.
        values: messages of the distinct values, the missing one last.
        texts: what SQL stores keep beside the message, None where they keep nothing.
    """

    codes: npt.NDArray[np.int64]
    values: list[bytes]
    texts: list[str | None]

    def column(self, distinct: list[_One]) -> list[_One]:
        """`distinct`, which goes with the distinct values, for every row."""
        held = np.empty(len(distinct), object)
        held[:] = distinct
        spread: list[_One] = held[self.codes].tolist()
        return spread


def encode(column: pa.ChunkedArray, kind: pa.DataType) -> Encoded:
    """Encode a column as Feast does.

    Args:
        column: of type `kind`.
        kind: one of `KINDS`. A time loses what is below a second, as in Feast; NaN is missing, as in Feast.
    """
    values = _storage(column.combine_chunks(), kind)
    encoded = values.dictionary_encode()
    codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    distinct = encoded.dictionary
    missing = _varints(_TAGS[TIME], np.array([_NO_TIME]))[0] if kind == TIME else b""
    return Encoded(codes, [*_messages(distinct, kind), missing], [*_texts(distinct, kind), None])


def _storage(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Values in the form whose equality is that of their messages: 0.0 and -0.0 are two."""
    if kind == DOUBLE:
        return pc.if_else(pc.is_nan(values), None, values).view(pa.int64())
    if kind == TIME:
        return pc.floor_temporal(values, unit="second").cast(pa.timestamp("s")).cast(pa.int64())
    return values


def _messages(distinct: pa.Array, kind: pa.DataType) -> list[bytes]:
    if kind == STRING:
        return [_text_message(text.encode()) for text in distinct.to_pylist()]
    numbers = distinct.cast(pa.int64()).to_numpy(zero_copy_only=False)
    if kind != DOUBLE:
        return _varints(_TAGS[kind], numbers)
    bytes_ = np.empty((len(numbers), 9), np.uint8)
    bytes_[:, 0] = _TAGS[DOUBLE]
    bytes_[:, 1:] = numbers.astype("<i8").view(np.uint8).reshape(-1, 8)
    return _rows(bytes_)


def _texts(distinct: pa.Array, kind: pa.DataType) -> list[str | None]:
    if kind == DOUBLE:
        return list(map(repr, distinct.view(pa.float64()).to_pylist()))
    if kind == TIME:
        return [None] * len(distinct)
    return list(map(str, distinct.to_pylist()))


def _text_message(text: bytes) -> bytes:
    return bytes([_TAGS[STRING]]) + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    """A number from 0 on as protobuf writes it."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _varints(tag: int, numbers: npt.NDArray[np.int64]) -> list[bytes]:
    """Messages of one field with numbers as varints: one to ten bytes, negative ones ten."""
    unsigned = numbers.astype(np.int64).view(np.uint64)
    bytes_ = np.empty((len(numbers), 11), np.uint8)
    bytes_[:, 0] = tag
    lengths = np.ones(len(numbers), np.int64)
    for place in range(10):
        rest = unsigned >> np.uint64(7 * place)
        bytes_[:, 1 + place] = (rest & np.uint64(127)) | np.uint64(128)
        if place:
            lengths += rest != 0
    bytes_[np.arange(len(numbers)), lengths] &= 127  # the last byte says that no other follows
    messages = np.empty(len(numbers), object)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        messages[rows] = _rows(bytes_[rows, : 1 + length])
    found: list[bytes] = messages.tolist()
    return found


def _rows(bytes_: npt.NDArray[np.uint8]) -> list[bytes]:
    """Each row of a matrix as bytes. Void, not numpy's `S`, which drops zeros at the end."""
    if not len(bytes_):
        return []
    rows: list[bytes] = np.ascontiguousarray(bytes_).view(f"V{bytes_.shape[1]}").ravel().tolist()
    return rows


def key_head(entity: str) -> bytes:
    """How every key of an entity begins (Feast's serialization, version 3): the name of the join key."""
    name = entity.encode()
    return struct.pack("<III", 1, _KEY_TYPES[STRING], len(name)) + name


def keys(entity: str, column: pa.ChunkedArray) -> list[bytes]:
    """The key of each row.

    Args:
        entity: name of the join key.
        column: its values, texts or 64-bit integers, none missing.
    """
    head = key_head(entity) + struct.pack("<I", _KEY_TYPES[column.type])
    if column.type == INT64:
        head += struct.pack("<I", 8)
        return [head + struct.pack("<q", key) for key in column.to_pylist()]
    texts = [key.encode() for key in column.to_pylist()]
    return [head + struct.pack("<I", len(text)) + text for text in texts]


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
