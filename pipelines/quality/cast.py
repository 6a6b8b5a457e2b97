"""SQL that reads the cells of a mapping's result as the types of its contract."""

import re

from expectations.contract import Column

UNREAD = "_unread_"
"""Prefix of the columns with the texts of cells that could not be read."""

_FAMILIES = {
    "string": r"VARCHAR|ENUM.*|UUID",
    "integer": r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?",
    "number": r"FLOAT|DOUBLE|DECIMAL.*",
    "boolean": r"BOOLEAN",
    "timestamp": r"TIMESTAMP|TIMESTAMP_(S|MS|NS)|TIMESTAMP WITH TIME ZONE",
    "date": r"DATE",
}
_INTEGER_TEXT = r"\s*[+-]?[0-9]+(\.0*)?\s*"

# What a cell of a family becomes as a logical type; {0} is the cell. NULL where it can't be read.
# Times with a zone become UTC, those without are taken as UTC: the connection's TimeZone is UTC.
_WHOLE = "CASE WHEN {0} = trunc({0}) THEN TRY_CAST({0} AS BIGINT) END"
_MOMENT = "TRY_CAST(TRY_CAST({0} AS TIMESTAMPTZ) AS TIMESTAMP)"
_READ: dict[str, dict[str, str]] = {
    "string": {"string": "CAST({0} AS VARCHAR)"},
    "integer": {
        "string": f"CASE WHEN regexp_full_match({{0}}, '{_INTEGER_TEXT}') THEN TRY_CAST({{0}} AS BIGINT) END",
        "integer": "TRY_CAST({0} AS BIGINT)",
        "number": _WHOLE,
    },
    "number": {
        "string": "CASE WHEN isfinite(TRY_CAST({0} AS DOUBLE)) THEN TRY_CAST({0} AS DOUBLE) END",
        "integer": "CAST({0} AS DOUBLE)",
        "number": "CASE WHEN isfinite(CAST({0} AS DOUBLE)) THEN CAST({0} AS DOUBLE) END",
    },
    "boolean": {
        "string": "TRY_CAST(lower(trim({0})) AS BOOLEAN)",
        "boolean": "{0}",
    },
    "timestamp": {
        "string": f"CASE WHEN isfinite({_MOMENT}) THEN {_MOMENT} END",
        "timestamp": "CASE WHEN isfinite(CAST({0} AS TIMESTAMP)) THEN CAST({0} AS TIMESTAMP) END",
        "date": "CASE WHEN isfinite({0}) THEN CAST({0} AS TIMESTAMP) END",
    },
    "date": {
        "string": "CASE WHEN isfinite(TRY_CAST({0} AS DATE)) THEN TRY_CAST({0} AS DATE) END",
        "timestamp": "CASE WHEN {0}::TIMESTAMP = {0}::TIMESTAMP::DATE THEN {0}::TIMESTAMP::DATE END",
        "date": "CASE WHEN isfinite({0}) THEN {0} END",
    },
}
# A mapping may compute what a typed source has to have of itself.
_MAPPED = {
    "string": {"integer": "CAST({0} AS VARCHAR)"},
    "boolean": {"integer": "CASE {0} WHEN 0 THEN false WHEN 1 THEN true END"},
}


def family(duck_type: str) -> str | None:
    """The logical type closest to a DuckDB type; None for one Leadwise does not store."""
    plain = re.sub(r"\(.*\)", "", duck_type) if duck_type.startswith("DECIMAL") else duck_type
    return next((name for name, pattern in _FAMILIES.items() if re.fullmatch(pattern, plain)), None)


_DUCK = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
}
# These can't fail, so there is no text of failures to keep.
_SAFE = {("string", "string"), ("string", "integer"), ("boolean", "boolean"), ("number", "integer")}


def reading(column: Column, duck_type: str, typed: bool) -> tuple[str, str | None] | None:
    """SQL for a column: its value in the contract's type, and the text of a cell that can't be read.

    Args:
        column: of the contract.
        duck_type: what the mapping's result has.
        typed: the source has types of its own, so that text is no number and no time.

    Returns:
        Two expressions without aliases, the second None where every cell can be read; None when a column of that type
        can never be read as the contract's.
    """
    given = family(duck_type)
    if duck_type in ("NULL", '"NULL"'):
        return f"NULL::{_DUCK[column.type]}", None
    if given is None:
        return None
    if typed and given == "string" and column.type != "string":
        return None
    expression = _READ[column.type].get(given) or (None if typed else _MAPPED.get(column.type, {}).get(given))
    if expression is None:
        return None
    cell = f'"{column.name}"'
    if given == "string" and column.type != "string":
        cell = f"nullif(trim({cell}), '')"  # an empty cell of a CSV is nothing, not an unreadable number
    value = expression.format(cell)
    if (column.type, given) in _SAFE or duck_type == _DUCK[column.type] == "BIGINT":
        return value, None
    return value, f"CASE WHEN ({value}) IS NULL THEN CAST({cell} AS VARCHAR) END"
