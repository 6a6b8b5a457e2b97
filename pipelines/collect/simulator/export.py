"""Writes a drawn market as an export: Parquet, one file per table and day of arrival; later days are kept apart."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.collect.simulator.days import MARK
from pipelines.collect.simulator.market import Drawn
from pipelines.collect.simulator.tables import KEYS
from pipelines.core.errors import SourceError
from pipelines.core.params import SimulateParams
from pipelines.core.report import progress

TRUTH = "_truth"
AHEAD = "_ahead"
"""Folder of the days that are drawn and not exported yet: `<table>.parquet`, sorted by arrival."""
_GROUP_ROWS = 5_000
"""Of a file kept ahead: a day is read without the rest."""
_DAY_MICROS = 86_400_000_000


def export(drawn: Drawn, target: Path, params: SimulateParams) -> dict[str, int]:
    """Write all tables below `target`, replacing an earlier export as a whole or not at all.

    Args:
        drawn: the market.
        target: folder that gets `<table>/<YYYY-MM-DD>.parquet`, `_ahead/<table>.parquet` and `_truth/<name>.parquet`.
        params: the market's; rows that arrive from `params.end` on are kept ahead.

    Returns:
        Rows exported per table, and `files`, their number.

    Raises:
        SourceError: `target` holds something that no simulator wrote.
        OSError: it can't be written; what was there before stays.
    """
    _refuse_foreign(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent, ignore_cleanup_errors=True) as scratch:
        fresh = Path(scratch) / "new"
        counts = _write(drawn, fresh, params)
        _swap(fresh, target, Path(scratch) / "old")
    return counts


def export_day(target: Path, start: datetime, end: datetime) -> dict[str, int]:
    """Export what arrives in `[start, end)` of the days kept ahead; a file is there whole or not at all.

    Returns:
        Rows by table.
    """
    counts = {}
    for name in KEYS:
        where = [("received_at", ">=", start), ("received_at", "<", end)]
        rows = pq.read_table(target / AHEAD / f"{name}.parquet", filters=where)
        counts[name] = rows.num_rows
        if rows.num_rows:
            fresh = target / AHEAD / f"{name}.fresh"
            pq.write_table(rows, fresh)
            fresh.replace(target / name / f"{start:%Y-%m-%d}.parquet")
    return counts


def by_day(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Cut a table sorted by `received_at` into days: ISO day and its rows."""
    days = table["received_at"].cast(pa.int64()).to_numpy() // _DAY_MICROS
    for day in np.unique(days):
        start, stop = np.searchsorted(days, [day, day + 1])
        yield str(day.astype("datetime64[D]")), table.slice(start, stop - start)


def _write(drawn: Drawn, folder: Path, params: SimulateParams) -> dict[str, int]:
    counts, files = {}, 0
    for part in (folder, folder / AHEAD, folder / TRUTH):
        part.mkdir()
    last = params.start + timedelta(days=params.drawn_days)
    days = {"start": params.start.isoformat(), "end": params.end.isoformat(), "horizon": last.isoformat()}
    (folder / MARK).write_text(json.dumps(days) + "\n", encoding="utf-8")
    with progress("simulate: writing", len(drawn.tables)) as advance:
        for name in KEYS:
            now, later = _split(drawn.tables[name], params.end)
            counts[name] = now.num_rows
            (folder / name).mkdir()
            for day, rows in by_day(now):
                pq.write_table(rows, folder / name / f"{day}.parquet")
                files += 1
            pq.write_table(later, folder / AHEAD / f"{name}.parquet", row_group_size=_GROUP_ROWS)
            advance(1)
    for name, table in drawn.truth.items():
        pq.write_table(table, folder / TRUTH / f"{name}.parquet")
    return {**counts, "files": files}


def _split(table: pa.Table, end: date) -> tuple[pa.Table, pa.Table]:
    """Rows of a table sorted by arrival that arrive before the midnight `end`, and the others."""
    received = table["received_at"].cast(pa.int64()).to_numpy()
    cut = int(np.searchsorted(received, (end - date(1970, 1, 1)).days * _DAY_MICROS))
    return table.slice(0, cut), table.slice(cut)


def _swap(fresh: Path, target: Path, old: Path) -> None:
    """Put `fresh` in the place of `target`; if that fails, the earlier export is put back."""
    if not target.exists():
        fresh.rename(target)
        return
    target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        old.rename(target)
        raise


def _refuse_foreign(target: Path) -> None:
    """Other people's files are never replaced."""
    if target.exists() and any(target.iterdir()) and not (target / MARK).exists():
        raise SourceError(
            f"{target} holds files that the simulator did not write: move them away, or simulate for another tenant"
        )


@contextmanager
def in_one_sentence(target: Path) -> Iterator[None]:
    """Turn a failure of the file system into a SourceError about `target`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(
            f"the simulated export can't be written to {target}: {reason}; free or open it, or set LEADWISE_VAR"
        ) from None


def remove_leftovers(target: Path) -> None:
    """Delete what a killed run left beside `target`, putting back an earlier export it had moved away."""
    for scratch in sorted(target.parent.glob(".export-*")):
        if (scratch / "old").exists() and not target.exists():
            (scratch / "old").rename(target)
        shutil.rmtree(scratch, ignore_errors=True)
