"""Files of a source: their format, what columns they have, and their rows in batches of bounded size."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from pipelines.collect.types import fit, stored_type
from pipelines.core.errors import SourceError
from pipelines.core.formats import CSV_OPTIONS
from pipelines.core.interval import Interval

if TYPE_CHECKING:
    from pipelines.collect.partitions import Key
    from pipelines.core.params import Source

BULK = "bulk"
"""Batch id of a source that is not cut into days."""

ENDINGS = (".csv", ".parquet", ".jsonl", ".ndjson", ".json")
"""What a file's name may end with; all but Parquet also with .gz or .zst behind."""

_FORMATS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "json", ".ndjson": "json", ".json": "json"}
_COMPRESSED = (".gz", ".zst")
_RAGGED = re.compile(
    r"CSV Error on Line: (\d+)\n.*?^Expected Number of Columns: (\d+) Found: (\d+)", re.DOTALL | re.MULTILINE
)


class NoRows(SourceError):
    """A file that has nothing but perhaps a header."""


def ending(name: str) -> str | None:
    """The ending of `name` that tells its format, without that of a compression; None where it tells none."""
    suffixes = Path(name.lower()).suffixes
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
        if suffixes and suffixes[-1] == ".parquet":
            return None
    return suffixes[-1] if suffixes and suffixes[-1] in _FORMATS else None


@dataclass(frozen=True)
class SourceFile:
    """One file of a batch.

    Attributes:
        path: where it lies on this machine.
        batch_id: ISO day, "bulk", or for a growing folder the file itself.
        arrives: when its rows arrive if nothing else says so: the end of its day, or of the run's interval.
        delimiter: of CSV; None is found by DuckDB.
        label: its address where that is not its path.
        keys: columns that its folders give.
        mark: what changes when a file of a growing folder does: size and time, or the ETag.
        content: hash of what such a file holds.
    """

    path: Path
    batch_id: str
    arrives: datetime
    delimiter: str | None = None
    label: str = ""
    keys: "tuple[Key, ...]" = ()
    mark: str | None = None
    content: str | None = None

    @property
    def name(self) -> str:
        """What raw, notes and messages call it."""
        return self.label or str(self.path)

    @property
    def format(self) -> str:
        """`csv`, `parquet` or `json`."""
        return _FORMATS[ending(self.name) or ""]

    @property
    def typed(self) -> bool:
        """Whether its columns have types of their own."""
        return self.format == "parquet"


def batch_ids(source: "Source", interval: Interval) -> list[str]:
    """The batches of `source` that belong to `interval`; those of a growing folder are only known by what was read."""
    if source.grows:
        return []
    return [day.isoformat() for day in interval.days()] if source.daily else [BULK]


class Reader:
    """Reads files of a source with DuckDB. CSV and JSON give text in every column, Parquet its own types."""

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._connection = duckdb.connect(config={"threads": threads, "preserve_insertion_order": True})

    def schema(self, file: SourceFile) -> pa.Schema:
        """Columns of `file`, which has a first row; a Parquet column that holds nothing at all has the null type.

        Raises:
            SourceError: the file is not what its name says, or holds no row.
        """
        given = {key.name for key in file.keys}
        fields = [field for field in self._own_schema(file) if field.name not in given]
        return pa.schema([*fields, *(pa.field(key.name, key.type) for key in file.keys)])

    def _own_schema(self, file: SourceFile) -> pa.Schema:
        """Columns that stand in the file itself."""
        with self._sentences(file):
            if file.format == "parquet":
                import pyarrow.parquet as pq

                if not pq.read_metadata(file.path).num_rows:
                    raise self._no_rows(file)
                return pa.schema([pa.field(f.name, stored_type(f.type)) for f in pq.read_schema(file.path)])
            if file.format == "json":
                return pa.schema([pa.field(key, pa.string()) for key in self._json_keys(file)])
            # One row has the names; only the whole file tells whether the text holds together.
            head = self._connection.sql(self._csv(file) + " LIMIT 1").to_arrow_table()
            if not head.num_rows:
                raise self._no_rows(file)
            return head.schema

    def batches(self, file: SourceFile, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Rows of `file` in its order, at most about `rows` at once, cast to `schema`; columns it lacks are null.

        Raises:
            SourceError: the file can't be read to its end, or holds no row.
        """
        total = 0
        with self._sentences(file):
            for batch in self._connection.sql(self._select(file)).to_arrow_reader(rows):
                total += batch.num_rows
                if batch.num_rows:
                    yield fit(_with_keys(pa.Table.from_batches([batch]), file), schema, self._called(file))
        if not total:
            raise self._no_rows(file)

    def _called(self, file: SourceFile) -> str:
        return f"source '{self._name}': {file.name}"

    def _no_rows(self, file: SourceFile) -> NoRows:
        return NoRows(f"source '{self._name}': {file.name} holds no rows: export it again")

    def close(self) -> None:
        """Free the connection."""
        self._connection.close()

    def _select(self, file: SourceFile) -> str:
        if file.format == "parquet":
            return f"SELECT * FROM read_parquet({_text(file.path)}, hive_partitioning = false)"
        if file.format == "csv":
            return self._csv(file)
        keys = ", ".join(f"json ->> {_text('$.' + _quoted(key))} AS {_quoted(key)}" for key in self._json_keys(file))
        return f"SELECT {keys} FROM {_records(file)}"

    def _csv(self, file: SourceFile) -> str:
        delimiter = f", delim = {_text(file.delimiter)}" if file.delimiter else ""
        return f"SELECT * FROM read_csv({_text(file.path)}, {CSV_OPTIONS}{delimiter})"

    def _json_keys(self, file: SourceFile) -> list[str]:
        """Keys of all records, in the order they are met."""
        rows = self._connection.sql(
            f"SELECT key FROM (SELECT unnest(json_keys(json)) AS key, row_number() OVER () AS n FROM {_records(file)})"
            " GROUP BY key ORDER BY min(n)"
        ).fetchall()
        if not rows:
            raise NoRows(f"source '{self._name}': {file.name} holds no records: write one JSON object a line")
        return [str(row[0]) for row in rows]

    @contextmanager
    def _sentences(self, file: SourceFile) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError, UnicodeDecodeError) as error:
            if ragged := _RAGGED.search(str(error)):
                raise SourceError(
                    f"{self._called(file)} can't be read as {file.format}: line {ragged[1]} has {ragged[3]} columns and"
                    f" the header {ragged[2]}: mend that line, or put a value that holds the delimiter in double quotes"
                ) from None
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = (lines[0] if lines else type(error).__name__).replace(str(file.path), file.name)[:200]
            raise SourceError(
                f"source '{self._name}': {file.name} can't be read as {file.format}: {reason}; export it again"
            ) from None


def _with_keys(table: pa.Table, file: SourceFile) -> pa.Table:
    """`table` with the columns that the folders of its file give, which win over its own."""
    for key in file.keys:
        if key.name in table.column_names:
            table = table.drop_columns([key.name])
        value = pa.scalar(key.value, key.type)
        table = table.append_column(key.name, pa.repeat(value, table.num_rows))
    return table


def _records(file: SourceFile) -> str:
    """JSON lines, or for `.json` also an array, or objects over several lines."""
    if ending(file.name) == ".json":
        return f"read_json_objects({_text(file.path)}, format = 'auto')"
    return f"read_ndjson_objects({_text(file.path)})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
