"""What leaves the lake for good: rows struck out of every version, versions nobody needs, files nobody knows."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.fs import FileSelector, FileType
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io import load_file_io
from pyiceberg.io.pyarrow import ArrowScan, PyArrowFileIO, _dataframe_to_data_files
from pyiceberg.schema import Schema
from pyiceberg.table.update import SetCurrentSchemaUpdate

from pipelines.core.errors import LeadwiseError
from pipelines.core.interval import utc_now
from pipelines.lake.access import LakeFiles
from pipelines.lake.catalog import NAMESPACES, Lake

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import FileScanTask, Table
    from pyiceberg.table.snapshots import Snapshot

INSTEAD_OF = "leadwise.instead-of"
"""Property of a snapshot: ids of those whose place it took when rows were struck out of them, divided by commas."""

GRACE = timedelta(minutes=15)
"""Snapshots and unknown files that are younger stay: somebody may be reading or writing them. Wall clock, as theirs."""

_EPOCH = datetime(1970, 1, 1)
_MAIN = "main"
_BRANCH = "leadwise-strike-"

Gone = Callable[[pa.Table], pa.Array]


def standing(table: Table, snapshot_id: int) -> int | None:
    """The snapshot with that id, or the newest that took its place; None where both are gone."""
    heirs = [one.snapshot_id for one in table.metadata.snapshots if str(snapshot_id) in _forebears(one)]
    if heirs:
        return heirs[-1]
    return snapshot_id if table.snapshot_by_id(snapshot_id) else None


def _forebears(snapshot: Snapshot) -> list[str]:
    found = snapshot.summary.get(INSTEAD_OF) if snapshot.summary else None
    return str(found).split(",") if found else []


def tables(lake: Lake) -> list[str]:
    """All tables of the lake."""
    return [f"{namespace}.{name}" for namespace in NAMESPACES for name in lake.names(namespace)]


def strike(lake: Lake, name: str, gone: Gone, columns: Sequence[str] | None, kept: Collection[int] = ()) -> int:
    """Take rows out of a table: of its newest version and of each that is kept, which a new one takes the place of.

    The old versions, and files that only they know, leave with `expire_snapshots` and `sweep`. Memory stays at one
    data file. Run again after it was killed, it goes on.

    Args:
        lake: whose table.
        name: of the table; one that does not exist has no rows.
        gone: mask of the rows to take out, of rows with `columns`.
        columns: that `gone` looks at; None is all.
        kept: ids of snapshots, as runs have noted them.

    Returns:
        Rows taken out of the newest version.
    """
    table = lake.table(name)
    if table is None or table.current_snapshot() is None:
        return 0
    for branch in [ref for ref in table.metadata.refs if ref.startswith(_BRANCH)]:  # of a run that was killed
        table.manage_snapshots().remove_branch(branch).commit()
    rewritten: dict[_Place, _Rewritten] = {}
    main = table.current_snapshot()
    assert main is not None
    for found in dict.fromkeys(standing(table, wanted) for wanted in kept):
        if found is not None and found != main.snapshot_id:
            _strike(table, found, f"{_BRANCH}{found}", gone, columns, rewritten)
    return _strike(table, main.snapshot_id, _MAIN, gone, columns, rewritten)


_Place = tuple[str, int]
"""A data file, and the schema it is read in."""


@dataclass(frozen=True)
class _Rewritten:
    """A data file without the rows: what takes its place, and how many rows went."""

    files: tuple[DataFile, ...] = ()
    rows: int = 0


def _strike(
    table: Table,
    snapshot_id: int,
    branch: str,
    gone: Gone,
    columns: Sequence[str] | None,
    rewritten: dict[_Place, _Rewritten],
) -> int:
    """Commit a version without the rows to `branch`; nothing where there are none. Returns how many rows went.

    It has the columns of the version whose place it takes, whatever they are today.
    """
    old = table.snapshot_by_id(snapshot_id)
    assert old is not None
    today = table.metadata.current_schema_id
    then = today if old.schema_id is None else old.schema_id
    changes: list[tuple[DataFile, _Rewritten]] = []
    for task in table.scan(snapshot_id=snapshot_id).plan_files():
        place = (task.file.file_path, then)
        if place not in rewritten:
            rewritten[place] = _without(table, task, then, gone, columns)
        if rewritten[place].rows:
            changes.append((task.file, rewritten[place]))
    if not changes:
        return 0
    if branch != _MAIN:
        table.manage_snapshots().create_branch(snapshot_id, branch).commit()
    summary = {INSTEAD_OF: ",".join([*_forebears(old), str(snapshot_id)])}
    with table.transaction() as transaction:
        transaction._apply((SetCurrentSchemaUpdate(schema_id=then),))  # a version takes the schema in force
        with transaction.update_snapshot(summary, branch).overwrite() as step:
            for file, new in changes:
                step.delete_data_file(file)
                for one in new.files:
                    step.append_data_file(one)
        # A version remembers the files it dropped with their smallest and largest values, which may be a phone; the
        # next one does not.
        with transaction.update_snapshot(summary, branch).fast_append():
            pass
        transaction._apply((SetCurrentSchemaUpdate(schema_id=today),))
    if branch != _MAIN:
        table.manage_snapshots().remove_branch(branch).commit()
    return sum(new.rows for _, new in changes)


def settle(lake: Lake, name: str) -> None:
    """Make a version that knows nothing of files dropped before: the newest one may still tell their bounds."""
    table = lake.table(name)
    newest = table.current_snapshot() if table else None
    if table is None or newest is None or not any(one.deleted_files_count for one in newest.manifests(table.io)):
        return
    with table.transaction() as transaction, transaction.update_snapshot().fast_append():
        pass


def _without(table: Table, task: FileScanTask, schema_id: int, gone: Gone, columns: Sequence[str] | None) -> _Rewritten:
    """Write what is left of a data file, with the columns of a schema; the file itself stays until it is swept."""
    schema = table.schemas()[schema_id]
    today = table.schema()
    # Under the names of today; what today has no more is looked at too.
    known = {field.field_id for field in today.fields}
    left_over = [
        field.model_copy(update={"name": f"_{field.field_id}"})
        for field in schema.fields
        if field.field_id not in known
    ]
    looked_at = Schema(*(today.select(*columns) if columns else today).fields, *left_over)
    mask = pc.fill_null(gone(_rows(table, task, looked_at)), False)
    lost = pc.sum(mask).as_py() or 0
    if not lost:
        return _Rewritten()
    left = _rows(table, task, schema).filter(pc.invert(mask))
    metadata = table.metadata.model_copy(update={"current_schema_id": schema_id})
    files = _dataframe_to_data_files(
        table_metadata=metadata, df=left, io=table.io, write_uuid=uuid.uuid4(), counter=itertools.count()
    )
    return _Rewritten(tuple(files) if left.num_rows else (), int(lost))


def _rows(table: Table, task: FileScanTask, schema: Schema) -> pa.Table:
    return ArrowScan(table.metadata, table.io, schema, AlwaysTrue()).to_table([task])


def expire_snapshots(lake: Lake, name: str, kept: Collection[int], grace: timedelta = GRACE) -> int:
    """Let the catalog forget versions of a table: all but the newest, those that are kept, and young ones.

    Args:
        lake: whose table.
        name: of the table.
        kept: ids of snapshots, as runs have noted them.
        grace: age below which a version stays.

    Returns:
        How many were forgotten. Their files stay until `sweep`.
    """
    table = lake.table(name)
    if table is None:
        return 0
    needed = {standing(table, wanted) for wanted in kept} | {ref.snapshot_id for ref in table.metadata.refs.values()}
    before = (utc_now() - grace - _EPOCH) // timedelta(milliseconds=1)
    stale = [
        one.snapshot_id
        for one in table.metadata.snapshots
        if one.snapshot_id not in needed and (one.timestamp_ms < before or not grace)
    ]
    if stale:
        table.maintenance.expire_snapshots().by_ids(stale).commit()
    return len(stale)


@dataclass(frozen=True)
class Swept:
    """Files that were deleted: how many, and their bytes."""

    files: int
    bytes: int


def sweep(lake: Lake, grace: timedelta = GRACE) -> Swept:
    """Delete every file of the warehouse that no version of any table knows: of old versions, and of killed writers.

    Nobody may write meanwhile. PyIceberg deletes no file by itself; only the newest metadata file of a table stays.

    Args:
        lake: whose warehouse, wherever PyIceberg's FileIO reaches.
        grace: age below which a file stays.

    Raises:
        LeadwiseError: the warehouse is no place that can be listed.
    """
    root = str(lake.catalog.properties["warehouse"])
    io = load_file_io(lake.catalog.properties, root)
    if not isinstance(io, PyArrowFileIO):
        raise LeadwiseError(f"files in {root} can't be listed: name a warehouse that PyArrow reaches, file:// or s3://")
    scheme, place, path = io.parse_location(root)
    live = {io.parse_location(one)[2] for name in tables(lake) for one in _known(lake.table(name))}
    youngest = utc_now() - grace
    files = size = 0
    for info in io.fs_by_scheme(scheme, place).get_file_info(FileSelector(path, recursive=True, allow_not_found=True)):
        if info.type != FileType.File or info.path in live or (grace and _changed(info) > youngest):
            continue
        io.delete(f"{scheme}://{info.path}")
        files, size = files + 1, size + (info.size or 0)
    if isinstance(io, LakeFiles) and lake.tenant.settings.lake_url:
        files += io.drop_unfinished(root, youngest)
    return Swept(files, size)


def _changed(info: FileInfo) -> datetime:
    """When a file was last written, naive UTC; a store that does not say, or says 1970, is taken to mean now."""
    return info.mtime.astimezone(UTC).replace(tzinfo=None) if info.mtime and info.mtime.timestamp() else utc_now()


def _known(table: Table | None) -> Iterator[str]:
    """Places of all files that the versions of a table are made of."""
    if table is None:
        return
    yield table.metadata_location
    read: set[str] = set()
    for snapshot in table.metadata.snapshots:
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in read:
                continue
            read.add(manifest.manifest_path)
            yield manifest.manifest_path
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                yield entry.data_file.file_path
    for statistics in (*table.metadata.statistics, *table.metadata.partition_statistics):
        yield statistics.statistics_path
