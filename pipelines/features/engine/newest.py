"""The newest row of each entity, from an Iceberg table, in flat memory and in the order of the online store's keys."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from pipelines.core.settings import get_settings
from pipelines.lake.reading import stream

ROWS = 5_000
"""Entities of a part: the online store gets them at once."""

_MEMORY = "160MB"
"""What DuckDB keeps in memory; the rest waits in files."""


@dataclass(frozen=True)
class Columns:
    """What is read of a table.

    Attributes:
        entity: name of the column of the entity.
        features: names of the features.
        time: name of the column that says as of when a row holds, naive UTC.
    """

    entity: str
    features: list[str]
    time: str


class Newest:
    """The newest rows of a stretch, to be read in parts.

    Attributes:
        kind: type of the entity.
        rows: how many there are.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, columns: Columns, schema: pa.Schema) -> None:
        self._connection = connection
        self._columns = columns
        self._schema = schema
        self.kind: pa.DataType = schema.field(columns.entity).type
        self.rows: int = connection.execute("SELECT count(*) FROM newest").fetchall()[0][0]

    def parts(self) -> Iterator[pa.Table]:
        """Tables of at most `ROWS` rows, an entity each, in the order of the keys of the online store."""
        reader = self._connection.sql(f"SELECT * FROM newest ORDER BY {_key_order(self._columns.entity, self.kind)}")
        for batch in reader.to_arrow_reader(ROWS):
            yield pa.Table.from_batches([_seen_as(batch, self._schema)])

    def sample(self, rows: int | None, seed: int) -> list[str | int]:
        """So many of the entities, drawn by the seed; None is all of them, in the order of the keys."""
        drawn = f" USING SAMPLE reservoir({rows} ROWS) REPEATABLE ({seed})" if rows is not None else ""
        entities = f'SELECT "{self._columns.entity}" FROM newest{drawn}'
        order = _key_order(self._columns.entity, self.kind)
        found = self._connection.execute(f"SELECT * FROM ({entities}) ORDER BY {order}").fetchall()
        return [row[0] for row in found]

    def of(self, entities: list[str | int]) -> pa.Table:
        """A row for each of `entities`, in their order: its features, and null for one that has no row."""
        places = pa.array(range(len(entities)), pa.int64())
        self._connection.register("_given", pa.table({"_one": pa.array(entities, self.kind), "_place": places}))
        picked = ", ".join(f'newest."{name}"' for name in self._columns.features)
        rows = self._connection.sql(
            f'SELECT {picked} FROM _given LEFT JOIN newest ON newest."{self._columns.entity}" = _one ORDER BY _place'
        ).to_arrow_table()
        self._connection.unregister("_given")
        schema = pa.schema([self._schema.field(name) for name in self._columns.features])
        return pa.Table.from_batches([_seen_as(one, schema) for one in rows.to_batches()], schema)

    def missing(self, entities: Iterable[str | int]) -> list[str | int]:
        """Those of `entities` that have no row here."""
        given = pa.table({"_one": pa.array(list(entities), self.kind)})
        self._connection.register("_given", given)
        found = self._connection.execute(
            f'SELECT _one FROM _given WHERE _one NOT IN (SELECT "{self._columns.entity}" FROM newest)'
        ).fetchall()
        self._connection.unregister("_given")
        return [row[0] for row in found]


@contextmanager
def newest(table: Table, columns: Columns, since: datetime | None, until: datetime) -> Iterator[Newest]:
    """Find the newest row of each entity.

    Args:
        table: rows of many instants.
        columns: what to read of it.
        since: rows from here on count, naive UTC; None is all.
        until: rows up to here count, naive UTC.
    """
    time, entity = f'"{columns.time}"', f'"{columns.entity}"'
    where = f"{columns.time} <= '{until.isoformat()}'"
    if since is not None:
        where += f" and {columns.time} >= '{since.isoformat()}'"
    names = [columns.entity, *columns.features, columns.time]
    rows = stream(table, columns=names, where=where)
    picked = ", ".join(f'"{name}"' for name in names)
    with tempfile.TemporaryDirectory(prefix="leadwise-online-") as folder:
        config = {
            "threads": get_settings().threads,
            "memory_limit": _MEMORY,
            "temp_directory": folder,
            "preserve_insertion_order": False,
        }
        with duckdb.connect(config=config) as connection:
            connection.register("_rows", _as_bits(rows))
            connection.execute(
                f"CREATE TABLE newest AS SELECT {picked} FROM _rows WHERE {entity} IS NOT NULL"
                f" QUALIFY row_number() OVER (PARTITION BY {entity} ORDER BY {time} DESC) = 1"
            )
            connection.unregister("_rows")
            yield Newest(connection, columns, pa.schema([rows.schema.field(name) for name in names]))


def _as_bits(rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Floats as integers of the same bits: DuckDB's tables do not keep the sign of a zero."""
    kinds = [pa.field(one.name, pa.int64() if one.type == pa.float64() else one.type) for one in rows.schema]
    schema = pa.schema(kinds)
    return pa.RecordBatchReader.from_batches(schema, (_seen_as(batch, schema) for batch in rows))


def _seen_as(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The same bits under other types."""
    columns = [
        one if one.type == field.type else one.view(field.type) for one, field in zip(batch, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _key_order(entity: str, kind: pa.DataType) -> str:
    """SQL that orders rows by the bytes of their keys: appending in order is what a store does fastest."""
    name = f'"{entity}"'
    if kind == pa.int64():  # little-endian: the lowest byte comes first
        return ", ".join([*(f"({name} >> {shift}) & 255" for shift in range(0, 64, 8))])
    return f"strlen({name}) & 255, strlen({name}), {name}"
