"""Who, when and what: the roles columns play, given or guessed, with what each guess rests on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import duckdb

from pipelines.core.errors import ConfigError, SourceError, nearest
from pipelines.init import roles
from pipelines.init.days import Days, days_of
from pipelines.init.profile import Facts
from pipelines.init.roles import Label, Wanted
from pipelines.init.source import File
from pipelines.init.words import singular


@dataclass(frozen=True)
class Table:
    """One file as a table.

    Attributes:
        file: it was read from.
        facts: of its columns, by name.
        entity: column that says whom the row is about; None where rows are numbered instead.
        time: column that says when; None where the file does not.
        key: its primary key; empty where rows are numbered.
        once: each entity stands in one row.
        days: rows by day; None without a time.
        is_main: its entities are the ones that are scored.
    """

    file: File
    facts: dict[str, Facts]
    entity: str | None
    time: str | None
    key: tuple[str, ...]
    once: bool
    days: Days | None
    is_main: bool = False

    @property
    def name(self) -> str:
        """The table."""
        return self.file.name

    @property
    def number(self) -> str:
        """Column with the number of the row, where the file has no key of its own."""
        name = f"{singular(self.name)}_row"
        return name if name not in self.facts else f"{name}_number"

    @property
    def since(self) -> str:
        """Column with a made-up time, where the file has none."""
        return "known_since" if "known_since" not in self.facts else "known_since_2"

    @property
    def moment(self) -> str:
        """Name of the column with the event's time."""
        return self.time or self.since

    @property
    def by_day(self) -> bool:
        """Whether its times are days."""
        return self.time is not None and self.facts[self.time].type == "date"


@dataclass(frozen=True)
class Plan:
    """What will be written.

    Attributes:
        case: the use case.
        tenant: the tenant.
        main: the table of those who are scored.
        others: what else is known of them.
        entity: name of the entity everywhere.
        label: what is predicted.
        horizon: days in which it happens.
        start, train, end: days of the run.
        guesses: sentences for a person.
        min_rows: rows to learn from, where there are fewer than usual; None else.
    """

    case: str
    tenant: str
    main: Table
    others: tuple[Table, ...]
    entity: str
    label: Label
    horizon: int
    start: date
    train: date
    end: date
    guesses: list[str] = field(default_factory=list)
    min_rows: int | None = None

    @property
    def tables(self) -> tuple[Table, ...]:
        """All of them, the main one first."""
        return (self.main, *self.others)


_USUAL_ROWS = 500
_WEEK = 7


def plan(
    case: str,
    tenant: str,
    files: Sequence[tuple[File, dict[str, Facts]]],
    wanted: Wanted,
    horizon: int | None,
    connection: duckdb.DuckDBPyConnection,
) -> Plan:
    """Give every column its role.

    Raises:
        SourceError: no usable time, or an outcome with one class.
        ConfigError: a column that was asked for is not there, or nothing tells which one is the outcome.
    """
    guesses: list[str] = []
    main_file, main_facts = files[0]
    entity = roles.entity(files, wanted.entity, guesses, connection)
    label = roles.label(files, wanted.label, guesses)
    rows_of: list[Table] = []
    for number, (file, facts) in enumerate(files):
        whom = entity if number == 0 else roles.same_entity(file, facts, entity, wanted.entity, main_file, guesses)
        floored = number == 0 and label.column is not None
        rows_of.append(_table(file, facts, whom, wanted.time, floored, guesses, connection, number == 0))
    main, others = rows_of[0], tuple(rows_of[1:])
    timed = [table.days for table in rows_of if table.days is not None]
    if not timed or (main.days is None and label.column is not None):
        where = main_file.path if label.column else ", ".join(str(file.path) for file, _ in files)
        raise SourceError(
            f"{where} has no usable time column, and without one nobody can say what was known when: add a column with"
            " the day of each row (2026-03-31), or name it with --time"
        )
    _check_classes(main_file, main_facts, label)
    paced = main.days if label.column is not None or main.days is None else _of(rows_of, label.table)
    start, train, end = _run(timed, paced or timed[0], guesses)
    horizon = _horizon(horizon, (end - start).days, guesses)
    name = _entity_name(main, guesses)
    return Plan(
        case, tenant, main, others, name, label, horizon, start, train, end, guesses, _least(main, label, paced, train)
    )


