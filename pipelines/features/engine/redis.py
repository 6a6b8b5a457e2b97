"""Feast's Redis store: a hash per entity, with a field per feature and the time of each view, many at a time."""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.features.engine.encode import BYTES, flat, join, key_head, key_tail, keys, messages, stamps, unpack_keys

if TYPE_CHECKING:
    from feast import FeatureView, RepoConfig
    from feast.infra.online_stores.redis import RedisOnlineStore
    from redis import Redis

# A script is one command for many hashes: what a client spends is mostly per command.
_HELD = (
    "local t = {} for v, view in ipairs(ARGV) do t[v] = 0 "
    "for i, key in ipairs(KEYS) do t[v] = t[v] + redis.call('HEXISTS', key, view) end end return t"
)
_AT_ONCE = 1_000
"""Hashes of a script: some ten milliseconds, in which Redis answers nobody else."""


class RedisWriter:
    """Writes one view into Feast's Redis store, on its client and in its encoding."""

    def __init__(self, store: "RedisOnlineStore", config: "RepoConfig", view: "FeatureView") -> None:
        from feast.infra.online_stores.helpers import compute_versioned_name

        self._client = store._get_client(config.online_store)
        self._view = compute_versioned_name(view, config.registry.enable_online_feature_view_versioning)
        self._time = f"_ts:{self._view}".encode()
        self._features = [field.name for field in view.features]
        self._entity = view.entity_columns[0].name
        self._project = config.project.encode()

    def encode(self, part: pa.Table, features: dict[str, pa.DataType], time: str) -> list[pa.Array]:
        """Rows as commands in Redis' protocol, by columns: what asks for the time that is stored, and what writes.

        Args:
            part: one row per entity.
            features: types by name.
            time: the column with the time of a row.
        """
        hashes = self._keys(part.column(self._entity))
        values = [_argument(self._time), _argument(pa.array(stamps(part.column(time), _stamp), BYTES))]
        for name, kind in features.items():
            values += [_argument(self._field(name)), _argument(messages(part.column(name), kind))]
        return [self._ask_time(hashes), _command(b"HSET", _argument(hashes), *values)]

    def write(self, encoded: list[pa.Array], until: datetime) -> None:
        """Put rows in the place of those stored; rows that are newer than `until` stay.

        Args:
            encoded: the rows.
            until: the instant of which they are the newest, naive UTC.
        """
        ask, put = encoded
        self._send(put.filter(self._older(ask, until)))

    def entities(self, rows: int) -> Iterator[list[str | int]]:
        """Entities of which something is stored, if of another view, about so many at a time; some may come twice."""
        waiting: list[bytes] = []
        for key in self._client.scan_iter(match=self._pattern(), count=rows):
            waiting.append(key)
            if len(waiting) >= rows:
                yield unpack_keys(self._entity, waiting, self._project)
                waiting = []
        yield unpack_keys(self._entity, waiting, self._project)

    def remove(self, entities: pa.Array, until: datetime) -> int:
        """Take entities out, unless their rows are newer than `until`; returns how many there were."""
        hashes = self._keys(entities)
        fields = [_argument(one) for one in (self._time, *map(self._field, self._features))]
        drop = _command(b"HDEL", _argument(hashes), *fields)  # Redis drops a hash with its last field
        return sum(bool(count) for count in self._send(drop.filter(self._older(self._ask_time(hashes), until))))

    def _keys(self, entities: pa.ChunkedArray | pa.Array) -> pa.Array:
        return keys(self._entity, entities, self._project)

    def _ask_time(self, hashes: pa.Array) -> pa.Array:
        return _command(b"HGET", _argument(hashes), _argument(self._time))

    def _field(self, feature: str) -> bytes:
        from feast.infra.online_stores.helpers import _mmh3

        return bytes(_mmh3(f"{self._view}:{feature}"))

    def _older(self, ask: pa.Array, until: datetime) -> pa.Array:
        """Of each hash, whether what it holds of the view is no newer than `until`, or nothing."""
        return pa.array([one is None or _time(one) <= until for one in self._send(ask)], pa.bool_())

    def _send(self, commands: pa.Array) -> list[Any]:
        """Send all commands at once, packed as they are, and return their answers.

        Redis-py packs and pipelines the same one at a time, which takes longer than Redis takes to carry it out.
        """
        pool = self._client.connection_pool
        connection = pool.get_connection()

        def ask() -> list[Any]:
            connection.send_packed_command([flat(commands)])
            return [connection.read_response(disable_decoding=True) for _ in range(len(commands))]

        try:
            found: list[Any] = connection.retry.call_with_retry(ask, lambda _: connection.disconnect())
            return found
        except BaseException:
            connection.disconnect()  # with answers that nobody read
            raise
        finally:
            pool.release(connection)

    def _pattern(self) -> bytes:
        """What the keys of this entity match, and few others."""
        return b"*".join(re.sub(rb"([\\*?\[\]])", rb"\\\1", one) for one in (key_head(self._entity), self._project))


def _command(name: bytes, *arguments: pa.Array | bytes) -> pa.Array:
    """Commands in Redis' protocol, of type `BYTES`, from arguments as `_argument` makes them; one of them a column."""
    return join(b"*%d\r\n" % (1 + len(arguments)), _argument(name), *arguments)


def _argument(value: pa.Array | bytes) -> pa.Array | bytes:
    """An argument of a command: its length in front of it."""
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    lengths = pc.binary_length(value).dictionary_encode()
    heads = pa.array([b"$%d\r\n" % length for length in lengths.dictionary.to_pylist()], BYTES)
    return join(heads.take(lengths.indices), value, b"\r\n")


def count_entities(client: "Redis", project: str, views: list[str]) -> dict[str, int]:
    """How many entities each view of a Feast project holds. Does not load Feast."""
    counts = dict.fromkeys(views, 0)
    found = client.scan_iter(match="*" + re.sub(r"([\\*?\[\]])", r"\\\1", project), count=_AT_ONCE)
    while part := list(islice(found, _AT_ONCE)):
        own = [key for key in part if key_tail(key) == project.encode()]
        held: Any = client.eval(_HELD, len(own), *own, *(f"_ts:{view}" for view in views))
        counts = {view: count + int(more) for (view, count), more in zip(counts.items(), held, strict=True)}
    return counts


def _stamp(time: datetime) -> bytes:
    """A naive UTC time as Feast's Redis store keeps it."""
    from google.protobuf.timestamp_pb2 import Timestamp

    stamp = Timestamp()
    stamp.FromDatetime(time)
    return bytes(stamp.SerializeToString())


@lru_cache(maxsize=100_000)
def _time(stored: bytes) -> datetime:
    """The naive UTC time that Feast's Redis store keeps."""
    from google.protobuf.timestamp_pb2 import Timestamp

    time: datetime = Timestamp.FromString(stored).ToDatetime()
    return time
