"""Writes a drawn market as an export: Parquet, one file per table and day of arrival."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.collect.simulator.market import Drawn
from pipelines.collect.simulator.tables import KEYS
from pipelines.core.errors import SourceError
from pipelines.core.report import progress

TRUTH = "_truth"
_MARK = "_SIMULATED"
_DAY_MICROS = 86_400_000_000


def export(drawn: Drawn, target: Path) -> int:
    """Write all tables below `target`, replacing an earlier export as a whole or not at all.

    Args:
        drawn: the market.
        target: folder that gets `<table>/<YYYY-MM-DD>.parquet` and `_truth/<name>.parquet`.

    Returns:
        Number of files with rows of the export.

    Raises:
        SourceError: `target` holds something that no simulator wrote.
        OSError: it can't be written; what was there before stays.
    """
    _refuse_foreign(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent, ignore_cleanup_errors=True) as scratch:
        fresh = Path(scratch) / "new"
        files = _write(drawn, fresh)
        _swap(fresh, target, Path(scratch) / "old")
    return files


def by_day(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Cut a table sorted by `received_at` into days: ISO day and its rows."""
    days = table["received_at"].cast(pa.int64()).to_numpy() // _DAY_MICROS
    for day in np.unique(days):
        start, stop = np.searchsorted(days, [day, day + 1])
        yield str(day.astype("datetime64[D]")), table.slice(start, stop - start)


def _write(drawn: Drawn, folder: Path) -> int:
    files = 0
    folder.mkdir()
    (folder / _MARK).touch()
    with progress("simulate: writing", len(drawn.tables)) as advance:
        for name in KEYS:
            (folder / name).mkdir()
            for day, rows in by_day(drawn.tables[name]):
                pq.write_table(rows, folder / name / f"{day}.parquet")
                files += 1
            advance(1)
    (folder / TRUTH).mkdir()
    for name, table in drawn.truth.items():
        pq.write_table(table, folder / TRUTH / f"{name}.parquet")
    return files


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
    if target.exists() and any(target.iterdir()) and not (target / _MARK).exists():
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
