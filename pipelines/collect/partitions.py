"""Folders that are named `key=value`, as Hive and Spark write them: their keys become columns."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from pipelines.collect.files import SourceFile
from pipelines.core.errors import SourceError

_EMPTY = "__HIVE_DEFAULT_PARTITION__"
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Key:
    """A column that a folder gives all rows of its files."""

    name: str
    value: Any
    type: pa.DataType


def with_keys(name: str, files: Sequence[SourceFile], fixed: str, stored: pa.Schema | None) -> list[SourceFile]:
    """The files of source `name` with the keys of their folders.

    A key of typed files is a whole number or a day where all its values are, else text; a type that raw has already
    stays. In files of text all keys are text.

    Args:
        name: of the source.
        files: found for it.
        fixed: the part of the path that is the same for all files and has no keys.
        stored: own columns of the raw table so far.

    Raises:
        SourceError: a file lies in no such folder.
    """
    texts: dict[SourceFile, dict[str, str | None]] = {}
    for file in files:
        texts[file] = dict(_keys(file.name.removeprefix(fixed)))
        if not texts[file]:
            raise SourceError(
                f"source '{name}': {file.name} lies in no folder named key=value, as partitioned asks for:"
                " move it there, or leave partitioned out"
            )
    values: dict[str, list[str | None]] = {}
    for found in texts.values():
        for key, text in found.items():
            values.setdefault(key, []).append(text)
    types = _types(values, stored, all(file.typed for file in files))
    return [
        replace(file, keys=tuple(Key(key, _read(text, types[key]), types[key]) for key, text in texts[file].items()))
        for file in files
    ]


def _keys(path: str) -> Iterable[tuple[str, str | None]]:
    for part in path.split("/")[:-1]:
        key, sign, text = part.partition("=")
        if sign and key:
            yield unquote(key), None if text == _EMPTY else unquote(text)


def _types(values: Mapping[str, Sequence[str | None]], stored: pa.Schema | None, typed: bool) -> dict[str, pa.DataType]:
    found: dict[str, pa.DataType] = {}
    for key, texts in values.items():
        held = stored.field(key).type if stored is not None and key in stored.names else None
        if not typed or (held is not None and pa.types.is_string(held)):
            found[key] = pa.string()
            continue
        told = [text for text in texts if text is not None]
        if told and all(_WHOLE.fullmatch(text) for text in told):
            found[key] = pa.int64()
        elif told and all(_is_day(text) for text in told):
            found[key] = pa.date32()
        else:
            found[key] = pa.string() if told or held is None else held
    return found


def _is_day(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _read(text: str | None, kind: pa.DataType) -> Any:
    if text is None or pa.types.is_string(kind):
        return text
    return int(text) if pa.types.is_int64(kind) else date.fromisoformat(text)
