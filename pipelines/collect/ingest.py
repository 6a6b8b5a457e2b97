"""The step `ingest`: files of every source into `raw`, as they are, with batch, file, row and time of arrival."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyiceberg.expressions import And, EqualTo, In, NotIn

from pipelines.collect.files import Reader, SourceFile, batch_ids, find
from pipelines.collect.schema import SYSTEM, clash, settle, unite, without_empty
from pipelines.core.errors import ConfigError, nearest
from pipelines.core.interval import Interval, utc_now
from pipelines.core.locks import exclusive
from pipelines.core.report import Advance, Report, progress
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant

FILES = "raw._files"
"""One row per file that was read: which columns it had, so that a missing one is not taken for an empty one."""

FILES_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("_batch_id", pa.string()),
        ("file", pa.string()),
        ("columns", pa.string()),
        ("typed", pa.bool_()),
        ("rows", pa.int64()),
        ("_loaded_at", pa.timestamp("us")),
    ]
)


@dataclass
class _Plan:
    """What will be read of one source."""

    name: str
    files: list[SourceFile]
    batches: list[str]
    schemas: dict[SourceFile, pa.Schema]
    schema: pa.Schema
    fresh_table: bool = False


def ingest(tenant: "Tenant", interval: Interval) -> Report:
    """Read the sources of `interval` into `raw.<source>`; a batch read before is replaced.

    The columns and first row of every file are read before anything is written: a source that is missing, without
    rows or of another kind leaves the lake as it was. A file that breaks further down leaves its own source and those
    after it as they were; the sources before it are read and noted.

    Returns:
        Rows by source.

    Raises:
        SourceError: a source is missing, empty, unreadable, or changed the type of a column.
        ConfigError: a source that feeds no table.
    """
    _refuse_idle_sources(tenant)
    lake = Lake(tenant)
    report = Report("ingest", tenant.name, interval)
    with exclusive(tenant, "ingest"):
        plans = [_plan(tenant, lake, name, interval) for name in tenant.params.sources]
        with progress("ingest", sum(len(plan.files) for plan in plans)) as advance:
            for plan in plans:
                counts = _load(tenant, lake, plan, advance)
                _note_files(lake, plan, counts)
                report.counts[plan.name] = sum(counts.values())
    return report


def _refuse_idle_sources(tenant: "Tenant") -> None:
    """A source that no table reads is a misspelt one."""
    from expectations.contract import load_contracts
    from feature_repo.mappings import load_mappings
    from feature_repo.sql import tables_of

    contracts = load_contracts(tenant.contracts_dir)
    sources = tenant.params.sources
    mappings = load_mappings(tenant.sql_dir, contracts, sources)
    used = {name for mapping in mappings.values() for name in tables_of(mapping.sql, sources)}
    for name in sources:
        if name not in used:
            raise ConfigError(
                f"source '{name}' of tenant '{tenant.name}' feeds no table of its use case: {nearest(name, contracts)}"
            )


def _plan(tenant: "Tenant", lake: Lake, name: str, interval: Interval) -> _Plan:
    source = tenant.params.sources[name]
    files, ids = find(tenant, name, source, interval), batch_ids(source, interval)
    reader = Reader(name, tenant.settings.threads)
    schemas = {file: reader.schema(file) for file in files}
    reader.close()
    fresh = unite(name, [(str(file.path), schema) for file, schema in schemas.items()])
    table = lake.table(f"raw.{name}")
    stored = _own_columns(table.schema().as_arrow()) if table is not None else None
    schema, clashes = settle(fresh, stored)
    if clashes and stored is not None:
        # Rows of other batches bind the types; a table made of nothing but what is replaced binds nothing.
        if lake.count(f"raw.{name}", NotIn("_batch_id", ids)):
            raise clash(name, clashes[0], fresh, stored)
        return _Plan(name, files, ids, schemas, without_empty(fresh), fresh_table=True)
    return _Plan(name, files, ids, schemas, schema)


def _own_columns(schema: pa.Schema) -> pa.Schema:
    plain = {pa.large_string(): pa.string()}
    return pa.schema([(f.name, plain.get(f.type, f.type)) for f in schema if not f.name.startswith("_")])


def _load(tenant: "Tenant", lake: Lake, plan: _Plan, advance: Advance) -> dict[SourceFile, int]:
    """Write one source in one commit; returns rows by file."""
    table = f"raw.{plan.name}"
    counts: dict[SourceFile, int] = dict.fromkeys(plan.files, 0)
    if not plan.files and not lake.exists(table):
        return counts
    if plan.fresh_table:
        # Read to the end before the old rows go; a second time is cheaper than a copy on disk, and rare.
        for _ in _rows(tenant, plan, dict(counts), lambda _: None):
            pass
        lake.catalog.drop_table(table)
    rows = _rows(tenant, plan, counts, advance)
    lake.write(table, pa.schema([*plan.schema, *SYSTEM]), rows, replace=("_batch_id", plan.batches))
    return counts


def _rows(tenant: "Tenant", plan: _Plan, counts: dict[SourceFile, int], advance: Advance) -> Iterator[pa.Table]:
    now = utc_now()
    reader = Reader(plan.name, tenant.settings.threads)
    try:
        for file in plan.files:
            for batch in reader.batches(file, plan.schema, tenant.params.quality.batch_rows):
                yield _stamped(batch, file, counts[file], now)
                counts[file] += batch.num_rows
            advance(1)
    finally:
        reader.close()


def _stamped(batch: pa.Table, file: SourceFile, offset: int, now: object) -> pa.Table:
    """`batch` with where it came from and when it arrives; rows are numbered from 1 in their file."""
    size = batch.num_rows
    system: Sequence[pa.Array] = (
        pa.repeat(file.batch_id, size),
        pa.repeat(str(file.path), size),
        pa.array(np.arange(offset + 1, offset + size + 1)),
        pa.repeat(pa.scalar(file.arrives, pa.timestamp("us")), size),
        pa.repeat(pa.scalar(now, pa.timestamp("us")), size),
    )
    return pa.Table.from_arrays([*batch.columns, *system], schema=pa.schema([*batch.schema, *SYSTEM]))


def _note_files(lake: Lake, plan: _Plan, counts: Mapping[SourceFile, int]) -> None:
    """Note the files of one source, right after their rows."""
    seen = [
        {
            "source": plan.name,
            "_batch_id": file.batch_id,
            "file": str(file.path),
            "columns": json.dumps(plan.schemas[file].names),
            "typed": file.format == "parquet",
            "rows": counts[file],
            "_loaded_at": utc_now(),
        }
        for file in plan.files
    ]
    stale = And(EqualTo("source", plan.name), In("_batch_id", plan.batches))
    lake.write(FILES, FILES_SCHEMA, [pa.Table.from_pylist(seen, schema=FILES_SCHEMA)], replace=stale)
