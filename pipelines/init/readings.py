"""What a column of text may be: an ordered list of readings, each with the SQL that tries it on a cell."""

import re
from dataclasses import dataclass

_ISO_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_ISO_TIME = _ISO_DAY + r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?( ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?))?"
_MOMENT = "TRY_CAST(TRY_CAST({0} AS TIMESTAMPTZ) AS TIMESTAMP)"


@dataclass(frozen=True)
class Reading:
    """A way to understand the cells of a column.

    Attributes:
        name: what people are told.
        type: logical type of the contract.
        test: SQL that gives the value of a cell `{0}`, or NULL where it is none of these.
        mapped: SQL for the mapping, that leaves a cell it can't read as it is, so that the gate can show it; None
            where the gate reads the text by itself.
        sure: how sure one can be, in per cent, when every cell fits.
    """

    name: str
    type: str
    test: str
    mapped: str | None = None
    sure: int = 100


def _moment(name: str, pattern: str, formats: tuple[str, ...], sure: int = 95) -> Reading:
    listed = "[" + ", ".join(f"'{one}'" for one in formats) + "]"
    parsed = f"try_strptime({{0}}, {listed})"
    test = f"CASE WHEN regexp_full_match({{0}}, '{pattern}') THEN {parsed} END"
    return Reading(name, "timestamp", test, f"coalesce({parsed}::varchar, {{0}})", sure)


def _dotted(order: str, mark: str) -> tuple[str, ...]:
    day = mark.join(f"%{part}" for part in order)
    return (f"{day} %H:%M:%S", f"{day} %H:%M", day)


_EPOCH = "CASE WHEN regexp_full_match({0}, '[0-9]{{10}}') THEN make_timestamp({0}::bigint * 1000000) END"
_EPOCH_MS = "CASE WHEN regexp_full_match({0}, '[0-9]{{13}}') THEN make_timestamp({0}::bigint * 1000) END"
_CLOCK = r"( [0-9]{{1,2}}:[0-9]{{2}}(:[0-9]{{2}})?)?"


def _braced(pattern: str) -> str:
    """A regular expression inside a format string."""
    return pattern.replace("{", "{{").replace("}", "}}")


BOOLEAN = Reading(
    "yes or no",
    "boolean",
    "CASE lower(trim({0})) WHEN 'true' THEN true WHEN 't' THEN true WHEN 'yes' THEN true WHEN 'y' THEN true"
    " WHEN 'false' THEN false WHEN 'f' THEN false WHEN 'no' THEN false WHEN 'n' THEN false END",
)
# A number with a leading zero is a code; so is one too long for 64 bits.
INTEGER = Reading(
    "whole numbers",
    "integer",
    "CASE WHEN regexp_full_match({0}, '[+-]?(0|[1-9][0-9]{{0,17}})') THEN TRY_CAST({0} AS BIGINT) END",
)
NUMBER = Reading(
    "numbers",
    "number",
    "CASE WHEN NOT regexp_full_match({0}, '[+-]?0[0-9].*') AND NOT regexp_full_match({0}, '[+-]?[1-9][0-9]{{18,}}')"
    " AND isfinite(TRY_CAST({0} AS DOUBLE)) THEN TRY_CAST({0} AS DOUBLE) END",
)
_COMMA_VALUE = "TRY_CAST(replace(replace({0}, '.', ''), ',', '.') AS DOUBLE)"
COMMA = Reading(
    "numbers with a decimal comma",
    "number",
    "CASE WHEN regexp_full_match({0},"
    " '[+-]?([1-9][0-9]{{0,2}}(\\.[0-9]{{3}})+|0|[1-9][0-9]{{0,14}})(,[0-9]+)?')"
    f" THEN {_COMMA_VALUE} END",
    f"coalesce({_COMMA_VALUE}::varchar, {{0}})",
    90,
)
ISO_DATE = Reading(
    "days", "date", f"CASE WHEN regexp_full_match({{0}}, '{_braced(_ISO_DAY)}') THEN TRY_CAST({{0}} AS DATE) END"
)
ISO_TIME = Reading(
    "times",
    "timestamp",
    f"CASE WHEN regexp_full_match({{0}}, '{_braced(_ISO_DAY)}|{_braced(_ISO_TIME)}') THEN {_MOMENT} END",
)
_SLASHED = r"[0-9]{{1,2}}/[0-9]{{1,2}}/[0-9]{{4}}" + _CLOCK
_POINTED = r"[0-9]{{1,2}}\.[0-9]{{1,2}}\.[0-9]{{4}}" + _CLOCK
_DASHED = r"[0-9]{{1,2}}-[0-9]{{1,2}}-[0-9]{{4}}" + _CLOCK
_YEAR_SLASHED = r"[0-9]{{4}}/[0-9]{{1,2}}/[0-9]{{1,2}}" + _CLOCK
MOMENTS = (
    _moment("times written day/month/year", _SLASHED, _dotted("dmY", "/")),
    _moment("times written month/day/year", _SLASHED, _dotted("mdY", "/")),
    _moment("times written day.month.year", _POINTED, _dotted("dmY", "."), 100),
    _moment("times written day-month-year", _DASHED, _dotted("dmY", "-"), 90),
    _moment("times written year/month/day", _YEAR_SLASHED, _dotted("Ymd", "/"), 100),
)
EPOCHS = (
    Reading("seconds since 1970", "timestamp", _EPOCH, f"coalesce(({_EPOCH})::varchar, {{0}})", 80),
    Reading("milliseconds since 1970", "timestamp", _EPOCH_MS, f"coalesce(({_EPOCH_MS})::varchar, {{0}})", 80),
)
STRING = Reading("text", "string", "{0}")

READINGS = (BOOLEAN, INTEGER, NUMBER, COMMA, ISO_DATE, ISO_TIME, *MOMENTS, STRING)
"""Narrowest first: the first that nearly all cells fit is taken. Epochs need a header that speaks of time."""

TYPED = {
    "integer": Reading("whole numbers", "integer", "{0}"),
    "number": Reading("numbers", "number", "CASE WHEN isfinite({0}::double) THEN {0}::double END"),
    "boolean": Reading("yes or no", "boolean", "{0}"),
    "date": Reading("days", "date", "{0}"),
    "timestamp": Reading("times", "timestamp", "{0}"),
    "string": STRING,
}
"""Readings of columns that have a type of their own."""
_FAMILIES = {
    "integer": r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?",
    "number": r"FLOAT|DOUBLE|DECIMAL.*",
    "boolean": r"BOOLEAN",
    "timestamp": r"TIMESTAMP.*",
    "date": r"DATE",
}


def typed(kind: str) -> Reading:
    """The reading of a column that has DuckDB's type `kind`; text where it is none that contracts have."""
    return TYPED[next((name for name, pattern in _FAMILIES.items() if re.fullmatch(pattern, kind)), "string")]
