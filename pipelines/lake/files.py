"""A table's data files, read by DuckDB itself where they lie on this machine."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from pipelines.core.stores import sentences
from pipelines.lake.reading import streamed

if TYPE_CHECKING:
    import duckdb
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.schema import Schema
    from pyiceberg.table import DataScan, FileScanTask

    from pipelines.lake.catalog import Lake

_TYPES = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "int": "INTEGER",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "binary": "BLOB",
}
"""Iceberg's types that Leadwise stores, as DuckDB calls them."""


@contextmanager
def fed(
    connection: "duckdb.DuckDBPyConnection",
    lake: "Lake",
    name: str,
    *,
    columns: Sequence[str],
    where: "BooleanExpression | str | None" = None,
    order: str | None = None,
) -> Iterator[str]:
    """What to write after FROM to read a table of the lake, once.

    Files on this machine are read by all threads of the connection, and of the columns only those that the SQL needs;
    files elsewhere are streamed through Arrow.

    Args:
        connection: not closed to files.
        lake: of the tenant.
        name: `<namespace>.<table>`, which exists.
        columns: that the SQL may name.
        where: files without such rows are left out. The SQL has to leave out the other rows.
        order: column by whose greatest value files are ordered, where they are on this machine.

    Raises:
        StoreLost: a data file is gone.
    """
    table, scan = lake.planned(name, columns=columns, where=where)
    with sentences(f"table {name} of tenant '{lake.tenant.name}'", table.location()):
        paths = local_files(_ordered(scan, order))
        if paths:
            _refuse_lost(paths)
            yield read_parquet(paths, scan.projection())
            return
        connection.register("_fed", streamed(table, scan))
        try:
            yield "_fed"
        finally:
            connection.unregister("_fed")


def local_files(tasks: "Iterable[FileScanTask]") -> list[str] | None:
    """Paths of data files; None where one does not lie on this machine or rows of it were deleted."""
    found = []
    for task in tasks:
        place = urlparse(task.file.file_path)
        if place.scheme not in ("", "file") or task.delete_files:
            return None
        found.append(unquote(place.path))
    return found


def read_parquet(paths: Sequence[str], schema: "Schema", names: Mapping[str, str] | None = None) -> str:
    """SQL that reads columns by their numbers: an older file may know one under another name, or not at all.

    Args:
        paths: at least one.
        schema: the columns.
        names: what to call each column, where it is not called by its own name.
    """
    listed = ", ".join(literal(path) for path in paths)
    columns = ", ".join(
        f"{field.field_id}: {{name: {literal((names or {}).get(field.name, field.name))},"
        f" type: '{_TYPES[str(field.field_type)]}', default_value: NULL}}"
        for field in schema.fields
    )
    return f"read_parquet([{listed}], schema=MAP {{{columns}}}, hive_partitioning=false)"


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _refuse_lost(paths: Sequence[str]) -> None:
    """Raise FileNotFoundError, as Arrow does: what DuckDB says of a lost file has no words of its own for it."""
    for path in paths:
        Path(path).stat()


def _ordered(scan: "DataScan", order: str | None) -> "list[FileScanTask]":
    tasks = list(scan.plan_files())
    if order is None:
        return tasks
    number = scan.projection().find_field(order).field_id
    return sorted(tasks, key=lambda task: (_greatest(task, number), task.file.file_path))


def _greatest(task: "FileScanTask", number: int) -> int:
    """The greatest time of a column in a file, as Iceberg's statistics have it; 0 where they do not say."""
    return int.from_bytes(task.file.upper_bounds.get(number, b""), "little", signed=True)
