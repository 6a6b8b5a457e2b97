"""Queries of a use case, checked and bound: text to run, and the columns it gives."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from feature_repo.sql import bare, check_sql, failed, read_sql, sql_hash
from feature_repo.understood import columns_read
from pipelines.core.errors import SqlError

if TYPE_CHECKING:
    from expectations.contract import Contract

# What stands beside features in stored rows and spines.
_RESERVED = ("as_of", "event_time", "label", "known_at", "entity_id")
TIME = pa.timestamp("us")
_TYPES: tuple[tuple[str, str, pa.DataType], ...] = (
    (r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?", "CAST({0} AS BIGINT)", pa.int64()),
    # Missing is NULL, always: NaN would come back as itself from one store and as nothing from the other.
    (r"FLOAT|DOUBLE|DECIMAL.*", "nullif(CAST({0} AS DOUBLE), 'nan'::DOUBLE)", pa.float64()),
    (r"BOOLEAN", "{0}", pa.bool_()),
    (r"VARCHAR|ENUM.*", "CAST({0} AS VARCHAR)", pa.string()),
    (r"DATE|TIMESTAMP|TIMESTAMP_(S|MS|NS)", "CAST({0} AS TIMESTAMP)", TIME),
)


@dataclass(frozen=True)
class Query:
    """One checked SELECT.

    Attributes:
        name: of the view or target.
        entity: its entity column.
        sql: text to run; columns are cast to `schema`'s types, lines are those of the file.
        sql_hash: of what decides its rows: the text without comments, spaces and case of words, the columns it gives,
            and when the columns of its tables become known.
        path: its file.
        schema: of the result: the entity first.
        reads: contract tables it reads, and which of their columns.
    """

    name: str
    entity: str
    sql: str
    sql_hash: str
    path: Path
    schema: pa.Schema
    reads: Mapping[str, frozenset[str]]

    @property
    def tables(self) -> frozenset[str]:
        """Contract tables it reads."""
        return frozenset(self.reads)


@dataclass(frozen=True)
class View(Query):
    """A feature view: one row per entity as of `$as_of`."""

    @property
    def features(self) -> list[pa.Field]:
        """Its feature columns, in the order of the SELECT."""
        return [field for field in self.schema if field.name != self.entity]


def together(queries: Iterable[Query]) -> dict[str, frozenset[str]]:
    """Contract tables that any of the queries reads, and which of their columns."""
    found: dict[str, frozenset[str]] = {}
    for query in queries:
        for table, columns in query.reads.items():
            found[table] = found.get(table, frozenset()) | columns
    return found


class Binder:
    """Checks queries and learns their columns from empty tables with the contracts' columns."""

    def __init__(self, contracts: "Mapping[str, Contract]", entities: list[str]) -> None:
        self._tables = sorted(contracts)
        self._columns = {table: tuple(contract.clean_columns) for table, contract in contracts.items()}
        self._entities = entities
        self._known_after = {
            table: {name: str(one.known_after) for name, one in contract.clean_columns.items() if one.known_after}
            for table, contract in contracts.items()
        }
        self._connection = duckdb.connect(config={"enable_external_access": "false"})
        for name, contract in contracts.items():
            self._connection.register(name, contract.clean_schema().empty_table())

    def view(self, path: Path, name: str) -> View:
        """Read a feature view: one entity, and any other column a feature."""
        text, columns = self._describe(path, {"as_of": datetime(2000, 1, 1)})
        entity = self._entity(path, columns)
        for column in columns:
            if column in _RESERVED or column.startswith("_"):
                raise SqlError(f"{path}:1: '{column}' is a reserved name: give the feature another one")
        if len(columns) == 1:
            raise SqlError(f"{path}:1: there is no feature beside '{entity}': select at least one")
        if columns[entity] != pa.string() and columns[entity] != pa.int64():
            raise SqlError(f"{path}:1: the entity '{entity}' is {columns[entity]}: cast it to VARCHAR or BIGINT")
        return View(name, entity, *self._finish(path, text, entity, columns))

    def label(self, path: Path) -> Query:
        """Read a label: entity, event_time, label (BOOLEAN becomes 0 and 1; a regression's is a number), known_at."""
        text, columns = self._describe(path, {"as_of": datetime(2000, 1, 1), "horizon_days": 7})
        entity = self._entity(path, columns)
        if set(columns) != {entity, "event_time", "label", "known_at"}:
            raise SqlError(
                f"{path}:1: a label has the columns {entity}, event_time, label, known_at, not {', '.join(columns)}"
            )
        if columns["label"] == pa.bool_():
            columns["label"] = pa.int64()
        label = pa.float64() if columns["label"] == pa.float64() else pa.int64()
        self._wants(path, columns, {"event_time": TIME, "label": label, "known_at": TIME})
        order = {name: columns[name] for name in (entity, "event_time", "label", "known_at")}
        return Query(path.stem, entity, *self._finish(path, text, entity, order))

    def candidates(self, path: Path) -> Query:
        """Read the candidates: an entity, and event_time where the date itself is not the moment."""
        text, columns = self._describe(path, {"as_of": datetime(2000, 1, 1)})
        entity = self._entity(path, columns)
        if not set(columns) <= {entity, "event_time"}:
            raise SqlError(
                f"{path}:1: candidates have the columns {entity} and, if needed, event_time, not {', '.join(columns)}"
            )
        self._wants(path, columns, {"event_time": TIME} if "event_time" in columns else {})
        return Query("candidates", entity, *self._finish(path, text, entity, columns))

    def _describe(self, path: Path, params: dict[str, Any]) -> tuple[str, dict[str, pa.DataType]]:
        """The text of `path` and the columns of its result."""
        text = read_sql(path)
        check_sql(text, path, self._tables, params)
        used = {name: value for name, value in params.items() if f"${name}" in text}
        try:
            rows = self._connection.execute(f"DESCRIBE {bare(text)}", used).fetchall()
        except duckdb.Error as error:
            raise failed(error, text, path) from None
        columns: dict[str, pa.DataType] = {}
        for name, kind, *_ in rows:
            if name in columns:
                raise SqlError(f"{path}:1: two columns are named '{name}': give one of them another name")
            columns[name] = _arrow_type(path, name, kind)
        return text, columns

    def _entity(self, path: Path, columns: Mapping[str, Any]) -> str:
        found = [name for name in columns if name in self._entities]
        if len(found) != 1:
            what = f"the entities {' and '.join(found)}" if found else "no entity"
            raise SqlError(f"{path}:1: {what} among the columns: select exactly one of {', '.join(self._entities)}")
        return found[0]

    def _wants(self, path: Path, columns: Mapping[str, pa.DataType], wanted: Mapping[str, pa.DataType]) -> None:
        for name, kind in wanted.items():
            if columns[name] != kind:
                raise SqlError(f"{path}:1: column '{name}' is {columns[name]}: cast it to {kind}")

    def _finish(
        self, path: Path, text: str, entity: str, columns: dict[str, pa.DataType]
    ) -> tuple[str, str, Path, pa.Schema, dict[str, frozenset[str]]]:
        order = [entity, *(name for name in columns if name != entity)]
        casts = ", ".join(_cast(name, columns[name]) for name in order)
        schema = pa.schema([pa.field(name, columns[name]) for name in order])
        reads = columns_read(bare(text), self._columns)
        known = {table: self._known_after[table] for table in sorted(reads) if self._known_after[table]}
        decides = [sql_hash(text), [(field.name, str(field.type)) for field in schema], known]
        return (
            f"SELECT {casts} FROM ({bare(text)}\n) AS written",
            hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest(),
            path,
            schema,
            reads,
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _cast(name: str, kind: pa.DataType) -> str:
    if name == "label" and kind == pa.float64():
        return 'CAST("label" AS DOUBLE) AS "label"'  # no number is told to be none, which is no missing label
    cast = next(cast for _, cast, found in _TYPES if found == kind)
    return f"{cast.format(_quoted(name))} AS {_quoted(name)}"


def _arrow_type(path: Path, name: str, kind: str) -> pa.DataType:
    """The stored type of a column that DuckDB describes as `kind`."""
    for pattern, _, found in _TYPES:
        if re.fullmatch(pattern, kind):
            return found
    raise SqlError(f"{path}:1: column '{name}' is {kind}: cast it to a number, BOOLEAN, VARCHAR or TIMESTAMP")
