"""The words contracts may add to ODCS as `customProperties`, and where each may stand."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pipelines.core.errors import ContractError, nearest

_DURATION = re.compile(
    r"P(?!$)(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?!$)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Word:
    """One word of the vocabulary.

    Attributes:
        kind: what its value is: `flag` (true), `name` (an identifier), `value` (a text) or `duration` (ISO 8601).
        types: logical types of the columns it may describe; empty allows all.
        meaning: one line for people.
    """

    kind: str
    types: tuple[str, ...]
    meaning: str


WORDS: Mapping[str, Word] = {
    "entity": Word("name", ("string", "integer"), "the column identifies this entity"),
    "event_time": Word("flag", ("timestamp", "date"), "when the row's event happened"),
    "arrived_at": Word("flag", ("timestamp",), "when the row arrived; on a table: how long after the event"),
    "known_after": Word("duration", (), "how long after the event the value becomes known"),
    "consent": Word("flag", ("boolean",), "whether the entity agreed to be contacted"),
    "opt_out": Word("value", ("string",), "the value that says the entity wants no more messages"),
    "unreachable": Word("value", ("string",), "the value that says the entity can receive no message"),
    "phone": Word("flag", ("string",), "a phone number, stored as E.164"),
    "segment": Word("flag", (), "a group worth comparing"),
    "timezone": Word("flag", ("string",), "the IANA time zone of the entity"),
}
"""Words a column may carry."""

TABLE_WORDS: Mapping[str, Word] = {
    "arrived_at": Word("duration", (), "rows arrive this long after their event"),
    "message": Word("flag", (), "each row is a message that was sent to the entity"),
}
"""Words a table may carry."""


def parse_duration(text: str) -> timedelta | None:
    """Read an ISO 8601 duration of weeks, days, hours, minutes and seconds such as P1D; None when it is not one."""
    match = _DURATION.fullmatch(text)
    return timedelta(**{unit: int(n) for unit, n in match.groupdict().items() if n}) if match else None


def read_words(where: str, custom: list[Any] | None, known: Mapping[str, Word], logical: str = "") -> dict[str, Any]:
    """Check the custom properties of one table or column.

    Args:
        where: the start of an error's sentence: file and column.
        custom: the library's CustomProperty objects.
        known: the words that may stand here.
        logical: logical type of the column.

    Returns:
        Value by word; durations as timedelta.

    Raises:
        ContractError: an unknown word (with the nearest right one), a repeated one, or a value it can't have.
    """
    found: dict[str, Any] = {}
    for item in custom or []:
        name = str(item.property)
        if name not in known:
            raise ContractError(f"{where}: unknown customProperty '{name}': {_advice(name, known)}")
        if name in found:
            raise ContractError(f"{where}: customProperty '{name}' stands twice: keep one of them")
        word = known[name]
        if word.types and logical not in word.types:
            raise ContractError(
                f"{where}: customProperty '{name}' needs logicalType {' or '.join(word.types)}, not {logical}"
            )
        found[name] = _value(where, name, word.kind, item.value)
    return found


def _advice(name: str, known: Mapping[str, Word]) -> str:
    if name in WORDS:
        return "it belongs to a column, not to the table"
    return nearest(name, known)


def _value(where: str, name: str, kind: str, value: Any) -> Any:
    if kind == "flag" and isinstance(value, bool):
        return value
    if kind == "value" and isinstance(value, str) and value:
        return value
    if kind == "name" and isinstance(value, str) and _IDENTIFIER.fullmatch(value):
        return value
    if kind == "duration" and isinstance(value, str) and (duration := parse_duration(value)) is not None:
        return duration
    needs = {
        "flag": "true or false",
        "value": "a text, quoted",
        "name": "a name of lower-case letters, digits and _",
        "duration": "an ISO 8601 duration such as P1D or PT2H",
    }[kind]
    raise ContractError(f"{where}: customProperty '{name}' is {value!r}: it needs {needs}")
