"""What was collected of the sources a mapping reads: batches, files, columns, and a stream of rows."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.expressions import And, GreaterThan, In, LessThanOrEqual

from feature_repo.sql import columns_named, passed_on, tables_of
from pipelines.collect.files import batch_ids
from pipelines.collect.notes import FILES, noted
from pipelines.core.errors import BatchRejected, NotReady, nearest
from pipelines.core.interval import Interval
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from expectations.contract import Contract
    from feature_repo.mappings import MappingSql
    from pipelines.core.tenant import Tenant

LINEAGE = {
    "_source_file": "source_file",
    "_source_row": "source_row",
    "_batch_id": "_batch",
    "_interval_end": "_ends",
}
"""Columns of raw that a mapping sees beside the source's own, by their name in raw."""


@dataclass(frozen=True)
class Collected:
    """What `raw` holds of one source for an interval.

    Attributes:
        name: of the source.
        batches: batch ids of the interval.
        daily: one batch a day.
        files: columns of each file that was read.
        typed: whether the files have types of their own (Parquet), instead of text.
        schema: own columns that every file has.
        expired: batch ids of the interval whose rows left raw with their retention; they are not among `batches`.
    """

    name: str
    batches: tuple[str, ...]
    daily: bool
    files: dict[str, list[str]]
    typed: bool
    schema: pa.Schema
    expired: frozenset[str] = frozenset()

    def without(self, expired: Collection[str]) -> "Collected":
        """The same without batches that can't be judged again, since rows of them expired in this or another source."""
        return replace(self, batches=tuple(one for one in self.batches if one not in expired))

    def rows(
        self, lake: Lake, batches: Sequence[str] | None = None, columns: Sequence[str] | None = None
    ) -> pa.RecordBatchReader:
        """Stream the rows of some batches, with lineage under the names of `LINEAGE`.

        Args:
            lake: of the tenant.
            batches: None is all of the interval.
            columns: own columns to read; None is all.
        """
        own = [field for field in self.schema if columns is None or field.name in columns]
        table = lake.table(f"raw.{self.name}")
        held = [f.name for f in own if table is not None and f.name in table.schema().column_names]
        schema = pa.schema([*own, *_lineage_schema()])
        if table is None or not self.files:
            return pa.RecordBatchReader.from_batches(schema, iter(()))
        where = In("_batch_id", list(batches or self.batches))
        stream = lake.scan(f"raw.{self.name}", columns=[*held, *LINEAGE], where=where)
        return pa.RecordBatchReader.from_batches(schema, _renamed(stream, schema))


def _lineage_schema() -> list[pa.Field]:
    kinds = {"_source_row": pa.int64(), "_interval_end": pa.timestamp("us")}
    return [pa.field(new, kinds.get(old, pa.string())) for old, new in LINEAGE.items()]


def _renamed(stream: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Lineage under its new names; a column that was empty in every file so far stands as empty text."""
    back = {new: old for old, new in LINEAGE.items()}
    for batch in stream:
        arrays = []
        for field in schema:
            name = back.get(field.name, field.name)
            held = name in batch.schema.names
            arrays.append(batch.column(name).cast(field.type) if held else pa.nulls(batch.num_rows, field.type))
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def collected(tenant: "Tenant", lake: Lake, name: str, interval: Interval) -> Collected:
    """Look up what was read of a source.

    The batches of a growing folder are those that arrived in the interval: what runs of it, or of parts of it, were
    the first to read.

    Raises:
        NotReady: nothing was, though the source has no days without files.
    """
    source = tenant.params.sources[name]
    if source.grows:
        arrived = And(
            GreaterThan("_interval_end", _text(interval.start)), LessThanOrEqual("_interval_end", _text(interval.end))
        )
        notes = noted(lake, name, arrived) if _knows_arrivals(lake) else []
        notes.sort(key=lambda note: str(note["_batch_id"]))
        ids = [note["_batch_id"] for note in notes]
    else:
        ids = batch_ids(source, interval)
        notes = noted(lake, name, In("_batch_id", ids))
    expired = frozenset(str(note["_batch_id"]) for note in notes if note["expired"])
    notes = [note for note in notes if note["_batch_id"] not in expired]
    ids = [one for one in ids if one not in expired]
    if not notes and not expired and not ((source.sparse or source.grows) and lake.exists(FILES)):
        raise NotReady(
            f"source '{name}' of tenant '{tenant.name}' was not read for {interval.start.date()} to"
            f" {interval.end.date()}: run `leadwise ingest` for these days first"
        )
    # Two versions of a file that grows may have other columns.
    files = {note["_batch_id" if source.grows else "file"]: json.loads(note["columns"]) for note in notes}
    table = lake.table(f"raw.{name}")
    stored = table.schema().as_arrow() if table is not None else pa.schema([])
    fields = [pa.field(column, _stored(stored, column)) for column in _shared(files)]
    typed = any(note["typed"] for note in notes)
    return Collected(name, tuple(ids), source.daily, files, typed, pa.schema(fields), expired)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def _knows_arrivals(lake: Lake) -> bool:
    """Whether the notes are of a version that has them."""
    table = lake.table(FILES)
    return table is not None and "_interval_end" in table.schema().column_names


def _shared(files: dict[str, list[str]]) -> list[str]:
    """Columns that every file has, in the order of the first."""
    lists = list(files.values())
    return [name for name in lists[0] if all(name in other for other in lists[1:])] if lists else []


def _stored(schema: pa.Schema, name: str) -> pa.DataType:
    kind = schema.field(name).type if name in schema.names else pa.null()
    return pa.string() if pa.types.is_large_string(kind) else kind


def check_columns(contract: "Contract", source: Collected) -> None:
    """Hold the files of a source that is taken as it is against its contract.

    Raises:
        BatchRejected: a file lacks a column or has an unknown one.
    """
    wanted = contract.source_columns
    for file, columns in source.files.items():
        missing = [name for name in wanted if name not in columns]
        unknown = [name for name in columns if name not in wanted]
        if missing:
            like = f" (it has the unknown column '{unknown[0]}')" if unknown else ""
            raise BatchRejected(
                f"table '{contract.name}': {file} lacks the column '{missing[0]}'{like} that {contract.path} asks for:"
                " nothing was published; export it with that column"
            )
        if unknown:
            raise BatchRejected(
                f"table '{contract.name}': {file} has the column '{unknown[0]}', which {contract.path} does not know:"
                f" nothing was published; {nearest(unknown[0], wanted)} Leave it out or describe it in the contract"
            )


def check_named(source: Collected, mappings: "Collection[MappingSql]") -> None:
    """Hold the files of a source against the mappings that read it: a column none of them names would be lost.

    A source that some table takes as it is, or a mapping passes on with `*`, is held against that contract instead.

    Raises:
        BatchRejected: a file has a column that no mapping names.
    """
    readers = [mapping for mapping in mappings if tables_of(mapping.sql, [source.name])]
    if not readers or any(passed_on(mapping.sql, [source.name]) for mapping in readers):
        return
    named = frozenset[str]().union(*(columns_named(mapping.sql) for mapping in readers))
    for file, columns in source.files.items():
        for name in columns:
            if name.lower() not in named:
                raise BatchRejected(
                    f"source '{source.name}': {file} has the column '{name}', which {readers[0].path} never names:"
                    " nothing was published; name it in mapping.sql or drop it from the export"
                )
