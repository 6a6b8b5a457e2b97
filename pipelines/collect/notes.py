"""Notes of what was read, in `raw._files`, and how those of a killed run are caught up on."""

import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysFalse, AlwaysTrue, And, BooleanExpression, EqualTo, In

from pipelines.collect.files import SourceFile
from pipelines.collect.growing import Note
from pipelines.core.interval import utc_now

if TYPE_CHECKING:
    from pipelines.collect.feeds import Part
    from pipelines.lake.catalog import Lake

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
        ("mark", pa.string()),
        ("content", pa.string()),
        ("_interval_end", pa.timestamp("us")),
        ("expired", pa.bool_()),
    ]
)

DELIVERY = "leadwise.delivery"
"""Property of a snapshot of raw: which delivery its rows are."""


_SHOWN = 3


def noted(lake: "Lake", source: str | None = None, where: BooleanExpression | None = None) -> list[Note]:
    """Notes of `source`, or of all; columns that an older table lacks are None."""
    table = lake.table(FILES)
    if table is None:
        return []
    condition = AlwaysTrue() if source is None else EqualTo("source", source)
    columns = [name for name in FILES_SCHEMA.names if name in table.schema().column_names]
    rows: list[Note] = lake.read(
        FILES, columns=columns, where=And(condition, where) if where else condition
    ).to_pylist()
    return [{**dict.fromkeys(FILES_SCHEMA.names), **row} for row in rows]


def made(source: str, schemas: "Mapping[Part, pa.Schema]", counts: Mapping[str, int]) -> list[Note]:
    """The notes of what was read of `source`.

    Args:
        source: its name.
        schemas: columns of each part.
        counts: rows of each part, by name.
    """
    return [
        {
            "source": source,
            "_batch_id": part.batch_id,
            "file": part.name,
            "columns": json.dumps(schema.names),
            "typed": part.typed,
            "rows": counts[part.name],
            "_loaded_at": utc_now(),
            "mark": part.mark if isinstance(part, SourceFile) else None,
            "content": part.content if isinstance(part, SourceFile) else None,
            "_interval_end": part.arrives,
        }
        for part, schema in schemas.items()
    ]


def shrunk(lake: "Lake", source: str, batches: Sequence[str], fresh: Sequence[Note]) -> list[str]:
    """A sentence where batches that were read before hold fewer rows now: a source that loses rows is worth a look.

    Args:
        lake: with the notes of before.
        source: its name.
        batches: that are about to be replaced.
        fresh: their new notes.
    """
    before, now = Counter[str](), Counter[str]()
    for note in noted(lake, source, In("_batch_id", list(batches))) if batches else []:
        before[note["_batch_id"]] += note["rows"]
    for note in fresh:
        now[note["_batch_id"]] += note["rows"]
    fewer = [f"{batch} {now[batch]} instead of {rows}" for batch, rows in sorted(before.items()) if now[batch] < rows]
    if not fewer:
        return []
    more = f" and {len(fewer) - _SHOWN} more" if len(fewer) > _SHOWN else ""
    return [
        f"{source}: the source shrank, rows of {', '.join(fewer[:_SHOWN])}{more}: what is gone leaves raw, and clean"
        " with the next validate; if it was not meant, export it again and run these days again"
    ]


def gone(lake: "Lake", source: str, notes: Sequence[Note]) -> set[str]:
    """Batches of a growing folder of which raw holds no row any more: somebody deleted them by hand.

    A batch that lost some of its rows counts as it is: a lead may have been forgotten.

    Args:
        lake: of the tenant.
        source: its name.
        notes: all of the source.
    """
    name = f"raw.{source}"
    notes = [note for note in notes if not note["expired"]]
    if lake.count(name) == sum(note["rows"] for note in notes):  # known without reading a row
        return set()
    held: set[str] = set()
    for batch in lake.scan(name, columns=["_batch_id"]) if lake.exists(name) else ():
        held.update(pc.unique(batch["_batch_id"]).to_pylist())
    counted = [note for note in notes if note["rows"] and not note["expired"]]
    return {note["_batch_id"] for note in counted if note["_batch_id"] not in held}


def expire(lake: "Lake", source: str, batches: Collection[str]) -> None:
    """Note that batches hold no rows any more and need none: they are neither judged nor read again by themselves."""
    if batches:
        kept = noted(lake, source, In("_batch_id", sorted(batches)))
        write(lake, source, [{**note, "expired": True} for note in kept], sorted(batches))


def write(lake: "Lake", source: str, notes: Sequence[Note], batches: Sequence[str]) -> None:
    """Put `notes` in the place of those of `batches`."""
    if not notes and not batches:
        if not lake.exists(FILES):  # that it was looked is worth knowing too
            lake.write(FILES, FILES_SCHEMA, [], replace=AlwaysFalse())
        return
    stale = And(EqualTo("source", source), In("_batch_id", list(batches)))
    lake.write(FILES, FILES_SCHEMA, [pa.Table.from_pylist(list(notes), schema=FILES_SCHEMA)], replace=stale)


class Delivery:
    """Notes of a growing folder on their way: kept in a file until they are in the lake.

    The rows are committed with the delivery's id. A run that was killed between its rows and its notes left the file;
    the next one writes the notes if the rows are there, so that a file that was read is never read again.
    """

    def __init__(self, lake: "Lake", source: str) -> None:
        self._lake, self._source = lake, source
        self._path: Path = lake.tenant.home / "deliveries" / f"{source}.json"
        self.id = uuid4().hex

    @property
    def summary(self) -> dict[str, str]:
        """Properties of the commit with the rows."""
        return {DELIVERY: self.id}

    def announce(self, notes: Sequence[Note]) -> None:
        """Keep `notes`; called when all rows were read, before they are committed."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {key: value.isoformat() if isinstance(value, datetime) else value for key, value in note.items()}
            for note in notes
        ]
        draft = self._path.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as handle:
            json.dump({"id": self.id, "notes": rows}, handle)
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(self._path)

    def done(self) -> None:
        """The notes are in the lake."""
        self._path.unlink(missing_ok=True)

    def catch_up(self) -> None:
        """Write the notes that a killed run could not."""
        kept: dict[str, Any] = {}
        with suppress(FileNotFoundError):
            kept = json.loads(self._path.read_text(encoding="utf-8"))
        table = self._lake.table(f"raw.{self._source}")
        if kept and table is not None and any(_delivery(one) == kept["id"] for one in table.metadata.snapshots):
            notes = [{**note, **{key: datetime.fromisoformat(note[key]) for key in _TIMES}} for note in kept["notes"]]
            write(self._lake, self._source, notes, [note["_batch_id"] for note in notes])
        self.done()


_TIMES = ("_loaded_at", "_interval_end")


def _delivery(snapshot: Any) -> str | None:
    found: str | None = (snapshot.summary or {}).get(DELIVERY)
    return found
