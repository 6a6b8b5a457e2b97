"""Stored features of entities from Feast's online stores, read as a stock Feast client reads them, without Feast."""

import math
import sqlite3
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from redis.asyncio import Redis

_TEXT, _INTEGER = 2, 4  # kinds of a key's value (Feast's serialization, version 3)
_NO_TIME = -(2**63)
"""Seconds that stand for a missing time."""

Row = dict[str, Any]
"""Stored features of an entity by name: float, int, bool, str or None; a time is seconds since 1970."""


@dataclass(frozen=True)
class View:
    """A feature view in the store.

    Attributes:
        name: as the store calls it: SQLite's table, or the part of Redis' field names.
        fields: name of each feature, and what the store calls it, in hex: the name itself, or its hash in Redis.
    """

    name: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layout:
    """Where the features of one entity lie.

    Attributes:
        entity: name of the join key.
        whole: whether its values are whole numbers; else they are texts.
        project: of Feast.
        views: that are read.
    """

    entity: str
    whole: bool
    project: str
    views: tuple[View, ...]

    @property
    def features(self) -> list[str]:
        """All features, view by view."""
        return [name for view in self.views for name, _ in view.fields]

    def key(self, value: str | int) -> bytes:
        """The key of an entity in SQLite; in Redis the project's name follows."""
        name = self.entity.encode()
        head = struct.pack("<III", 1, _TEXT, len(name)) + name
        if self.whole:
            return head + struct.pack("<IIq", _INTEGER, 8, int(value))
        text = str(value).encode()
        return head + struct.pack("<II", _TEXT, len(text)) + text

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it."""
        views = [{"name": one.name, "fields": dict(one.fields)} for one in self.views]
        return {"entity": self.entity, "whole": self.whole, "project": self.project, "views": views}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Layout":
        """What `to_dict` gave."""
        views = tuple(View(str(one["name"]), tuple(one["fields"].items())) for one in told["views"])
        return cls(str(told["entity"]), bool(told["whole"]), str(told["project"]), views)


class Found:
    """What the store holds of an entity.

    Attributes:
        row: every feature of the layout by name, None where the store has none.
        known: whether a view has a row of it.
    """

    __slots__ = ("known", "row")

    def __init__(self, row: Row, known: bool) -> None:
        self.row = row
        self.known = known


class Mark:
    """The instant up to which the store holds what happened, as the tenant's `online_mark` says it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked = -math.inf
        self._until: datetime | None = None
        self._version: tuple[int, int] | None = None

    def until(self) -> datetime | None:
        """The instant, naive UTC; None where nobody said. The file is looked at once a second."""
        self._look()
        return self._until

    def version(self) -> tuple[int, int] | None:
        """What is another one after each change of the store; None where nobody said."""
        self._look()
        return self._version

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < 1.0:
            return
        self._looked = now
        try:
            stat = self._path.stat()
            self._until = datetime.fromisoformat(self._path.read_text(encoding="utf-8"))
            self._version = stat.st_mtime_ns, stat.st_ino
        except (OSError, ValueError):
            self._until = self._version = None


class OnlineStore(Protocol):
    """An online store that is open for reading."""

    async def read(self, entities: Sequence[str | int]) -> list[Found]:
        """What is held of each entity, in order.

        Raises:
            StoreDown: it does not answer.
        """
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


class StoreDown(ConnectionError):
    """The online store does not answer."""


