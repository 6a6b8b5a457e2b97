"""Which column says whom, when and with what outcome: taken as given, or guessed from words and contents."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from pipelines.core.errors import ConfigError, SourceError, nearest
from pipelines.init.profile import Facts, cell, value
from pipelines.init.source import File, sentences
from pipelines.init.words import ident, says, singular, text, words

Files = Sequence[tuple[File, dict[str, Facts]]]
_NEARLY = 0.9  # an approximate count below this share of the rows is no key
_EARLIEST, _LATEST = "1971-01-01", "2100-01-01"


@dataclass(frozen=True)
class Wanted:
    """What the user said: columns by header or name; a label as COLUMN, COLUMN=VALUE, TABLE or TABLE.COLUMN=VALUE."""

    entity: str | None = None
    time: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Label:
    """What is predicted.

    Attributes:
        column: of the main table; None where a row of another table is the outcome.
        table: that other table; None with `column`.
        where: SQL over that table's columns that its row has to fulfil; None for any row.
        condition: SQL over the main table's column that says yes; None with `table`.
    """

    column: str | None = None
    table: str | None = None
    where: str | None = None
    condition: str | None = None


def find(facts: dict[str, Facts], wanted: str | None) -> str | None:
    """The column called `wanted`, by its name or by its header."""
    return next((name for name, one in facts.items() if wanted is not None and wanted in (name, one.header)), None)


def entity(files: Files, wanted: str | None, guesses: list[str], connection: duckdb.DuckDBPyConnection) -> str | None:
    """The column of the main table that says whom; None where every row is somebody else.

    Raises:
        ConfigError: the given one is not in the main table, or nothing joins the tables.
    """
    main, facts = files[0]
    if wanted is not None:
        found = find(facts, wanted)
        if found is None:
            raise ConfigError(f"--entity: {main.path} has no filled column '{wanted}': {nearest(wanted, facts)}")
        return found
    shared = [name for name in facts if all(name in other for _, other in files[1:])]
    scored = sorted(((_entity_points(main, facts[name], len(files) > 1), name) for name in shared), reverse=True)
    points, best = max(scored, key=lambda pair: pair[0]) if scored else (0, "")
    if points > 0:
        sure = 90 if points >= 4 else 70
        guesses.append(f"entity: {best} of {main.name} says whom a row is about ({sure} % sure; --entity tells better)")
        return best
    if len(files) > 1:
        raise ConfigError(
            f"no column joins {' and '.join(str(file.path) for file, _ in files)}: give the column that says whom a row"
            " is about the same header in each, and name it with --entity"
        )
    return None


def _entity_points(file: File, one: Facts, joined: bool) -> int:
    """How much a column looks like the one that says whom; 0 is not at all."""
    if one.type not in ("string", "integer", "number") or one.filled < _NEARLY * one.rows or one.distinct < 2:
        return 0
    points = 0
    if one.personal is not None:
        if one.personal.what not in ("phone numbers", "e-mail addresses"):
            return 0
        points += 2
    if one.type == "number" or (one.values is not None and one.rows > 100):
        return 0
    if says(one.name, "entity"):
        points += 2
    if says(one.name, "identifier"):
        points += 2
    if singular(file.name) in one.name:
        points += 1
    if joined:
        points += 1
    return points if points > 1 else 0


def same_entity(
    file: File, facts: dict[str, Facts], name: str | None, wanted: str | None, main: File, guesses: list[str]
) -> str:
    """The column of another table that says whom.

    Raises:
        ConfigError: there is none.
    """
    for candidate in (name, wanted):
        if found := find(facts, candidate):
            return found
    for other in facts:
        if name is not None and {other, f"{other}_id"} & {name, f"{name}_id"}:
            guesses.append(f"entity: {other} of {file.name} is {name} of {main.name} (70 % sure, by its name)")
            return other
    raise ConfigError(
        f"{file.path} has no column '{name}', by which {main.path} says whom a row is about: give it that header"
    )


def time(file: File, facts: dict[str, Facts], wanted: str | None, guesses: list[str], is_main: bool) -> str | None:
    """The column that says when a row happened; None where there is none.

    Raises:
        SourceError: the given one holds no times.
    """
    given = find(facts, wanted)
    if given is not None:
        if facts[given].type not in ("date", "timestamp"):
            raise SourceError(
                f"{file.path}: the column '{wanted}' holds no times that can be read ({facts[given].reading.name}):"
                " write them as 2026-03-31 or 2026-03-31 10:30:00"
            )
        return given
    scored = [(points, name) for name, one in facts.items() if (points := _time_points(one)) > 0]
    if not scored:
        if not is_main:
            guesses.append(f"time: {file.name} has none; its rows count as known from the first day on (60 % sure)")
        return None
    points, best = max(scored, key=lambda pair: pair[0])
    rivals = sum(other == points for other, _ in scored) > 1
    sure = min(facts[best].sure, 60 if rivals else 90)
    guesses.append(f"time: {best} of {file.name}, {facts[best].reading.name} ({sure} % sure; --time tells better)")
    return best


def _time_points(one: Facts) -> int:
    if one.type not in ("date", "timestamp") or one.personal is not None or says(one.name, "not_time"):
        return 0
    if one.filled - one.misfits < _NEARLY * one.rows or one.minimum == one.maximum:
        return 0
    if str(one.minimum) < _EARLIEST or str(one.maximum) >= _LATEST:
        return 1
    return 2 + 2 * says(one.name, "time") + one.required


def label(files: Files, wanted: str | None, guesses: list[str]) -> Label:
    """What is predicted.

    Raises:
        ConfigError: it can't be told, or is not there, or has more than two values.
    """
    main, facts = files[0]
    if wanted is not None:
        return _given_label(files, wanted, guesses)
    binary = [name for name, one in facts.items() if one.distinct <= 2 and _label_points(one)]
    if binary:
        best = max(binary, key=lambda name: _label_points(facts[name]))
        guesses.append(f"label: {best} of {main.name}, by its name (80 % sure; --label tells better)")
        return _column_label(main, facts, best, None, guesses)
    lone = [name for name, one in facts.items() if one.type == "boolean" and one.distinct == 2 and not _permits(one)]
    if len(lone) == 1:
        guesses.append(f"label: {lone[0]} of {main.name}, its only yes-or-no column (60 % sure; --label tells better)")
        return _column_label(main, facts, lone[0], None, guesses)
    for file, _ in files[1:]:
        if says(file.name, "label_tables"):
            guesses.append(f"label: a row of {file.name} follows, by its name (70 % sure; --label tells better)")
            return Label(table=file.name)
    raise ConfigError(
        f"nothing tells which column of {main.path} is the outcome: name it with --label COLUMN, or --label TABLE where"
        " a later row of a second file is the outcome"
    )


def _label_points(one: Facts) -> int:
    if one.personal is not None or one.type in ("date", "timestamp", "number") or one.values is None:
        return 0
    if _permits(one) or not says(one.name, "label"):
        return 0
    return 1 + (one.type == "boolean") + (one.name in words("label"))


def _permits(one: Facts) -> bool:
    """Whether a column says who may be written to."""
    return says(one.name, "consent") or says(one.name, "opt_out")


def _given_label(files: Files, wanted: str, guesses: list[str]) -> Label:
    main, facts = files[0]
    what, _, chosen = wanted.partition("=")
    if column := find(facts, what):
        return _column_label(main, facts, column, chosen or None, guesses)
    table, _, column_name = what.partition(".")
    for file, other in files[1:]:
        if file.name == table or file.path.name == what:
            column = find(other, column_name) if file.name == table else None
            if file.name == table and column_name and column is None:
                raise ConfigError(f"--label: {file.path} has no column '{column_name}': {nearest(column_name, other)}")
            if column is None:
                return Label(table=file.name)
            return Label(table=file.name, where=_condition(file, other[column], chosen or None, guesses))
    known = [*facts, *(file.name for file, _ in files[1:])]
    raise ConfigError(
        f"--label: neither a column of {main.path} nor a table is called '{what}': {nearest(what, known)}"
    )


def _column_label(file: File, facts: dict[str, Facts], column: str, chosen: str | None, guesses: list[str]) -> Label:
    return Label(column=column, condition=_condition(file, facts[column], chosen, guesses))


def _condition(file: File, one: Facts, chosen: str | None, guesses: list[str]) -> str:
    """SQL that is true where the outcome is yes."""
    if one.distinct < 2:
        raise SourceError(
            f"{file.path}: the label '{one.header}' has one class in all its rows, so there is nothing to learn: bring"
            " rows of both outcomes, or name another column with --label"
        )
    if one.personal is not None:
        raise ConfigError(f"--label: '{one.header}' holds {one.personal.what}: an outcome is yes or no")
    values = [found for found, _ in one.values or ()]
    if chosen is not None and chosen not in values:
        raise ConfigError(
            f"--label: '{one.header}' is never '{chosen}': {nearest(chosen, values or ['another column'])}"
        )
    if chosen is None:
        chosen = _positive(file, one, guesses)
    if one.type == "boolean":
        yes = chosen.strip().lower() in ("true", "t", "yes", "y", "1")
        return ident(one.name) if yes else f"not {ident(one.name)}"
    literal = chosen if one.type in ("integer", "number") else text(chosen)
    return f"{ident(one.name)} = {literal}"


def _positive(file: File, one: Facts, guesses: list[str]) -> str:
    """The value that means yes: by its word, else the rarer one."""
    if one.values is None or len(one.values) != 2:
        count = len(one.values) if one.values else f"about {one.distinct}"
        raise ConfigError(
            f"--label: '{one.header}' of {file.path} has {count} values: say which one is the outcome, as --label"
            f" {one.header}=VALUE"
        )
    named = [found for found, _ in one.values if found.strip().lower() in words("positive")]
    if len(named) == 1:
        return named[0]
    rarer = min(one.values, key=lambda pair: (pair[1], pair[0]))[0]
    guesses.append(
        f"label: the rarer value '{rarer}' of {one.name} counts as yes (60 % sure; --label {one.name}=VALUE)"
    )
    return rarer


def unique(file: File, facts: dict[str, Facts], columns: Sequence[str], connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether no two rows have the same filled `columns`."""
    used = [facts[name] for name in columns]
    if not all(one.filled - one.misfits >= one.rows for one in used):
        return False
    if len(used) == 1 and used[0].distinct < _NEARLY * used[0].rows:
        return False
    parts = ", ".join(_comparable(file, one) for one in used)
    with sentences(file.path, file.format):
        row = connection.execute(f'SELECT 1 FROM "{file.name}" GROUP BY {parts} HAVING count(*) > 1 LIMIT 1').fetchall()
    return not row


def _comparable(file: File, one: Facts) -> str:
    if file.typed or one.type in ("date", "timestamp"):
        return value(one, file.typed)
    return cell(one.header, one.missing)


def key(
    file: File,
    facts: dict[str, Facts],
    whom: str | None,
    when: str | None,
    once: bool,
    floored: bool,
    connection: duckdb.DuckDBPyConnection,
) -> tuple[str, ...]:
    """The primary key; empty where rows have to be numbered."""
    if whom is None:
        return ()
    if once:
        return (whom,)
    for name, one in facts.items():
        named = says(one.name, "identifier") and one.type in ("string", "integer") and one.personal is None
        if named and name != whom and unique(file, facts, (name,), connection):
            return (name,)
    exact = when is not None and not (floored and facts[when].type == "timestamp")
    if exact and when is not None and unique(file, facts, (whom, when), connection):
        return (whom, when)
    return ()
