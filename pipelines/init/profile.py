"""What the columns of a file hold: readings chosen on a sample, then held against every row in one streamed pass."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import duckdb

from pipelines.core.report import Advance
from pipelines.init.personal import Personal, judge
from pipelines.init.readings import EPOCHS, INTEGER, MOMENTS, READINGS, STRING, TYPED, Reading, typed
from pipelines.init.source import File, sentences
from pipelines.init.words import column_names, ident, says, text, words

SAMPLE_ROWS = 20_000
_CELLS = 2_000  # distinct cells that are looked at one by one
_FIT = 0.98  # share of the cells a reading has to fit; the gate puts the others into quarantine
MOST_VALUES = 20
_EMAIL_WITHIN = r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}"


@dataclass(frozen=True)
class Facts:
    """What is known of one column, over all rows.

    Attributes:
        header: in the file.
        name: in contracts and SQL.
        reading: how its cells are understood.
        rows: of the file.
        filled: cells that hold something.
        misfits: filled cells that the reading can't read.
        distinct: about how many different values.
        minimum, maximum: of the values; None for text and yes or no.
        missing: texts that stand for nothing, such as NA.
        untrimmed: cells with spaces around, or with spaces alone.
        longest: characters.
        values: every value with how often it stands, where there are few; else None.
        sure: of the reading, in per cent.
        personal: what personal data it holds.
    """

    header: str
    name: str
    reading: Reading
    rows: int
    filled: int
    misfits: int
    distinct: int
    minimum: Any
    maximum: Any
    missing: tuple[str, ...]
    untrimmed: int
    longest: int
    values: tuple[tuple[str, int], ...] | None
    sure: int
    personal: Personal | None

    @property
    def required(self) -> bool:
        """Whether every row has it."""
        return self.filled == self.rows

    @property
    def type(self) -> str:
        """Logical type of the contract."""
        return self.reading.type

    @property
    def enumerated(self) -> bool:
        """Whether its values can be listed: few, and each of many rows."""
        if self.type != "string" or not self.values or self.personal:
            return False
        return len(self.values) <= MOST_VALUES and self.filled >= 20 * len(self.values)


def profile(file: File, connection: duckdb.DuckDBPyConnection, advance: Advance) -> dict[str, Facts]:
    """Look at every column of `file`; memory does not grow with it.

    Args:
        file: its view stands in `connection`.
        connection: DuckDB, with a limit of memory.
        advance: told after each pass over the file.

    Returns:
        Facts by name in contracts.

    Raises:
        SourceError: the file can't be read to its end.
    """
    names = column_names(file.headers)
    with sentences(file.path, file.format):
        chosen, cells = _sampled(file, connection, names)
        advance(1)
        facts = _counted(file, connection, names, chosen)
        advance(1)
        again = {one.header: options[1:] for one in facts.values() if (options := _unfit(one, chosen[one.header]))}
        while again:
            chosen |= again
            facts |= _counted(file, connection, {header: names[header] for header in again}, chosen)
            checked = [facts[names[header]] for header in again]
            again = {one.header: options[1:] for one in checked if (options := _unfit(one, chosen[one.header]))}
        facts = _with_values(file, connection, facts)
        advance(1)
    return {name: _with_personal(one, cells[one.header]) for name, one in facts.items()}


def cell(header: str, missing: tuple[str, ...] = ()) -> str:
    """SQL for the trimmed text of a cell, NULL where it holds nothing."""
    trimmed = f"nullif(trim({_quoted(header)}), '')"
    if not missing:
        return trimmed
    return f"CASE WHEN {trimmed} NOT IN ({', '.join(map(text, missing))}) THEN {trimmed} END"


def value(one: Facts, typed: bool) -> str:
    """SQL for the value of a column, NULL where its cell is empty or can't be read."""
    return one.reading.test.format(_quoted(one.header) if typed else cell(one.header, one.missing))


def _unfit(one: Facts, options: tuple[Reading, ...]) -> tuple[Reading, ...]:
    """The options of a column whose first does not fit all its rows, else nothing."""
    fits = one.filled - one.misfits
    return options if len(options) > 1 and (not fits or fits < _FIT * one.filled) else ()


