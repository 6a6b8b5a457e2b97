"""The step `ingest`: every source into `raw`, as it is, with batch, file, row and time of arrival."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import NotIn

from pipelines.collect import notes
from pipelines.collect.databases import Sessions
from pipelines.collect.feeds import Feed, FileFeed, Part, QueryFeed
from pipelines.collect.growing import Note
from pipelines.collect.notes import FILES as FILES
from pipelines.collect.patience import patiently
from pipelines.collect.schema import SYSTEM, clash, settle, unite, without_empty, word
from pipelines.collect.types import Wider
from pipelines.core.errors import ConfigError, nearest
from pipelines.core.interval import Interval, utc_now
from pipelines.core.locks import exclusive
from pipelines.core.report import Advance, Report, progress
from pipelines.lake.catalog import Lake
from pipelines.lake.evolve import widen
from pipelines.lake.forgotten import Forgotten

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant

_T = TypeVar("_T")


@dataclass
class _Plan:
    """What will be read of one source."""

    name: str
    feed: Feed
    schemas: dict[Part, pa.Schema]
    schema: pa.Schema
    fresh_table: bool = False
    told: list[str] = field(default_factory=list)


@dataclass
class _Desk:
    """What a run works with."""

    tenant: "Tenant"
    lake: Lake
    interval: Interval
    sessions: Sessions
    folder: Path

    def connection(self, name: str) -> str | None:
        """The database that source `name` reads, if it reads one."""
        source = self.tenant.params.sources[name]
        return source.connection if source.query else None

    def tried(self, name: str, call: Callable[[], _T]) -> _T:
        """Call for source `name`; where it reads a database that broke off, begin again with a new snapshot.

        A bucket is asked again request by request.
        """
        connection = self.connection(name)
        return patiently(call, partial(self.sessions.drop, connection)) if connection else call()


def ingest(tenant: "Tenant", interval: Interval) -> Report:
    """Read the sources of `interval` into `raw.<source>`; a batch read before is replaced.

    The columns and first row of everything are read before anything is written: a source that is missing, without
    rows or of another kind leaves the lake as it was. A file that breaks further down leaves its own source and those
    after it as they were; the sources before it are read and noted. Of a growing folder only new files are read.
    A database is read in one snapshot; what breaks off is begun again a little later, twice.

    Returns:
        Rows by source; in `notes` files that were rewritten or wait for the next run.

    Raises:
        SourceError: a source is missing, empty, unreadable, or changed the type of a column.
        SourceUnreachable: a database or bucket does not answer.
        ConfigError: a source that feeds no table, or an unknown connection.
    """
    _refuse_idle_sources(tenant)
    report = Report("ingest", tenant.name, interval)
    report.counts = dict.fromkeys(tenant.params.sources, 0)
    with exclusive(tenant, "ingest"), _desk(tenant, interval) as desk, _plans(desk) as plans:
        for plan, rows in _loaded(desk, plans):
            report.counts[plan.name] = sum(rows.values())
            report.notes += [*plan.feed.notes(rows), *plan.told]
    return report


def _loaded(desk: _Desk, plans: Sequence[_Plan]) -> Iterator[tuple[_Plan, dict[str, int]]]:
    """Write every source; yields each plan with its rows by part, once its group is written."""
    with progress("ingest", sum(len(plan.feed.parts) for plan in plans)) as advance:
        for group in _groups(desk, plans):
            load = partial(_load_all, desk, group, advance)
            yield from zip(group, desk.tried(group[0].name, load), strict=True)


@contextmanager
def _desk(tenant: "Tenant", interval: Interval) -> Iterator[_Desk]:
    """A place for what is fetched, and the snapshots; both go when the run ends."""
    room = tenant.home / "tmp"
    room.mkdir(parents=True, exist_ok=True)
    for left in room.glob("ingest-*"):  # of a run that was killed: nobody else holds the lock
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="ingest-", dir=room))
    sessions = Sessions()
    try:
        yield _Desk(tenant, Lake(tenant), interval, sessions, folder)
    finally:
        sessions.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _plans(desk: _Desk) -> Iterator[list[_Plan]]:
    """The plan of every source, before anything is written."""
    plans: list[_Plan] = []
    try:
        for name in desk.tenant.params.sources:
            plans.append(desk.tried(name, partial(_plan, desk, name)))
        yield plans
    finally:
        for plan in plans:
            plan.feed.close()


def _groups(desk: _Desk, plans: Iterable[_Plan]) -> list[list[_Plan]]:
    """Sources that share a snapshot together, each other source by itself, in the order they are listed."""
    groups: dict[str, list[_Plan]] = {}
    for plan in plans:
        connection = desk.connection(plan.name)
        groups.setdefault(f"connection {connection}" if connection else f"source {plan.name}", []).append(plan)
    return list(groups.values())


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


def _plan(desk: _Desk, name: str) -> _Plan:
    lake, source = desk.lake, desk.tenant.params.sources[name]
    table = lake.table(f"raw.{name}")
    stored = _own_columns(table.schema().as_arrow()) if table is not None else None
    feed = _feed(desk, name, stored)
    try:
        schemas = feed.schemas()
        fresh = unite(name, [(part.name, schema) for part, schema in schemas.items()])
        schema, clashes = settle(fresh, stored)
        if clashes and stored is not None:
            # Rows of other batches bind the types; a table made of nothing but what is replaced binds nothing.
            if source.grows or lake.count(f"raw.{name}", NotIn("_batch_id", feed.batches)):
                raise clash(name, clashes[0], fresh, stored)
            return _Plan(name, feed, schemas, without_empty(fresh), fresh_table=True)
    except BaseException:
        feed.close()
        raise
    return _Plan(name, feed, schemas, schema)


def _feed(desk: _Desk, name: str, stored: pa.Schema | None) -> Feed:
    source = desk.tenant.params.sources[name]
    if source.query:
        return QueryFeed(desk.tenant, name, desk.interval, desk.sessions)
    noted: list[Note] = []
    gone: set[str] = set()
    if source.grows:
        notes.Delivery(desk.lake, name).catch_up()
        noted = notes.noted(desk.lake, name)
        gone = notes.gone(desk.lake, name, noted)
    return FileFeed(desk.tenant, name, desk.interval, desk.folder / name, stored, noted, gone)


def _own_columns(schema: pa.Schema) -> pa.Schema:
    plain = {pa.large_string(): pa.string()}
    return pa.schema([(f.name, plain.get(f.type, f.type)) for f in schema if not f.name.startswith("_")])


def _load_all(desk: _Desk, plans: Sequence[_Plan], advance: Advance) -> list[dict[str, int]]:
    """Write the sources of one snapshot, one after the other; returns rows by part."""
    return [_load(desk, plan, advance) for plan in plans]


def _load(desk: _Desk, plan: _Plan, advance: Advance) -> dict[str, int]:
    """Write one source in one commit, and note what was read right after."""
    lake, feed, table = desk.lake, plan.feed, f"raw.{plan.name}"
    counts: dict[str, int] = dict.fromkeys((part.name for part in feed.parts), 0)
    delivery = notes.Delivery(lake, plan.name) if desk.tenant.params.sources[plan.name].grows else None
    if feed.parts or (feed.batches and lake.exists(table)):
        rows = _announced(delivery, plan, counts, _rows(desk, plan, counts, advance))
        if plan.fresh_table:
            rows = _spooled(rows, desk.folder / f"{plan.name}.arrow")  # read to the end before the old rows go
            if lake.exists(table):
                lake.catalog.drop_table(table)
        schema, summary = pa.schema([*plan.schema, *SYSTEM]), delivery.summary if delivery else None
        try:
            lake.write(table, schema, rows, replace=("_batch_id", feed.batches), summary=summary)
        except Wider as found:
            return _load(desk, _widened(lake, plan, found), advance)
    fresh = [*notes.made(plan.name, plan.schemas, counts), *feed.touched]
    plan.told += (one for one in notes.shrunk(lake, plan.name, feed.batches, fresh) if one not in plan.told)
    notes.write(lake, plan.name, fresh, [*feed.batches, *(note["_batch_id"] for note in feed.touched)])
    if delivery:
        delivery.done()
    return counts


def _widened(lake: Lake, plan: _Plan, found: Wider) -> _Plan:
    """The plan after a column got the type that holds its new values as well as the old ones."""
    widen(lake, f"raw.{plan.name}", found.column, found.type)
    fields = [field.with_type(found.type) if field.name == found.column else field for field in plan.schema]
    told = f"column '{found.column}' of source '{plan.name}' holds {word(found.type)} now: its table was written anew"
    plan.told.append(told)
    return replace(plan, schema=pa.schema(fields))


def _spooled(rows: Iterator[pa.Table], path: Path) -> Iterator[pa.Table]:
    """All rows, from a file that is complete before this returns."""
    first = next(rows, None)
    if first is None:
        return iter(())
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, first.schema) as writer:
        writer.write_table(first)
        for table in rows:
            writer.write_table(table)
    return _from_spool(path)


def _from_spool(path: Path) -> Iterator[pa.Table]:
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_stream(source) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _announced(
    delivery: notes.Delivery | None, plan: _Plan, counts: dict[str, int], rows: Iterator[pa.Table]
) -> Iterator[pa.Table]:
    """The rows, and after the last of them their notes, kept until they are in the lake."""
    yield from rows
    if delivery:
        delivery.announce(notes.made(plan.name, plan.schemas, counts))


def _rows(desk: _Desk, plan: _Plan, counts: dict[str, int], advance: Advance) -> Iterator[pa.Table]:
    now = utc_now()
    forgotten = Forgotten(desk.lake)
    for part in plan.feed.parts:
        for batch in plan.feed.rows(part, plan.schema, desk.tenant.params.quality.batch_rows):
            stamped = _stamped(batch, part, counts[part.name], now)
            yield _without(forgotten, stamped, part) if forgotten else stamped
            counts[part.name] += batch.num_rows
        advance(1)


def _without(forgotten: Forgotten, rows: pa.Table, part: Part) -> pa.Table:
    """Rows without those of forgotten leads that stood in batches of the time before."""
    hidden = pa.repeat(False, rows.num_rows)
    for column in rows.schema:
        texts = rows[column.name].cast(pa.string()) if pa.types.is_integer(column.type) else rows[column.name]
        if not column.name.startswith("_") and pa.types.is_string(texts.type):
            hidden = pc.or_(hidden, forgotten.hidden(texts, pa.scalar(part.arrives, pa.timestamp("us"))))
    return rows.filter(pc.invert(hidden))


def _stamped(batch: pa.Table, part: Part, offset: int, now: object) -> pa.Table:
    """`batch` with where it came from and when it arrives; rows are numbered from 1 in their file."""
    size = batch.num_rows
    system: Sequence[pa.Array] = (
        pa.repeat(part.batch_id, size),
        pa.repeat(part.name, size),
        pa.array(np.arange(offset + 1, offset + size + 1)),
        pa.repeat(pa.scalar(part.arrives, pa.timestamp("us")), size),
        pa.repeat(pa.scalar(now, pa.timestamp("us")), size),
    )
    return pa.Table.from_arrays([*batch.columns, *system], schema=pa.schema([*batch.schema, *SYSTEM]))
