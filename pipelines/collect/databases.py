"""Databases by SQLAlchemy: a query for each day, or all at once, in one read-only snapshot a run."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import pyarrow as pa
import sqlalchemy as sa

from pipelines.collect.types import stored_type
from pipelines.core.connections import Connection, resolve
from pipelines.core.errors import ConfigError, SourceError, SourceUnreachable

_WINDOW = re.compile(r"(?<![:\w\\]):(start|end)\b")


class Database(Protocol):
    """One snapshot of a database.

    Attributes:
        typed: whether its columns have types of their own, so that text is no number and no time.
        fixed: whether the columns of a query are the same whatever rows it gives.
    """

    typed: bool
    fixed: bool

    def literal(self, day: date) -> str:
        """SQL for the midnight at which `day` begins."""
        ...

    def schema(self, sql: str) -> pa.Schema:
        """Columns of a query, in the types raw keeps."""
        ...

    def has_rows(self, sql: str) -> bool:
        """Whether a query gives any."""
        ...

    def batches(self, sql: str, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Rows of a query, at most `rows` at once, cast to `schema`."""
        ...

    def close(self) -> None:
        """End the snapshot."""
        ...


def open_database(name: str) -> Database:
    """A snapshot of the database that the connection `name` leads to.

    Raises:
        ConfigError: there is no such connection, or it is of no database that can be read here.
        SourceError, SourceUnreachable: the database refuses, or does not answer.
    """
    connection = resolve(name)
    if connection.url is None:
        raise ConfigError(f"{connection} is no database: a query needs one")
    if connection.kind == "postgresql":
        from pipelines.collect.postgres import Postgres

        return Postgres(connection)
    return SQLite(connection) if connection.kind == "sqlite" else Generic(connection)


class Sessions:
    """The snapshots of one run: sources of one connection share it."""

    def __init__(self) -> None:
        self._open: dict[str, Database] = {}

    def get(self, name: str) -> Database:
        """The snapshot of connection `name`, begun when it is first asked for."""
        if name not in self._open:
            self._open[name] = open_database(name)
        return self._open[name]

    def drop(self, name: str) -> None:
        """Forget a snapshot that broke; the next `get` begins another."""
        if name in self._open:
            self._open.pop(name).close()

    def close(self) -> None:
        """End all."""
        for name in list(self._open):
            self.drop(name)


def windowed(database: Database, query: str, day: date | None) -> str:
    """`query` without its last semicolon, with :start and :end as the midnights around `day`."""
    bare = query.strip().rstrip(";").rstrip()
    if day is None:
        return bare
    edges = {"start": database.literal(day), "end": database.literal(day + timedelta(days=1))}
    return _WINDOW.sub(lambda found: edges[found[1]], bare)