def _sampled(
    file: File, connection: duckdb.DuckDBPyConnection, names: dict[str, str]
) -> tuple[dict[str, tuple[Reading, ...]], dict[str, list[str]]]:
    """Readings that fit the head of the file, narrowest first, and some distinct cells of each column."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE _sample AS SELECT * FROM {_quoted(file.name)} LIMIT {SAMPLE_ROWS}"
    )
    chosen: dict[str, tuple[Reading, ...]] = {}
    cells: dict[str, list[str]] = {}
    for header in file.headers:
        if file.typed:
            kind = connection.execute(f"SELECT any_value(typeof({_quoted(header)})) FROM _sample").fetchall()
            chosen[header] = (typed(str(kind[0][0])),)
            shown = f"{_quoted(header)}::varchar"
        else:
            chosen[header] = _readings(file, connection, header, names[header])
            shown = cell(header)
        cells[header] = _cells(connection, shown, "_sample")
        if not cells[header] and not file.typed:
            cells[header] = _cells(connection, shown, "_filled")
    connection.execute("DROP TABLE _sample")
    return chosen, cells


def _cells(connection: duckdb.DuckDBPyConnection, shown: str, sample: str) -> list[str]:
    """Some distinct cells of a column that are not empty."""
    rows = connection.execute(f"SELECT DISTINCT {shown} AS c FROM {sample} ORDER BY c LIMIT {_CELLS}").fetchall()
    return [str(row[0]) for row in rows if row[0] is not None and str(row[0]).strip()]


def _readings(
    file: File, connection: duckdb.DuckDBPyConnection, header: str, name: str, sample: str = "_sample"
) -> tuple[Reading, ...]:
    here = cell(header, words("missing"))
    asked = (*(EPOCHS if says(name, "time") and not says(name, "identifier") else ()), *READINGS)
    counts = ", ".join(f"count({reading.test.format(here)})" for reading in asked)
    row = connection.execute(f"SELECT count({here}), {counts} FROM {sample}").fetchall()[0]
    filled, fits = row[0], dict(zip(asked, row[1:], strict=True))
    if not filled and sample != "_sample":
        return (STRING,)
    if not filled:  # empty at the head of the file: look further down
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE _filled AS SELECT {_quoted(header)} FROM {_quoted(file.name)}"
            f" WHERE {here} IS NOT NULL LIMIT {SAMPLE_ROWS}"
        )
        return _readings(file, connection, header, name, "_filled")
    return tuple(one for one in asked if one is STRING or fits[one] >= _FIT * filled)


def _counted(
    file: File, connection: duckdb.DuckDBPyConnection, names: dict[str, str], chosen: dict[str, tuple[Reading, ...]]
) -> dict[str, Facts]:
    """One pass over all rows: how many cells each reading fits, and their bounds."""
    columns = list(names)
    aggregates = [part for header in columns for part in _aggregates(file, header, chosen[header][0])]
    row = connection.execute(f"SELECT count(*), {', '.join(aggregates)} FROM {_quoted(file.name)}").fetchall()[0]
    width = len(aggregates) // len(columns)
    found = {}
    for number, header in enumerate(columns):
        part = row[1 + number * width : 1 + (number + 1) * width]
        found[names[header]] = _facts(header, names[header], chosen[header], row[0], part)
    return found


def _aggregates(file: File, header: str, reading: Reading) -> list[str]:
    raw = _quoted(header)
    if file.typed:
        here, missing, untrimmed, shown = raw, "NULL", "0", f"{raw}::varchar"
    else:
        here, shown = cell(header, words("missing")), raw
        marks = ", ".join(map(text, words("missing")))
        missing = f"histogram(trim({raw})) FILTER (WHERE strlen({raw}) <= 8 AND trim({raw}) IN ({marks}))"
        untrimmed = f"count_if({raw} <> trim({raw}) OR trim({raw}) = '')"
    read = reading.test.format(here)
    bounded = reading.type in ("integer", "number", "date", "timestamp")
    filled = here if bounded or reading.type == "boolean" or file.typed else cell(header)
    return [
        f"count({filled})",
        f"count({read if reading is not STRING else filled})",
        f"approx_count_distinct({shown})",
        f"min({read})" if bounded else "NULL",
        f"max({read})" if bounded else "NULL",
        missing,
        untrimmed,
        f"coalesce(max(length({shown})), 0)",
        f"count_if(contains({shown}, '@') AND regexp_matches({shown}, '{_EMAIL_WITHIN}'))"
        if reading is STRING
        else "0",
    ]


def _facts(header: str, name: str, options: tuple[Reading, ...], rows: int, part: tuple[Any, ...]) -> Facts:
    filled, fits, distinct, minimum, maximum, missing, untrimmed, longest, mails = part
    reading = options[0]
    marks = tuple(sorted(missing)) if missing and reading is not STRING else ()
    personal = None
    if mails:
        share = mails / filled if filled else 0
        what = "e-mail addresses" if share >= 0.8 else "e-mail addresses in its text"
        personal = Personal(what, f"{mails:,} of its cells", 99 if share >= 0.8 else 90)
    rivals = sum(one in MOMENTS for one in options) > 1
    sure = 60 if rivals and reading in MOMENTS else reading.sure
    return Facts(
        header, name, reading, rows, filled, filled - fits, distinct, _plain(minimum), _plain(maximum), marks,
        untrimmed, longest, None, sure, personal,
    )  # fmt: skip


def _plain(bound: Any) -> Any:
    """A bound as the standard library has it; times naive, in whole seconds."""
    if isinstance(bound, datetime):
        return bound.replace(tzinfo=None, microsecond=0)
    return bound if bound is None or isinstance(bound, int | float | date) else float(bound)


def _with_values(file: File, connection: duckdb.DuckDBPyConnection, facts: dict[str, Facts]) -> dict[str, Facts]:
    """List the values of the columns that seem to have few, in one more pass."""
    few = [
        one
        for one in facts.values()
        if one.distinct <= 2 * MOST_VALUES and one.type in ("string", "boolean", "integer") and one.longest <= 200
    ]
    if not few:
        return facts
    texts = [f"{_quoted(one.header)}::varchar" if file.typed else cell(one.header, one.missing) for one in few]
    row = connection.execute(
        f"SELECT {', '.join(f'histogram({shown})' for shown in texts)} FROM {_quoted(file.name)}"
    ).fetchall()[0]
    listed = {
        one.name: tuple(sorted((str(key), int(count)) for key, count in (found or {}).items()))
        for one, found in zip(few, row, strict=True)
    }
    return {
        name: replace(one, values=listed[name], distinct=len(listed[name])) if name in listed else one
        for name, one in facts.items()
    }


def _with_personal(one: Facts, cells: list[str]) -> Facts:
    if one.personal is not None or one.type == "boolean":
        return one
    if one.type in ("date", "timestamp"):
        cells = []
    found = judge(one.name, [text for text in cells if text not in one.missing], one.type == "string")
    if found is None or (found.phone and one.type != "string"):
        # Digits alone are no phone with its country code, whatever libphonenumber makes of a plus sign.
        return replace(one, personal=found) if found is None else replace(one, personal=found, reading=STRING)
    keeps = one.type in ("date", "timestamp") or one.type == "string"
    return replace(one, personal=found, reading=one.reading if keeps else STRING, minimum=None, maximum=None)


def is_code(one: Facts) -> bool:
    """Whether whole numbers name things rather than count them."""
    return one.reading in (INTEGER, TYPED["integer"]) and says(one.name, "identifier")


def mapped(one: Facts, typed: bool, as_text: bool = False) -> str:
    """SQL of the mapping for a column: what the gate reads, with what it can't read left for it to see."""
    raw = ident(one.header)
    if typed:
        return f"{raw}::varchar" if as_text and one.type != "string" else raw
    if as_text or one.type == "string":
        return f"nullif(trim({raw}), '')" if one.untrimmed else raw
    if one.missing:
        marks = ", ".join(map(text, one.missing))
        raw = f"case when trim({raw}) in ({marks}) then null else {raw} end"
    return one.reading.mapped.format(f"trim({raw})") if one.reading.mapped else raw


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
