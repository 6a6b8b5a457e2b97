"""PostgreSQL, by ADBC: rows come as Arrow batches over COPY, in one read-only snapshot."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from typing import Any, NoReturn

import pyarrow as pa

from pipelines.collect.types import fit, stored_type
from pipelines.core.connections import Connection, libpq
from pipelines.core.errors import SourceError, SourceUnreachable

_BATCH_BYTES = 16 * 1024 * 1024
_LOST = re.compile(
    r"server closed|PQgetCopyData|connection to server|could not (receive|send)|terminat|no connection"
    r"|connection not open|SSL (SYSCALL|error)|Connection (refused|reset|timed out)",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"authentication|password|role .* does not exist|not permitted|pg_hba", re.IGNORECASE)
_STATED = re.compile(r"(?:ERROR|FATAL):\s+([^\n]*)")
# Classes of SQLSTATE after which the same query may succeed: connection, resources, operator, system, lock, conflict.
_PASSING = ("08", "53", "57", "58", "55P03", "40")

# What COPY hands over as it is; the rest is turned into text (or what is here) by the server.
_AS_IT_IS = {"bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar"}
_CASTS = {
    "numeric": "{0}::float8",
    "money": "{0}::numeric::float8",
    "bytea": "encode({0}, 'hex')",
    "date": "CASE WHEN isfinite({0}) THEN {0} END",
    "timestamp": "CASE WHEN isfinite({0}) THEN {0} END",
    "timestamptz": "CASE WHEN isfinite({0}) THEN {0} AT TIME ZONE 'UTC' END",
}


class Postgres:
    """One snapshot of a PostgreSQL database. Nothing can be written through it."""

    typed = True
    fixed = True

    def __init__(self, connection: Connection) -> None:
        """Connect and begin.

        Raises:
            SourceError: the server refuses the login.
            SourceUnreachable: it does not answer.
        """
        import adbc_driver_postgresql.dbapi as driver

        self._about = connection
        assert connection.url is not None
        with self._sentences("can't be reached"):
            self._session = driver.connect(libpq(connection.url))
            self._run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._run("SET TIME ZONE 'UTC'")

    def literal(self, day: date) -> str:
        """The midnight at which `day` begins."""
        return f"TIMESTAMP '{day.isoformat()} 00:00:00'"

    def schema(self, sql: str) -> pa.Schema:
        """Columns of a query, without running it; times are naive UTC."""
        with self._cursor() as cursor:
            described = cursor.adbc_execute_schema(self._select(sql, self._described(cursor, sql)))
        return pa.schema([pa.field(field.name, stored_type(field.type)) for field in described])

    def has_rows(self, sql: str) -> bool:
        """Whether a query gives any."""
        with self._cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM (\n{sql}\n) AS q LIMIT 1")
            return cursor.fetchone() is not None

    def batches(self, sql: str, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Rows of a query cast to `schema`, in batches of about 16 MB and at most `rows`."""
        with self._cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
            cursor.execute(self._select(sql, self._described(cursor, sql)))
            for batch in cursor.fetch_record_batch():
                for start in range(0, batch.num_rows, rows):
                    yield fit(pa.Table.from_batches([batch.slice(start, rows)]), schema, "a database")

    def close(self) -> None:
        """End the transaction and the session, whatever state they are in."""
        with suppress(Exception):
            self._session.close()

    def _described(self, cursor: Any, sql: str) -> pa.Schema:
        return cursor.adbc_execute_schema(f"SELECT * FROM (\n{sql}\n) AS q")

    def _select(self, sql: str, described: pa.Schema) -> str:
        """The query with every column in a type that COPY hands over fast and raw keeps."""
        if len(set(described.names)) < len(described):
            twice = next(name for name in described.names if described.names.count(name) > 1)
            raise SourceError(f"the query gives the column '{twice}' twice: name one of them differently")
        cells = []
        for field in described:
            name = '"' + field.name.replace('"', '""') + '"'
            kind = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
            if kind in _AS_IT_IS:
                cells.append(name)
            else:
                text = "array_to_json({0})::text" if kind.startswith("_") else "{0}::text"
                cells.append(f"{_CASTS.get(kind, text).format(name)} AS {name}")
        return f"SELECT {', '.join(cells)} FROM (\n{sql}\n) AS q"

    def _run(self, sql: str) -> None:
        with self._session.cursor() as cursor:
            cursor.execute(sql)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with self._sentences("can't run its query"), self._session.cursor() as cursor:
            yield cursor

    @contextmanager
    def _sentences(self, what: str) -> Iterator[None]:
        from adbc_driver_manager import Error

        try:
            yield
        except (Error, OSError, pa.ArrowException, OverflowError) as error:
            self._raise(what, error)

    def _raise(self, what: str, error: Exception) -> NoReturn:
        """What the server said, without values of rows and without secrets."""
        text, state = str(error), str(getattr(error, "sqlstate", None) or "")
        stated = _STATED.search(text)
        reason = stated[1].strip() if stated else ""
        if _LOGIN.search(reason) and not state:
            raise SourceError(
                f"{self._about} {what}: the server refuses the login: correct its user and password"
            ) from None
        if state.startswith(_PASSING) or (not state and _LOST.search(text) and "does not exist" not in reason):
            raise SourceUnreachable(
                f"{self._about} does not answer or broke off: nothing of this source was written; run again when it is"
                " back"
            ) from None
        if not state.startswith(("42", "0A", "25")) and "does not exist" not in reason:
            reason = re.sub(r'"[^"]*"|\'[^\']*\'', "…", reason)  # values of rows
        place = re.search(r"\nLINE (\d+): ", text)
        raise SourceError(
            f"{self._about} {what}{f', line {max(int(place[1]) - 1, 1)}' if place else ''}:"
            f" {self._about.masked(reason) or 'its answer makes no sense'}; correct the query or the connection"
        ) from None
