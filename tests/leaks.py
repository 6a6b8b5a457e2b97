"""A search for phones in a folder, inside of whatever holds them. It imports nothing of Leadwise.

A number is found in E.164, in its national form, spaced or punctuated, as a whole number, in UTF-16 and in base64.
"""

import gzip
import io
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_BETWEEN = rb"(?:[\s().\-/_+]|\xc2\xa0|%20|%2B|&nbsp;|&#43;){0,3}"
_DEEP = 4
_ALPHABET = bytes(range(65, 91)) + bytes(range(97, 123)) + b"0123456789"
_PLAIN, _SAFE = _ALPHABET + b"+/", _ALPHABET + b"-_"


@dataclass(frozen=True)
class Hit:
    """Where a number was found.

    Attributes:
        path: the file.
        inside: the containers on the way, the innermost last; empty for the file's own bytes.
        number: national digits.
    """

    path: Path
    inside: tuple[str, ...]
    number: str


class Search:
    """Looks for numbers given by country code and national digits."""

    def __init__(self, numbers: Iterable[tuple[str, str]]) -> None:
        forms = []
        for country, national in numbers:
            name = f"n{country}x{national}".encode()
            found = b"|".join(_forms(country, national))
            forms.append(b"(?P<" + name + b">" + found + b")")
        self._pattern = re.compile(b"|".join(forms))

    def folder(self, root: Path) -> list[Hit]:
        """Every hit below `root`, also in files that are hidden."""
        return [hit for path in sorted(root.rglob("*")) if path.is_file() for hit in self.file(path)]

    def file(self, path: Path) -> list[Hit]:
        """Every hit in a file, each container and number once; also in its name."""
        content = path.read_bytes()
        named = self._in(str(path).encode())
        found = {((), number) for number in named} | set(self._bytes(content, path, ()))
        return [Hit(path, inside, number) for inside, number in sorted(found)]

    def _in(self, content: bytes) -> set[str]:
        return {str(match.lastgroup).partition("x")[2] for match in self._pattern.finditer(content)}

    def _bytes(
        self, content: bytes, path: Path | None, inside: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        for number in self._in(content):
            yield inside, number
        if len(inside) < _DEEP:
            for kind, part in _opened(content, path):
                yield from self._bytes(part, None, (*inside, kind))


def _forms(country: str, national: str) -> Iterator[bytes]:
    yield _BETWEEN.join(digit.encode() for digit in national)
    yield re.escape(national.encode("utf-16-le"))
    for text in (f"+{country}{national}", f"{country}{national}", national):
        yield from (_coded(text.encode(), ahead) for ahead in range(3))


def _coded(text: bytes, ahead: int) -> bytes:
    """A pattern of `text` in base64 after `ahead` bytes of anything (mod 3) and before anything.

    A letter stands for six bits; where neighbours take part in one, any letter that fits the known bits is right.
    """
    bits = "?" * 8 * ahead + "".join(f"{byte:08b}" for byte in text)
    bits += "?" * (-len(bits) % 6)
    letters = []
    for start in range(8 * ahead // 6 * 6, len(bits), 6):
        group = bits[start : start + 6]
        fitting = [
            number for number in range(64) if all(a in ("?", b) for a, b in zip(group, f"{number:06b}", strict=True))
        ]
        letters.append(b"[" + re.escape(bytes(letter for n in fitting for letter in (_PLAIN[n], _SAFE[n]))) + b"]")
    return b"".join(letters)


def _opened(content: bytes, path: Path | None) -> Iterator[tuple[str, bytes]]:
    """What is inside of a container, by its first bytes."""
    if content[:2] == b"\x1f\x8b":
        yield "gzip", gzip.decompress(content)
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            for name in opened.namelist():
                yield "zip", name.encode()
                yield "zip", opened.read(name)
    elif content[:16] == b"SQLite format 3\0":
        yield from _sqlite(content, path)
    elif content[:4] == b"PAR1":
        yield from _parquet(content)
    elif content[:4] == b"Obj\x01":
        yield from _avro(content)
    elif content[:6] == b"ARROW1":
        with pa.ipc.open_file(pa.BufferReader(content)) as reader:
            yield "arrow", _cells(reader.read_all())


def _sqlite(content: bytes, path: Path | None) -> Iterator[tuple[str, bytes]]:
    """Each row; with the journals beside the file where it is one."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True) if path else sqlite3.connect(":memory:")
    if path is None:
        connection.deserialize(content)
    connection.text_factory = bytes
    try:
        names = [row[0].decode() for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            for row in connection.execute(f'SELECT * FROM "{name}"'):
                yield "sqlite", b"\n".join(_text(cell) for cell in row)
                # A cell may be a container itself.
                yield from (("sqlite", cell) for cell in row if isinstance(cell, bytes) and len(cell) > 16)
    finally:
        connection.close()


def _parquet(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Every value of every column, the statistics of each chunk, and the metadata."""
    with pq.ParquetFile(pa.BufferReader(content)) as file:
        meta = file.metadata
        told: list[Any] = [meta.metadata, file.schema_arrow.to_string()]
        for group in range(meta.num_row_groups):
            for column in range(meta.num_columns):
                chunk = meta.row_group(group).column(column)
                if chunk.is_stats_set and chunk.statistics.has_min_max:
                    told += [chunk.statistics.min, chunk.statistics.max]
            yield "parquet", _cells(file.read_row_group(group))
        yield "statistics", b"\n".join(map(_text, told))


def _cells(table: pa.Table) -> bytes:
    return b"\n".join(_text(cell) for column in table.columns for cell in column.to_pylist())


def _text(cell: Any) -> bytes:
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell)).encode()
    return str(cell).encode()


def _avro(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The blocks of a container file: https://avro.apache.org/docs/1.12.0/specification/#object-container-files."""
    stream = io.BytesIO(content[4:])
    meta: dict[str, bytes] = {}
    while count := _long(stream):
        if count < 0:
            _long(stream)
        for _ in range(abs(count)):
            name = stream.read(_long(stream)).decode()
            meta[name] = stream.read(_long(stream))
    sync = stream.read(16)
    codec = meta.get("avro.codec", b"null")
    while stream.tell() < len(content) - 4:
        _long(stream)
        block = stream.read(_long(stream))
        if codec == b"deflate":
            block = zlib.decompress(block, -15)
        elif codec not in (b"null", b""):
            raise ValueError(f"an Avro codec this search can't read: {codec!r}")
        yield "avro", block
        assert stream.read(16) == sync


def _long(stream: io.BytesIO) -> int:
    shift = value = 0
    while True:
        byte = stream.read(1)[0]
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1)
