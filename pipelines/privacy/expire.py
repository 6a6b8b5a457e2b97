"""The step `expire`: personal rows whose retention is over, versions that nobody needs, files that nobody knows."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow.compute as pc
from pyiceberg.expressions import In, LessThanOrEqual

from pipelines.collect import notes
from pipelines.core.errors import Busy
from pipelines.core.interval import DAY, midnight
from pipelines.core.locks import HOUSEKEEPING, exclusive
from pipelines.core.report import Report, progress
from pipelines.lake.catalog import Lake
from pipelines.lake.expiry import GRACE, expire_snapshots, settle, sweep, tables
from pipelines.registry.kept import kept_snapshots
from serving.collect import LOCK as SERVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.collect.growing import Note
    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant

STEPS = ("ingest", "validate", "features", "train", "promote", "score", "monitor", SERVE)
"""Steps that read or write the lake: none of them is at work meanwhile."""

PERSONAL = ("identity", "raw", "quarantine")
"""Namespaces of tables that may hold phones."""

_PATIENCE = 60.0  # seconds to wait for a moment in which none is
_PAUSE = 0.05


def expire(tenant: Tenant, interval: Interval, grace: timedelta = GRACE) -> Report:
    """Delete what is due as of the interval's end. Run again, or after it was killed, it goes on.

    Raw rows leave `retention.raw_days` after the end of the interval they came in, rows in quarantine after
    `retention.quarantine_days`: counted in days of data, so that a run gives the same whenever it is made. Then old
    versions of all tables are forgotten, but for those that runs need, and every file that no version knows is deleted.

    Args:
        tenant: whose lake.
        interval: its end is the day of data from which is counted back.
        grace: age below which versions and unknown files stay.

    Returns:
        In `counts`: rows that left raw and quarantine, versions forgotten, files deleted, their megabytes.

    Raises:
        Busy: a step is at work, and does not end within a minute.
    """
    report = Report("expire", tenant.name, interval)
    lake = Lake(tenant)
    with housekeeping(tenant), progress("expire", 3) as advance:
        limits = tenant.params.retention
        read = notes.noted(lake)
        report.counts["raw_rows"] = _expire_raw(lake, read, interval.end - timedelta(days=limits.raw_days))
        report.counts["quarantine_rows"] = _expire_quarantine(
            lake, read, interval.end - timedelta(days=limits.quarantine_days)
        )
        for name in personal(lake):
            settle(lake, name)
        advance(1)
        kept = kept_snapshots(tenant)
        report.counts["versions"] = sum(
            expire_snapshots(lake, name, kept.get(name, ()), grace) for name in tables(lake)
        )
        advance(1)
        swept = sweep(lake, grace)
        clear_scratch(tenant)
    report.counts |= {"files": swept.files, "megabytes": round(swept.bytes / 1e6, 1)}
    return report


def personal(lake: Lake) -> list[str]:
    """The tables that may hold phones."""
    return [name for name in tables(lake) if name.partition(".")[0] in PERSONAL]


@contextmanager
def housekeeping(tenant: Tenant) -> Iterator[None]:
    """No step is at work meanwhile; one that begins waits.

    Raises:
        Busy: a step does not end within a minute.
    """
    with exclusive(tenant, HOUSEKEEPING, timeout=_PATIENCE), _all_still(tenant):
        yield


@contextmanager
def _all_still(tenant: Tenant) -> Iterator[None]:
    """Hold the locks of all steps at once or, while one is at work, none: the others go on meanwhile."""
    patience = time.monotonic() + _PATIENCE
    while True:
        with ExitStack() as stack:
            try:
                for step in STEPS:
                    stack.enter_context(exclusive(tenant, step, timeout=_PAUSE))
            except Busy:
                if time.monotonic() >= patience:
                    raise
            else:
                yield
                return
        time.sleep(_PAUSE)


def clear_scratch(tenant: Tenant) -> None:
    """Delete what killed runs left in the tenant's folder for work in progress: it may hold raw values."""
    for left in (tenant.home / "tmp").glob("*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _expire_raw(lake: Lake, read: list[Note], cutoff: datetime) -> int:
    """Note which batches are gone, then delete their rows; returns how many."""
    due: dict[str, set[str]] = defaultdict(set)
    for note in read:
        if _is_due(note, cutoff) and not note["expired"]:
            due[str(note["source"])].add(str(note["_batch_id"]))
    for source, batches in due.items():
        notes.expire(lake, source, batches)
    where = LessThanOrEqual("_interval_end", cutoff.isoformat(timespec="microseconds"))
    return sum(_delete(lake, f"raw.{name}", where) for name in lake.names("raw") if f"raw.{name}" != notes.FILES)


def _is_due(note: Note, cutoff: datetime) -> bool:
    return note["_interval_end"] is not None and note["_interval_end"] <= cutoff


def _expire_quarantine(lake: Lake, read: list[Note], cutoff: datetime) -> int:
    ends = {str(note["_batch_id"]): note["_interval_end"] for note in read}
    removed = 0
    for table in lake.names("quarantine"):
        name = f"quarantine.{table}"
        held = pc.unique(lake.read(name, columns=["_batch_id"])["_batch_id"]).to_pylist()
        due = [batch for batch in held if (end := _end(batch) or ends.get(batch)) is not None and end <= cutoff]
        removed += _delete(lake, name, In("_batch_id", due)) if due else 0
    return removed


def _end(batch: str) -> datetime | None:
    """The end of a batch that is a day."""
    try:
        return midnight(date.fromisoformat(batch)) + DAY
    except ValueError:
        return None


def _delete(lake: Lake, name: str, where: In | LessThanOrEqual) -> int:
    """Delete rows in one commit, or do nothing where there are none; returns how many."""
    table = lake.table(name)
    rows = lake.count(name, where)
    if table is not None and rows:
        lake.write(name, table.schema().as_arrow(), [], replace=where)
    return rows
