"""What the files of an audience hold: written after them, so that whoever waits for it never sees half a day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from pipelines.deliver.files import replacing

if TYPE_CHECKING:
    from pipelines.deliver.promise import Promise
    from pipelines.deliver.suppression import Occasion

MANIFEST = "manifest.json"

_CHUNK = 1 << 20


def describe(occasion: Occasion, promise: Promise, counts: Mapping[str, int], files: Mapping[str, Path]) -> str:
    """The manifest of an audience.

    Args:
        occasion: whose, and when.
        promise: its contract.
        counts: rows of `audience` and `suppressed`, and scores by rule.
        files: by the names they will have.
    """
    version = promise.contract.version if promise.contract else None
    rules = {name: rows for name, rows in counts.items() if name not in ("audience", "suppressed")}
    told = {
        "tenant": occasion.tenant.name,
        "use_case": occasion.tenant.use_case,
        "date": occasion.interval.label,
        "as_of": occasion.interval.as_of.isoformat(),
        "sending": occasion.sending.isoformat(),
        "schema_version": version,
        "counts": {"audience": counts["audience"], "suppressed": counts["suppressed"]},
        "suppressed_by": rules,
        "files": {name: _file(path) for name, path in files.items()},
    }
    return json.dumps(told, indent=1) + "\n"


def again(folder: Path) -> None:
    """Say anew what the files of a folder hold, where one was written after its manifest, as when rows left it."""
    path = folder / MANIFEST
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    files = {name: folder / name for name in told["files"] if (folder / name).is_file()}
    if all(file.stat().st_mtime_ns <= path.stat().st_mtime_ns for file in files.values()):
        return
    told["files"] = {name: _file(file) for name, file in files.items()}
    for name in told["counts"]:
        told["counts"][name] = pq.read_metadata(folder / f"{name}.parquet").num_rows
    private = not path.stat().st_mode & 0o077
    with replacing(path, private=private) as (draft,):
        draft.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _file(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            digest.update(part)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}
