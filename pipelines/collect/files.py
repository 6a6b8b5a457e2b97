"""Files of a source: which there are, what columns they have, and their rows in batches of bounded size."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from pipelines.core.errors import ConfigError, SourceError
from pipelines.core.interval import DAY, Interval, midnight

if TYPE_CHECKING:
    from pipelines.core.params import Source
    from pipelines.core.tenant import Tenant

BULK = "bulk"
"""Batch id of a source that is not cut into days."""

_FORMATS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "json", ".ndjson": "json"}


@dataclass(frozen=True)
class SourceFile:
    """One file of a batch.

    Attributes:
        path: where it is.
        batch_id: ISO day, or "bulk".
        arrives: when its rows arrive if nothing else says so: the end of its day, or of the run's interval.
        delimiter: of CSV; None is found by DuckDB.
    """

    path: Path
    batch_id: str
    arrives: datetime
    delimiter: str | None = None

    @property
    def format(self) -> str:
        """`csv`, `parquet` or `json`."""
        return _FORMATS[self.path.suffix.lower()]


def batch_ids(source: "Source", interval: Interval) -> list[str]:
    """The batches of `source` that belong to `interval`."""
    return [day.isoformat() for day in interval.days()] if source.daily else [BULK]


def find(tenant: "Tenant", name: str, source: "Source", interval: Interval) -> list[SourceFile]:
    """The files of `source` in `interval`, in the order of days and names.

    Raises:
        SourceError: a file is missing or empty.
        ConfigError: the name of a file does not tell its format.
    """
    found = []
    for batch_id in batch_ids(source, interval):
        arrives = midnight(date.fromisoformat(batch_id)) + DAY if source.daily else interval.end
        pattern = tenant.source_path(source, batch_id)
        files = [path for path in _expand(pattern) if path.is_file()]
        if not files and not source.sparse:
            raise SourceError(
                f"source '{name}' of tenant '{tenant.name}' has no file {pattern}: put it there{_advice(source)}"
            )
        found += [SourceFile(path, batch_id, arrives, source.delimiter) for path in files]
    if not found and not _any_day(tenant, source):
        pattern = tenant.source_path(source, "<day>")
        raise SourceError(
            f"source '{name}' of tenant '{tenant.name}' has no file {pattern} for any day:"
            f" put them there{_advice(source)}"
        )
    for file in found:
        _check_file(name, file)
    return found


def _advice(source: "Source") -> str:
    if "{data}" in source.path:
        return ", or set LEADWISE_DATA to the folder that holds it"
    return (
        ", or make them with `leadwise simulate`" if "{home}" in source.path else ", or correct its path in params.yaml"
    )


def _expand(pattern: str) -> list[Path]:
    """The file itself, or those that match, sorted."""
    paths = sorted(glob(pattern, recursive=True)) if has_magic(pattern) else [pattern]  # noqa: PTH207 - a whole path
    return [Path(path) for path in paths]


def _any_day(tenant: "Tenant", source: "Source") -> bool:
    return any(path.is_file() for path in _expand(tenant.source_path(source, "*")))


def _check_file(name: str, file: SourceFile) -> None:
    if file.path.suffix.lower() not in _FORMATS:
        raise ConfigError(
            f"source '{name}' reads {file.path}, whose ending tells no format: name files {', '.join(_FORMATS)}"
        )
    try:
        with file.path.open("rb") as handle:
            filled = bool(handle.read(1))
    except OSError as error:
        raise SourceError(
            f"source '{name}': {file.path} can't be read ({error.strerror}): check its permissions"
        ) from None
    if not filled:
        raise SourceError(f"source '{name}': {file.path} is empty: export it again")


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
                    yield _fit(pa.Table.from_batches([batch]), schema)
        if not total:
            raise self._no_rows(file)

    def _no_rows(self, file: SourceFile) -> SourceError:
        return SourceError(f"source '{self._name}': {file.path} holds no rows: export it again")

    def close(self) -> None:
        """Free the connection."""
        self._connection.close()

    def _select(self, file: SourceFile) -> str:
        if file.format == "parquet":
            return f"SELECT * FROM read_parquet({_text(file.path)}, hive_partitioning = false)"
        if file.format == "csv":
            return self._csv(file)
        keys = ", ".join(f"json ->> {_text('$.' + _quoted(key))} AS {_quoted(key)}" for key in self._json_keys(file))
        return f"SELECT {keys} FROM read_ndjson_objects({_text(file.path)})"

    def _csv(self, file: SourceFile) -> str:
        delimiter = f", delim = {_text(file.delimiter)}" if file.delimiter else ""
        options = "header = true, all_varchar = true, hive_partitioning = false, quote = '\"'"
        return f"SELECT * FROM read_csv({_text(file.path)}, {options}{delimiter})"

    def _json_keys(self, file: SourceFile) -> list[str]:
        """Keys of all records, in the order they are met."""
        place = f"read_ndjson_objects({_text(file.path)})"
        rows = self._connection.sql(
            f"SELECT key FROM (SELECT unnest(json_keys(json)) AS key, row_number() OVER () AS n FROM {place})"
            " GROUP BY key ORDER BY min(n)"
        ).fetchall()
        if not rows:
            raise SourceError(f"source '{self._name}': {file.path} holds no records: write one JSON object a line")
        return [str(row[0]) for row in rows]

    @contextmanager
    def _sentences(self, file: SourceFile) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError, UnicodeDecodeError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = (lines[0] if lines else type(error).__name__)[:200]
            raise SourceError(
                f"source '{self._name}': {file.path} can't be read as {file.format}: {reason}; export it again"
            ) from None


def stored_type(kind: pa.DataType) -> pa.DataType:
    """The type in which raw keeps a Parquet column: the widest of its kind; times are naive UTC microseconds."""
    if pa.types.is_dictionary(kind):
        return stored_type(kind.value_type)
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us")
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return kind
    return pa.string()


def _fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with the columns of `schema`, in its order and types."""
    columns: list[Any] = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table[field.name]
        if pa.types.is_timestamp(column.type) and column.type.tz:
            column = column.cast(pa.timestamp(column.type.unit, "UTC")).cast(pa.timestamp(column.type.unit))
        cut = pa.types.is_timestamp(column.type) and pa.types.is_timestamp(field.type)  # nanoseconds lose digits
        columns.append(column.cast(field.type, safe=not cut))
    return pa.Table.from_arrays(columns, schema=schema)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
