"""Feast's Redis store: a hash per entity, with a field per feature and the time of each view, many at a time."""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from itertools import chain, compress, islice, repeat
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.features.engine.encode import encode, key_head, key_tail, keys, stamps, unpack_keys

if TYPE_CHECKING:
    from feast import FeatureView, RepoConfig
    from feast.infra.online_stores.redis import RedisOnlineStore
    from redis import Redis

# A script is one command for many hashes: what a client spends is mostly per command.
_TIMES = "local t = {} for i, key in ipairs(KEYS) do t[i] = redis.call('HGET', key, ARGV[1]) end return t"
_SET = (
    "local n = #ARGV / #KEYS "
    "for i, key in ipairs(KEYS) do redis.call('HSET', key, unpack(ARGV, (i - 1) * n + 1, i * n)) end"
)
_HELD = (
    "local t = {} for v, view in ipairs(ARGV) do t[v] = 0 "
    "for i, key in ipairs(KEYS) do t[v] = t[v] + redis.call('HEXISTS', key, view) end end return t"
)
_AT_ONCE = 1_000
"""Hashes of a script: some ten milliseconds, in which Redis answers nobody else."""

FEATURES = 3_000
"""The most features of a view that a script can pass on."""


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

    def write(self, part: pa.Table, features: dict[str, pa.DataType], time: str, until: datetime) -> None:
        """Put rows in the place of those stored; rows that are newer than `until` stay.

        Args:
            part: one row per entity.
            features: types by name.
            time: the column with the time of a row.
            until: the instant of which the rows are the newest, naive UTC.
        """
        hashes = self._keys(part.column(self._entity))
        columns: list[Any] = [repeat(self._time), stamps(part.column(time), _stamp)]
        for name, kind in features.items():
            one = encode(part.column(name), kind)
            columns += [repeat(self._field(name)), one.column(one.values)]
        older = self._older(hashes, until)
        rows = list(compress(zip(hashes, zip(*columns, strict=False), strict=False), older))
        for start in range(0, len(rows), _AT_ONCE):
            part_keys, values = zip(*rows[start : start + _AT_ONCE], strict=True)
            self._client.eval(_SET, len(part_keys), *part_keys, *chain.from_iterable(values))

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
        fields = [self._time, *map(self._field, self._features)]
        gone = [key for key, older in zip(hashes, self._older(hashes, until), strict=True) if older]
        with self._client.pipeline(transaction=False) as pipe:
            for key in gone:
                pipe.hdel(key, *fields)  # Redis drops a hash with its last field
            return sum(bool(count) for count in pipe.execute())

    def _keys(self, entities: pa.ChunkedArray | pa.Array) -> list[bytes]:
        return [key + self._project for key in keys(self._entity, entities)]

    def _field(self, feature: str) -> bytes:
        from feast.infra.online_stores.helpers import _mmh3

        return bytes(_mmh3(f"{self._view}:{feature}"))

    def _older(self, hashes: list[bytes], until: datetime) -> list[bool]:
        """Of each hash, whether what it holds of the view is no newer than `until`, or nothing."""
        stored: list[bytes | None] = []
        for start in range(0, len(hashes), _AT_ONCE):
            part = hashes[start : start + _AT_ONCE]
            stored += self._client.eval(_TIMES, len(part), *part, self._time)
        return [one is None or _time(one) <= until for one in stored]

    def _pattern(self) -> bytes:
        """What the keys of this entity match, and few others."""
        return b"*".join(re.sub(rb"([\\*?\[\]])", rb"\\\1", one) for one in (key_head(self._entity), self._project))


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
