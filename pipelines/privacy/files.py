"""Leads leave the files that were written for people: audiences, and pages of the gate."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.deliver import manifest
from pipelines.deliver.files import replacing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from pipelines.core.tenant import Tenant
    from pipelines.privacy.traces import Traces

_ROWS = 50_000


def from_audiences(
    tenant: Tenant, entities: Collection[str], leads: Collection[str], traces: Traces
) -> Iterator[tuple[Path, int]]:
    """Rewrite audiences without the leads; ranks of the others stay, and manifests say what the files hold now.

    Drafts of killed runs are deleted.

    Yields:
        Each file that was rewritten, and how many rows left it.
    """
    yield from _from_each(tenant, entities, leads, traces)
    for path in sorted(tenant.audience_dir.glob(f"*/{manifest.MANIFEST}")):
        manifest.again(path.parent)


def _from_each(
    tenant: Tenant, entities: Collection[str], leads: Collection[str], traces: Traces
) -> Iterator[tuple[Path, int]]:
    for path in sorted(tenant.audience_dir.rglob("*")):
        if path.is_file() and path.name.startswith("."):
            path.unlink(missing_ok=True)
        elif path.suffix == ".parquet":
            yield from _rewritten(path, _from_parquet(path, entities, leads, traces))
        elif path.suffix == ".csv":
            yield from _rewritten(path, _from_csv(path, entities, leads, traces))


def _rewritten(path: Path, rows: int) -> Iterator[tuple[Path, int]]:
    if rows:
        yield path, rows


def _from_parquet(path: Path, entities: Collection[str], leads: Collection[str], traces: Traces) -> int:
    """Write the file anew without them; returns the rows that left."""
    gone = pa.array(sorted(leads), pa.string())
    lost = 0
    with (
        pq.ParquetFile(path) as file,
        replacing(path, private=_private(path)) as (draft,),
        pq.ParquetWriter(draft, file.schema_arrow) as writer,
    ):
        for batch in file.iter_batches(_ROWS):
            rows = pa.Table.from_batches([batch])
            out = traces.rows(rows)
            for name in set(entities) & set(rows.column_names):
                out = pc.or_(out, pc.fill_null(pc.is_in(rows[name], value_set=gone), False))
            writer.write_table(rows.filter(pc.invert(out)))
            lost += pc.sum(pc.cast(out, pa.int64())).as_py() or 0
    return lost


def _from_csv(path: Path, entities: Collection[str], leads: Collection[str], traces: Traces) -> int:
    """Write the file anew without them, every other line as it stands; returns the rows that left."""
    lost = 0
    raw: list[str] = []
    with (
        path.open(encoding="utf-8", newline="") as opened,
        replacing(path, private=_private(path)) as (draft,),
        draft.open("w", encoding="utf-8", newline="") as target,
    ):
        rows = csv.reader(_kept(opened, raw))
        places = [place for place, name in enumerate(next(rows, [])) if name in entities]
        target.write("".join(raw))
        raw.clear()
        for row in rows:
            if any(row[place] in leads for place in places) or traces.text("\n".join(row)):
                lost += 1
            else:
                target.write("".join(raw))
            raw.clear()
    return lost


def _kept(lines: Iterable[str], raw: list[str]) -> Iterator[str]:
    """Pass lines on, and keep those that were read since `raw` was cleared."""
    for line in lines:
        raw.append(line)
        yield line


def _private(path: Path) -> bool:
    """Whether only its owner may read it."""
    return not path.stat().st_mode & 0o044


def from_docs(tenant: Tenant, traces: Traces) -> None:
    """Delete pages and results of the gate in which the number stands: their samples are masked, so there are none."""
    from pipelines.quality.pages import make_local

    found = [
        path
        for path in tenant.docs_dir.rglob("*")
        if path.suffix in (".html", ".json") and traces.text(path.read_text(encoding="utf-8", errors="replace"))
    ]
    for path in found:
        path.unlink()
    if found:
        make_local(tenant.docs_dir)
