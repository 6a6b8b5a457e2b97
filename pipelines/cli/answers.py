"""What `leadwise sql` does with an answer: a table for a person, or CSV, Parquet and JSON."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.cli import show
from pipelines.core.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.core.tenant import Tenant
    from pipelines.lake.ask import Answer


def listing(tenant: Tenant, as_of: datetime | None, as_json: bool) -> None:
    """Show the tables that can be asked, with columns and rows."""
    from expectations.contract import load_contracts
    from pipelines.cli.ask import interruptible
    from pipelines.core.report import progress
    from pipelines.lake.ask import ask
    from pipelines.lake.catalog import Lake
    from pipelines.lake.shown import shown

    lake, contracts = Lake(tenant), load_contracts(tenant.contracts_dir)
    found = shown(lake, contracts)
    rows = []
    with progress("tables", len(found)) as advance:
        for name, one in found.items():
            with ask(lake, contracts, f"SELECT count(*) AS n FROM {name}", as_of) as answer:
                counted = interruptible(answer.connection, answer.table)
            rows.append({"table": name, "rows": counted["n"][0].as_py(), "columns": dict(one.columns)})
            advance(1)
    if as_json:
        show.as_json(rows)
        return
    made = show.table(["table", "rows", "columns"])
    made.columns[2].justify = "left"
    made.columns[2].overflow = "fold"
    for row in rows:
        made.add_row(row["table"], show.figure(row["rows"]), ", ".join(row["columns"]))
    show.console().print(made)


def head(answer: Answer, limit: int) -> tuple[pa.Table, int, datetime]:
    """The first rows of an answer, how many there are in all, and the instant they are as of."""
    kept: list[pa.RecordBatch] = []
    rows = 0
    for batch in answer.batches:
        if rows < limit:
            kept.append(batch.slice(0, limit - rows))
        rows += batch.num_rows
    return pa.Table.from_batches(kept, answer.schema), rows, answer.as_of


def show_table(first: pa.Table, rows: int, as_of: datetime) -> None:
    """Print the first rows, and how many more there are."""
    out = show.console()
    made = show.table(first.column_names)
    for column, field in zip(made.columns, first.schema, strict=True):
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
        column.justify = "right" if number else "left"
        column.header, column.overflow = field.name, "fold"
    for cells in zip(*(column.to_pylist() for column in first.columns), strict=True):
        made.add_row(*(show.figure(cell) for cell in cells))
    out.print(made, markup=False)
    more = rows - first.num_rows
    told = f"… and {more:,} rows more: --limit, --csv or --parquet\n" if more else ""
    out.print(
        f"{told}{rows:,} row{'' if rows == 1 else 's'}, as of {as_of:%Y-%m-%d %H:%M} UTC", markup=False, style="dim"
    )


def check_file(option: str, name: str) -> None:
    """Refuse a file that can't be written to, before the query takes its time.

    Args:
        option: that names it, such as `--csv`.
        name: as it was given.

    Raises:
        ConfigError: an empty name, a folder, or a file in a folder that is not there.
    """
    if not name.strip():
        raise ConfigError(f"{option} has an empty name: give it a file to write to")
    file = Path(name).absolute()
    if file.is_dir():
        raise ConfigError(f"{option} names the folder {file}: give it a file in there")
    if not file.parent.is_dir():
        raise ConfigError(f"there is no folder {file.parent} to write {file.name} to: make it first")


def to_csv(answer: Answer, file: str) -> None:
    """Write CSV to a file, or to standard output for `-`."""
    if file == "-":
        sys.stdout.flush()
        _csv(answer, pa.PythonFile(sys.stdout.buffer, mode="w"))
        sys.stdout.flush()
        return
    with _replacing(Path(file)) as part, pa.OSFile(str(part), "wb") as sink:
        _csv(answer, sink)


def to_parquet(answer: Answer, file: Path) -> None:
    """Write Parquet to a file."""
    import pyarrow.parquet as pq

    with _replacing(file) as part, pq.ParquetWriter(str(part), answer.schema, compression="zstd") as writer:
        for batch in answer.batches:
            writer.write_batch(batch)


def to_json(answer: Answer) -> None:
    """Print an array of objects, a row a line."""
    between = "[\n"
    for batch in answer.batches:
        for row in batch.to_pylist():
            sys.stdout.write(between + json.dumps(_plain(row), default=str, allow_nan=False, ensure_ascii=False))
            between = ",\n"
    sys.stdout.write("[]\n" if between == "[\n" else "\n]\n")


def _csv(answer: Answer, sink: Any) -> None:
    from pyarrow import csv

    schema = pa.schema(
        [pa.field(field.name, pa.string() if _nested(field.type) else field.type) for field in answer.schema]
    )
    with csv.CSVWriter(sink, schema) as writer:
        for batch in answer.batches:
            writer.write_batch(_flat(batch, schema))


def _nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_dictionary(kind) or pa.types.is_interval(kind))


def _flat(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Lists and records as JSON text, since a cell of CSV holds no other."""
    columns = []
    for number, field in enumerate(batch.schema):
        column = batch.column(number)
        if _nested(field.type):
            cells = (None if cell is None else _text(cell) for cell in column.to_pylist())
            column = pa.array(cells, pa.string())
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else json.dumps(_plain(cell), default=str, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """What JSON can hold: no infinite and no missing numbers, decimals as numbers; times as ISO text."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


@contextmanager
def _replacing(file: Path) -> Iterator[Path]:
    """A file beside `file` that takes its place when all is written; what is interrupted leaves nothing."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(file)
    except OSError as error:
        raise ConfigError(
            f"{file} can't be written ({os.strerror(error.errno) if error.errno else error}):"
            " make room there or choose another file"
        ) from None
    finally:
        with suppress(OSError):  # where nothing can be written, nothing is left
            part.unlink(missing_ok=True)