class SqliteStore:
    """Feast's SQLite store: a table for each view, with a row for each entity and feature."""

    def __init__(self, path: Path, layout: Layout) -> None:
        """Open the file for reading; it may be written meanwhile, and may come later.

        Args:
            path: of the file.
            layout: what is read.
        """
        self._path, self._layout = path, layout
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._places = dict.fromkeys(layout.features)

    async def read(self, entities: Sequence[str | int]) -> list[Found]:
        """See `OnlineStore`. A local read takes microseconds: less than handing it to a thread."""
        try:
            return self._read(entities)
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise StoreDown(str(error)) from None

    def _read(self, entities: Sequence[str | int]) -> list[Found]:
        stat = self._path.stat()
        if self._connection is None or self._file != (stat.st_dev, stat.st_ino):  # another one is in its place
            self._close()
            self._file = stat.st_dev, stat.st_ino
            self._connection = sqlite3.connect(
                f"{self._path.as_uri()}?mode=ro", uri=True, timeout=1.0, check_same_thread=False
            )
        found = {key: Found(dict(self._places), False) for key in map(self._layout.key, entities)}
        asked = ",".join("?" * len(found))
        for view in self._layout.views:
            table = view.name.replace('"', '""')
            rows = self._connection.execute(
                f'SELECT entity_key, feature_name, value FROM "{table}" WHERE entity_key IN ({asked})',
                list(found),
            )
            for key, feature, value in rows:
                one = found[bytes(key)]
                if feature in self._places:
                    one.row[feature] = decoded(value)
                    one.known = True
        mine = (found[self._layout.key(entity)] for entity in entities)
        return [Found(dict(one.row), one.known) for one in mine]  # an entity may be asked for twice

    async def close(self) -> None:
        """See `OnlineStore`."""
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class RedisStore:
    """Feast's Redis store: a hash for each entity, with a field for each feature and the time of each view."""

    def __init__(self, client: "Redis", layout: Layout) -> None:
        """Keep what is read of a client, which answers bytes."""
        self._client, self._layout = client, layout
        fields = [bytes.fromhex(place) for view in layout.views for _, place in view.fields]
        self._names = layout.features
        self._asked = fields + [f"_ts:{view.name}".encode() for view in layout.views]

    async def read(self, entities: Sequence[str | int]) -> list[Found]:
        """See `OnlineStore`."""
        from redis.exceptions import RedisError

        project = self._layout.project.encode()
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for entity in entities:
                    pipe.execute_command("HMGET", self._layout.key(entity) + project, *self._asked)
                answers = await pipe.execute()
        except (RedisError, OSError) as error:
            raise StoreDown(type(error).__name__) from None
        return [self._found(values) for values in answers]

    def _found(self, values: Sequence[bytes | None]) -> Found:
        count = len(self._names)
        row = {name: None if one is None else decoded(one) for name, one in zip(self._names, values, strict=False)}
        return Found(row, any(stamp is not None for stamp in values[count:]))

    async def close(self) -> None:
        """See `OnlineStore`."""
        await self._client.aclose()


def store_of(sqlite: str | None, redis: str | None, layout: Layout) -> OnlineStore:
    """The online store, open for reading: a file of SQLite, or where there is none the Redis at an address."""
    if sqlite is not None:
        return SqliteStore(Path(sqlite), layout)
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    once = Retry(NoBackoff(), 1)  # a connection from before a restart is made anew, and then it is said at once
    waits: dict[str, Any] = {"socket_connect_timeout": 1.0, "socket_timeout": 1.0, "retry": once}
    return RedisStore(Redis.from_url(str(redis), **waits), layout)


def decoded(message: bytes) -> Any:
    """The value of one of Feast's messages with a single field: text, whole number, float, boolean or time.

    A time is its seconds since 1970. Nothing, and Feast's sign for a missing time, are None.

    Raises:
        ValueError: a list, or another value that no feature of ours has.
    """
    if not message:
        return None
    field = message[0] >> 3
    if field == 5:
        return struct.unpack_from("<d", message, 1)[0]
    if field == 6:
        return struct.unpack_from("<f", message, 1)[0]
    if field not in (2, 3, 4, 7, 8):
        raise ValueError(f"a stored value of kind {field} is no feature")
    number, after = _varint(message, 1)
    if field == 2:
        return message[after : after + number].decode()
    if field == 7:
        return bool(number)
    signed = number - 2**64 if number >= 2**63 else number
    return None if field == 8 and signed == _NO_TIME else signed


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """An unsigned number as protobuf writes it, and where the next byte stands."""
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