class Generic:
    """Any database that SQLAlchemy knows; the types of a query are those of its first rows."""

    typed = True
    fixed = False

    def __init__(self, connection: Connection) -> None:
        """Connect and begin a transaction that is never committed.

        Raises:
            ConfigError: its driver is not installed.
            SourceUnreachable: the database does not answer.
        """
        self._about = connection
        assert connection.url is not None
        try:
            self._engine = sa.create_engine(self._url(connection.url), poolclass=sa.NullPool)
        except (sa.exc.NoSuchModuleError, ModuleNotFoundError):
            raise ConfigError(
                f"{connection} needs a driver that is not installed: install the Python driver of that database"
            ) from None
        with self._sentences():
            self._session = self._engine.connect()
            self._begin()

    def literal(self, day: date) -> str:
        """The midnight at which `day` begins."""
        return f"TIMESTAMP '{day.isoformat()} 00:00:00'"

    def schema(self, sql: str) -> pa.Schema:
        """Columns of a query, by its first thousand rows; a column without a value there has the null type."""
        with self._rows(sql) as result:
            names, first = _names(result), result.fetchmany(1000)
        columns = [pa.array(_plain([row[place] for row in first])) for place in range(len(names))]
        kinds = [stored_type(column.type) for column in columns]
        return pa.schema(list(zip(names, kinds, strict=True)))

    def has_rows(self, sql: str) -> bool:
        """Whether a query gives any."""
        with self._rows(sql) as result:
            return result.fetchone() is not None

    def batches(self, sql: str, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Rows of a query, at most `rows` at once, cast to `schema`; a column it lacks is null."""
        with self._rows(sql) as result:
            names = _names(result)
            while part := result.fetchmany(rows):
                columns = dict(zip(names, zip(*part, strict=True), strict=True))
                empty = (None,) * len(part)
                arrays = [self._array(field, columns.get(field.name, empty)) for field in schema]
                yield pa.Table.from_arrays(arrays, schema=schema)

    def close(self) -> None:
        """End the transaction and the session, whatever state they are in."""
        with suppress(Exception):
            self._session.close()
        with suppress(Exception):
            self._engine.dispose()

    def _url(self, url: sa.URL) -> sa.URL:
        return url

    def _begin(self) -> None:
        self._session.begin()

    def _array(self, field: pa.Field, values: Sequence[Any]) -> pa.Array:
        try:
            return pa.array(_converter(field.type)(values), field.type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            raise SourceError(
                f"{self._about}: column '{field.name}' of its query has values that are no {field.type}:"
                " cast it in the query"
            ) from None

    @contextmanager
    def _rows(self, sql: str) -> Iterator[Any]:
        with self._sentences():
            options = {"stream_results": True, "no_parameters": True}
            with self._session.exec_driver_sql(sql, execution_options=options) as result:
                yield result

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, OSError) as error:
            cause = getattr(error, "orig", None) or error
            if isinstance(error, OSError) or error.connection_invalidated or self._passing(cause):
                raise SourceUnreachable(
                    f"{self._about} does not answer or broke off: nothing of this source was written; run again when it"
                    " is back"
                ) from None
            raise SourceError(f"{self._about} can't run its query: {self._reason(cause)}; correct it") from None

    def _passing(self, cause: BaseException) -> bool:
        """Whether the trouble may go away by itself."""
        return type(cause).__name__ in ("OperationalError", "InterfaceError")

    def _reason(self, cause: BaseException) -> str:
        """What the driver said, without what stands in quotes: it may be values of rows."""
        first = (str(cause).strip() or type(cause).__name__).splitlines()[0][:200]
        return self._about.masked(re.sub(r'"[^"]*"|\'[^\']*\'', "…", first))


class SQLite(Generic):
    """A SQLite file, opened for reading only. Text stands for times and numbers too, as in a CSV."""

    typed = False
    fixed = False

    def literal(self, day: date) -> str:
        """The day alone: as text it stands right before all times of that day, however they are written."""
        return f"'{day.isoformat()}'"

    def schema(self, sql: str) -> pa.Schema:
        """Columns of a query: numbers where all values are, else text."""
        with self._rows(f"SELECT * FROM (\n{sql}\n) LIMIT 0") as result:
            names = _names(result)
        kinds = ("integer", "real", "text", "blob")
        asked = [f"max(typeof({_quoted(name)}) = '{kind}')" for name in names for kind in kinds]
        found: list[Any] = []
        for start in range(0, len(asked), 1000):  # SQLite's limit of columns is 2,000
            with self._rows(f"SELECT {', '.join(asked[start : start + 1000])} FROM (\n{sql}\n)") as result:
                found += result.fetchone()
        parts = [found[place : place + 4] for place in range(0, len(found), 4)]
        return pa.schema([(name, _affinity(part)) for name, part in zip(names, parts, strict=True)])

    def _url(self, url: sa.URL) -> sa.URL:
        path = Path(url.database or "")
        if not path.is_file():
            raise SourceError(
                f"{self._about} leads to {path}, where there is no file: correct its URL, or put the database there"
            )
        return sa.URL.create(
            "sqlite", database=f"file:{quote(str(path.absolute()))}", query={"mode": "ro", "uri": "true"}
        )

    def _begin(self) -> None:
        self._session.exec_driver_sql("PRAGMA query_only = ON")
        self._session.exec_driver_sql("BEGIN")

    def _passing(self, cause: BaseException) -> bool:
        return any(words in str(cause) for words in ("locked", "disk I/O", "unable to open"))

    def _reason(self, cause: BaseException) -> str:
        return str(cause).splitlines()[0][:200]  # names of tables and columns, never a value


def _affinity(found: Sequence[int | None]) -> pa.DataType:
    integer, real, text, blob = found
    if text or blob:
        return pa.string()
    return pa.float64() if real else pa.int64() if integer else pa.null()


def _names(result: Any) -> list[str]:
    names = [str(name) for name in result.keys()]  # noqa: SIM118 - a cursor's, not a dict's
    for name in names:
        if names.count(name) > 1:
            raise SourceError(f"the query gives the column '{name}' twice: name one of them differently")
    return names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _converter(kind: pa.DataType) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """How values of Python become those of a column."""
    if pa.types.is_floating(kind):
        return lambda values: [None if one is None else float(one) for one in values]
    if pa.types.is_string(kind):
        return lambda values: [one if one is None or isinstance(one, str) else _text(one) for one in values]
    return _plain if pa.types.is_timestamp(kind) else lambda values: values


def _plain(values: Sequence[Any]) -> list[Any]:
    """Values as Arrow takes them: times as naive UTC, decimals as numbers, what it does not know as text."""
    return [_one(value) for value in values]


def _one(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, Decimal):
        return float(value)
    return value if value is None or isinstance(value, bool | int | float | str | date) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value.isoformat() if isinstance(value, datetime | date | time) else str(value)
