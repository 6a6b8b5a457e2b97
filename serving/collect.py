"""The table `deliver.scores_online`: what the endpoint served, from the files that its workers leave."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import pyarrow as pa
from pyiceberg.expressions import AlwaysFalse, EqualTo

from pipelines.core.interval import utc_now
from pipelines.core.locks import exclusive
from pipelines.lake.catalog import Lake
from pipelines.lake.forgotten import Forgotten
from serving.record import READY, Segment

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.core.tenant import Tenant

log = logging.getLogger("leadwise.serving")

TABLE = "deliver.scores_online"

LOCK = "serve"
"""Name of the lock of whoever brings served scores to the table."""

SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("position", pa.int32()),
        ("entity_id", pa.string()),
        ("date", pa.date32()),
        ("served_at", pa.timestamp("us")),
        ("moment", pa.timestamp("us")),
        ("target", pa.string()),
        ("prediction", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("tier", pa.string()),
        ("cold", pa.bool_()),
        ("features_age", pa.float64()),
        ("model_name", pa.string()),
        ("model_version", pa.string()),
        ("_batch_id", pa.string()),
        ("_loaded_at", pa.timestamp("us")),
    ]
)

_TAKEN = "taken-"
_PATIENCE = 60.0  # seconds


def folder_of(tenant: Tenant) -> Path:
    """Where workers leave what they served."""
    return tenant.home / "serving" / "served"


def collect(tenant: Tenant, lake: Lake | None = None) -> int:
    """Bring what workers left to the table; returns the number of rows. Killed and run again, none comes twice.

    Rows of leads that were forgotten meanwhile stay out.

    Raises:
        Busy: housekeeping is at work, and does not end within a minute.
        StoreUnreachable: a server of the lake does not answer; the files stay.
    """
    if not folder_of(tenant).is_dir():
        return 0
    with exclusive(tenant, LOCK, timeout=_PATIENCE):
        return bring(tenant, lake or Lake(tenant))


def bring(tenant: Tenant, lake: Lake) -> int:
    """What `collect` does, for whoever holds the lock."""
    home = folder_of(tenant)
    rows = sum(_bring(lake, batch, again=True) for batch in sorted(home.glob(f"{_TAKEN}*")))
    left = sorted(home.glob(f"*{READY}"))
    if left:
        batch = home / f"{_TAKEN}{uuid4().hex}"
        batch.mkdir(mode=0o700)
        for path in left:
            path.rename(batch / path.name)
        rows += _bring(lake, batch, again=False)
    return rows


def _bring(lake: Lake, batch: Path, again: bool) -> int:
    """Bring the files of a batch to the table, and delete them."""
    forgotten = Forgotten(lake).leads
    rows = [row for path in sorted(batch.glob(f"*{READY}")) for row in _rows(path, forgotten)]
    if rows:
        number = batch.name.removeprefix(_TAKEN)
        now = utc_now()
        table = pa.Table.from_pylist([{**row, "_batch_id": number, "_loaded_at": now} for row in rows], SCHEMA)
        # Only one that was begun before may be in the table already, in whole.
        lake.write(TABLE, SCHEMA, [table], replace=EqualTo("_batch_id", number) if again else AlwaysFalse())
    shutil.rmtree(batch)
    return len(rows)


def _rows(path: Path, forgotten: set[str]) -> Iterator[dict[str, object]]:
    """Rows of a file; a line that can't be read is told and left out."""
    for line in path.read_bytes().splitlines():
        try:
            segment = msgspec.json.decode(line, type=Segment)
        except msgspec.DecodeError:
            log.error("a line of %s is not as it was written: its scores are lost", path.name)
            continue
        about = {
            "target": segment.target,
            "model_name": segment.model_name,
            "model_version": segment.model_version,
        }
        for one in segment.scores:
            if one.entity_id not in forgotten:
                day: date = one.served_at.date()
                yield {**msgspec.structs.asdict(one), "date": day, **about}
