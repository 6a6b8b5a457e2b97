"""Feast's SQLite store: a row per entity and feature, written an entity at a time."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.features.engine.encode import BYTES, keys, messages, stamps, texts, unpack_keys

if TYPE_CHECKING:
    from feast import FeatureView, RepoConfig
    from feast.infra.online_stores.sqlite import SqliteOnlineStore

# Pages that change within a transaction stay in memory (64 MB) until it is over.
_CACHE = "PRAGMA cache_size = -65536"


class SqliteWriter:
    """Writes one view into Feast's SQLite store, on its connection and in its encoding."""

    def __init__(self, store: "SqliteOnlineStore", config: "RepoConfig", view: "FeatureView") -> None:
        from feast.infra.online_stores.helpers import compute_table_id

        self._connection = store._get_conn(config)
        self._connection.execute(_CACHE)
        versions = config.registry.enable_online_feature_view_versioning
        name = compute_table_id(config.project, view, versions)
        self._table = '"' + name.replace('"', '""') + '"'
        self._entity = view.entity_columns[0].name
        self._names = sorted(field.name for field in view.features)  # the order of the store's key

    def encode(self, part: pa.Table, features: dict[str, pa.DataType], time: str) -> list[pa.Array]:
        """Rows as they are stored, by columns: key, time, then message and text of each feature.

        Args:
            part: one row per entity.
            features: types by name.
            time: the column with the time of a row.
        """
        columns = [keys(self._entity, part.column(self._entity)), pa.array(stamps(part.column(time), _stamp))]
        for name in self._names:
            columns += [messages(part.column(name), features[name]), texts(part.column(name), features[name])]
        return columns

    def write(self, encoded: list[pa.Array], until: datetime) -> None:
        """Put rows in the place of those stored, in one transaction; rows that are newer than `until` stay.

        Args:
            encoded: the rows.
            until: the instant of which they are the newest, naive UTC.
        """
        # One statement an entity: SQLite is asked once for all of its features.
        places = ", ".join(
            f"(?1, {_text(name)}, ?{3 + 2 * n}, ?{4 + 2 * n}, ?2, NULL)" for n, name in enumerate(self._names)
        )
        upsert = (
            f"INSERT INTO {self._table} AS t (entity_key, feature_name, value, value_text, event_ts, created_ts)"
            f" VALUES {places} ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value,"
            " value_text = excluded.value_text, event_ts = excluded.event_ts, created_ts = NULL"
            f" WHERE t.event_ts <= {_stamp(until)}"
        )
        with self._connection:
            self._connection.executemany(upsert, zip(*map(_plain, encoded), strict=True))

    def entities(self, rows: int) -> Iterator[list[str | int]]:
        """Entities that are stored, so many at a time."""
        cursor = self._connection.cursor()
        cursor.execute(f"SELECT DISTINCT entity_key FROM {self._table}")
        while found := cursor.fetchmany(rows):
            yield unpack_keys(self._entity, (key for (key,) in found))

    def remove(self, entities: pa.Array, until: datetime) -> int:
        """Take entities out, unless their rows are newer than `until`; returns how many there were."""
        delete = f"DELETE FROM {self._table} WHERE entity_key = ? AND event_ts <= {_stamp(until)}"
        with self._connection:
            found = _plain(keys(self._entity, entities))
            gone = [self._connection.execute(delete, [key]).rowcount for key in found]
        return sum(bool(count) for count in gone)


def _plain(column: pa.Array) -> list[Any]:
    """Python's values, through NumPy, several times as fast as `to_pylist`.

    Bytes become a bytearray: of the two, Python's SQLite asks for each of the first whether it has an adapter.
    """
    values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
    return list(map(bytearray, values)) if column.type == BYTES else values


def _text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _stamp(time: datetime) -> int:
    """A time as Feast's SQLite adapter writes it: whole seconds."""
    from feast.infra.online_stores.sqlite import adapt_datetime_epoch

    return int(adapt_datetime_epoch(time))