def _of(tables: Sequence[Table], name: str | None) -> Days | None:
    return next((table.days for table in tables if table.name == name), None)


def _entity_name(main: Table, guesses: list[str]) -> str:
    """Name of the entity: the column's, or one that hides what personal column it came from."""
    if main.entity is None:
        name = f"{singular(main.name)}_id"
        guesses.append(f"entity: no column says whom a row is about, so every row of {main.name} is one, {name}")
        return name if name not in main.facts else f"{name}_row"
    if main.facts[main.entity].personal is not None:
        return "lead_id" if "lead_id" not in main.facts else f"{main.entity}_id"
    return main.entity


def _table(
    file: File,
    facts: dict[str, Facts],
    entity: str | None,
    wanted_time: str | None,
    floored: bool,
    guesses: list[str],
    connection: duckdb.DuckDBPyConnection,
    is_main: bool,
) -> Table:
    time = roles.time(file, facts, wanted_time, guesses, is_main)
    days = days_of(file, facts[time], connection) if time else None
    once = entity is None or roles.unique(file, facts, (entity,), connection)
    key = roles.key(file, facts, entity, time, once, floored, connection)
    return Table(file, facts, entity, time, key, once, days, is_main)


def _check_classes(file: File, facts: dict[str, Facts], label: Label) -> None:
    if label.column is None:
        return
    one = facts[label.column]
    if one.distinct < 2:
        raise SourceError(
            f"{file.path}: the label '{one.header}' has one class in all its rows, so there is nothing to learn: bring"
            " rows of both outcomes, or name another column with --label"
        )


def _run(timed: Sequence[Days], paced: Days, guesses: list[str]) -> tuple[date, date, date]:
    """First day, day of training and day after the last one."""
    start, last = min(days.first for days in timed), max(days.last for days in timed)
    end = last + timedelta(days=1)
    if (end - start).days < 3:
        raise SourceError(
            f"the rows span {(end - start).days} day(s), from {start} to {last}: a model is trained on earlier days and"
            " judged on later ones; bring at least some weeks"
        )
    train = min(max(paced.at(0.85), start + timedelta(days=1)), end - timedelta(days=1))
    for days in timed:
        if days.left_out:
            guesses.append(
                f"days: {days.left_out} rows of {days.table} lie far from the others and are left out of"
                f" {start} … {last} (90 % sure)"
            )
    guesses.append(f"train date: {train}, when 85 % of the rows had happened")
    return start, train, end


def _horizon(given: int | None, span: int, guesses: list[str]) -> int:
    """Days in which the outcome happens: as given, or a week, less where the rows span little.

    Raises:
        ConfigError: the rows span too little for the given one.
    """
    if given is None:
        days = min(_WEEK, max(1, span // 8))
        guesses.append(f"horizon: the outcome is known {days} day(s) after the event (--horizon tells better)")
        return days
    if 3 * given > span:
        raise ConfigError(
            f"--horizon is {given} days and the rows span {span}: a model learns from outcomes that are over, so give"
            f" {max(1, span // 8)} or so, or bring more days"
        )
    return given


def _least(main: Table, label: Label, paced: Days | None, train: date) -> int | None:
    """A lower train.min_rows for a small file."""
    rows = paced.until(train) if paced else next(iter(main.facts.values())).rows
    return max(20, rows // 3) if rows < 2 * _USUAL_ROWS else None


def check_wanted(wanted: Wanted, files: Sequence[tuple[File, dict[str, Facts]]]) -> None:
    """Refuse a column that no file has.

    Raises:
        ConfigError: with the nearest right name.
    """
    known = {name for _, facts in files for name in facts} | {
        one.header for _, facts in files for one in facts.values()
    }
    for option, name in (("--entity", wanted.entity), ("--time", wanted.time)):
        if name is not None and name not in known:
            raise ConfigError(f"{option}: no file has a filled column '{name}': {nearest(name, known)}")
