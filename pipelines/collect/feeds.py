"""What a run reads of one source: its parts (files, objects, days of a query), their columns and their rows."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from pipelines.collect import growing
from pipelines.collect.databases import Database, Sessions, windowed
from pipelines.collect.files import BULK, Reader, SourceFile, batch_ids
from pipelines.collect.found import Disk, Store, find, fixed_part
from pipelines.collect.objects import Bucket
from pipelines.collect.partitions import with_keys
from pipelines.core.connections import resolve
from pipelines.core.errors import ConfigError, SourceError
from pipelines.core.interval import DAY, Interval, midnight

if TYPE_CHECKING:
    from pipelines.core.params import Source
    from pipelines.core.tenant import Tenant


class Part(Protocol):
    """One thing to read."""

    @property
    def name(self) -> str:
        """What raw, notes and messages call it."""
        ...

    @property
    def batch_id(self) -> str:
        """The batch it belongs to."""
        ...

    @property
    def arrives(self) -> datetime:
        """When its rows arrive if nothing else says so."""
        ...

    @property
    def typed(self) -> bool:
        """Whether its columns have types of their own."""
        ...


class Feed(Protocol):
    """The parts of one source in an interval."""

    @property
    def parts(self) -> Sequence[Part]:
        """In the order in which they are read."""
        ...

    @property
    def batches(self) -> list[str]:
        """Batches that these parts take the place of."""
        ...

    @property
    def touched(self) -> list[growing.Note]:
        """Notes to write anew though nothing is read."""
        ...

    def schemas(self) -> dict[Part, pa.Schema]:
        """Columns of each part; a part that can't be read is told here."""
        ...

    def rows(self, part: Part, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Rows of a part cast to `schema`, at most about `rows` at once."""
        ...

    def notes(self, counts: Mapping[str, int]) -> list[str]:
        """Sentences for the report; `counts` are rows read by name of the part."""
        ...

    def close(self) -> None:
        """Free what was held; files that were fetched are deleted."""
        ...


class FileFeed:
    """Files of this machine, or objects of a bucket."""

    def __init__(
        self,
        tenant: "Tenant",
        name: str,
        interval: Interval,
        folder: Path,
        stored: pa.Schema | None,
        noted: Sequence[growing.Note],
        gone: Collection[str] = (),
    ) -> None:
        """Find the files and fetch those that are elsewhere.

        Args:
            tenant: whose source.
            name: of the source.
            interval: of the run.
            folder: for what is fetched.
            stored: own columns of the raw table so far.
            noted: what was read of a growing folder.
            gone: batches of it whose rows are no longer there.

        Raises:
            SourceError: a file is missing, empty or can't be fetched.
        """
        source = tenant.params.sources[name]
        self._name = name
        self._reader = Reader(name, tenant.settings.threads)
        self._store = _store(name, source, folder)
        self._growth: growing.Growth | None = None
        try:
            if source.grows:
                self._growth = growing.look(tenant, name, source, interval, self._store, self._reader, noted, gone)
                files = self._growth.files
            else:
                files = find(tenant, name, source, interval, self._store)
            if source.partitioned and files:
                fixed = fixed_part(tenant.source_path(source, "*"))
                files = with_keys(name, files, fixed, stored)
        except BaseException:
            self.close()
            raise
        self.parts: Sequence[SourceFile] = files
        self.batches = [file.batch_id for file in files] if source.grows else batch_ids(source, interval)
        self.touched = self._growth.touched if self._growth else []

    def schemas(self) -> "dict[Part, pa.Schema]":
        """Columns of each file."""
        return {file: self._reader.schema(file) for file in self.parts}

    def rows(self, part: Part, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Rows of a file in its order."""
        assert isinstance(part, SourceFile)
        yield from self._reader.batches(part, schema, rows)
        growing.unchanged(self._name, part)

    def notes(self, counts: Mapping[str, int]) -> list[str]:
        """Files that were rewritten, and those that wait."""
        return growing.sentences(self._name, self._growth, counts) if self._growth else []

    def close(self) -> None:
        """Free the engine, and delete what was fetched."""
        self._reader.close()
        if isinstance(self._store, Bucket):
            self._store.close()


def _store(name: str, source: "Source", folder: Path) -> Store:
    if not source.remote:
        return Disk()
    connection = resolve(source.connection) if source.connection else None
    if connection is not None and connection.kind != "aws":
        raise ConfigError(
            f"source '{name}' reads s3://, and {connection} is none of kind aws: write aws://KEY:SECRET@/…"
        )
    return Bucket(name, connection, folder)


@dataclass(frozen=True)
class Window:
    """The rows of a query for one day, or all of them."""

    name: str
    batch_id: str
    arrives: datetime
    typed: bool
    sql: str = field(repr=False)


class QueryFeed:
    """A query of a database."""

    def __init__(self, tenant: "Tenant", name: str, interval: Interval, sessions: Sessions) -> None:
        """Prepare the query of each day; nothing is run yet."""
        source = tenant.params.sources[name]
        assert source.connection is not None
        assert source.query is not None
        self._name, self._sessions, self._about = name, sessions, source.connection
        self._sparse = source.sparse
        self.batches = batch_ids(source, interval)
        self.touched: list[growing.Note] = []
        with self._named():
            database = self._database()
            self.parts = [_window(source.connection, source.query, database, one, interval) for one in self.batches]

    def schemas(self) -> "dict[Part, pa.Schema]":
        """Columns of the query for each day.

        Raises:
            SourceError: the query fails, or gives no rows where that is not normal.
        """
        found: dict[Part, pa.Schema] = {}
        with self._named():
            for part in self.parts:
                # The columns of a typed database are those of the query, whatever the day.
                known = next(iter(found.values()), None) if self._database().fixed else None
                found[part] = known or self._database().schema(part.sql)
                if not self._sparse and not self._database().has_rows(part.sql):
                    raise SourceError(_no_rows(part))
        return found

    def rows(self, part: Part, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Rows of one day."""
        assert isinstance(part, Window)
        with self._named():
            yield from self._database().batches(part.sql, schema, rows)

    def notes(self, counts: Mapping[str, int]) -> list[str]:
        """None."""
        return []

    def close(self) -> None:
        """The snapshot belongs to the run."""

    def _database(self) -> Database:
        return self._sessions.get(self._about)

    def _named(self) -> "_Named":
        return _Named(self._name)


class _Named:
    """Puts the source's name before what a database says."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SourceError) and not str(error).startswith("source '"):
            raise type(error)(f"source '{self._name}': {error}") from None


def _window(connection: str, query: str, database: Database, batch_id: str, interval: Interval) -> Window:
    day = None if batch_id == BULK else date.fromisoformat(batch_id)
    arrives = interval.end if day is None else midnight(day) + DAY
    return Window(f"{connection}:{batch_id}", batch_id, arrives, database.typed, windowed(database, query, day))


def _no_rows(part: Window) -> str:
    if part.batch_id == BULK:
        return "its query gives no rows: correct it, or write sparse: true if that is normal"
    return f"its query gives no rows for {part.batch_id}: write sparse: true if such days are normal"
