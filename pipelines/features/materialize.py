"""The newest row of each entity, from the lake to the online store: never an older one over a newer one."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from feature_repo.definitions import Definitions, View
from pipelines.core.interval import Interval
from pipelines.core.report import progress
from pipelines.features.apply import open_store, quiet
from pipelines.features.compute import AS_OF, table_of
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from feast import FeatureStore

    from pipelines.core.tenant import Tenant

_ROWS = 5_000
"""Rows handed to the online store at once: a transaction each."""


def materialize(
    tenant: "Tenant", interval: Interval, definitions: Definitions, lake: Lake | None = None
) -> tuple[dict[str, int], list[str]]:
    """Bring the online store from its watermark up to the end of the interval.

    The watermark of a view is the newest end Feast has registered for it. A window that ends before it is skipped: its
    rows are older than what is online. One that ends at it is written again, for its rows may have been recomputed.

    Args:
        tenant: whose stores.
        interval: just computed.
        definitions: the views, applied.
        lake: of the tenant.

    Returns:
        Entities written by view, and sentences about skipped views.
    """
    lake = lake or Lake(tenant)
    store = open_store(tenant)
    written: dict[str, int] = {}
    ahead: list[str] = []
    for view in definitions.views.values():
        mark = watermark(store, view)
        if mark is not None and interval.end < mark:
            written[view.name] = 0
            ahead.append(f"'{view.name}' as of {mark:%Y-%m-%d}")
            continue
        since = None if mark is None else min(mark, interval.start)
        written[view.name] = _materialize_view(store, lake, view, since, interval.end)
    if not ahead:
        return written, []
    return written, [f"the online store stays as it is, newer than {interval.end:%Y-%m-%d}: {', '.join(ahead)}"]


def watermark(store: "FeatureStore", view: View) -> datetime | None:
    """Up to when the view is online, naive UTC; None before the first time."""
    with quiet():
        intervals = store.get_feature_view(view.name).materialization_intervals
    ends = [end.astimezone(UTC).replace(tzinfo=None) for _, end in intervals]
    return max(ends, default=None)


def _materialize_view(store: "FeatureStore", lake: Lake, view: View, since: datetime | None, until: datetime) -> int:
    newest = _newest(lake, view, since, until)
    with quiet():
        feature_view = store.get_feature_view(view.name)
        provider = store._get_provider()
        with progress(f"online: {view.name}", newest.num_rows) as advance:
            for data in _messages(view, newest):
                provider.online_write_batch(store.config, feature_view, data, None)
                advance(len(data))
        start = (since or datetime(1970, 1, 1)).replace(tzinfo=UTC)
        store.registry.apply_materialization(feature_view, store.project, start, until.replace(tzinfo=UTC))
    return int(newest.num_rows)


def _newest(lake: Lake, view: View, since: datetime | None, until: datetime) -> pa.Table:
    """The newest row per entity after `since` and up to `until`, in the order of the entities."""
    columns = [*view.schema.names, AS_OF]
    where = f"{AS_OF} <= '{until.isoformat()}'"
    if since is not None:
        where += f" and {AS_OF} > '{since.isoformat()}'"
    with duckdb.connect(config={"threads": lake.tenant.settings.threads}) as connection:
        connection.register("rows", lake.scan(table_of(view), columns=columns, where=where))
        names = ", ".join(f'"{name}"' for name in columns)
        return connection.sql(
            f"SELECT {names} FROM rows"
            f' QUALIFY row_number() OVER (PARTITION BY "{view.entity}" ORDER BY {AS_OF} DESC) = 1'
            f' ORDER BY "{view.entity}"'
        ).to_arrow_table()


def _messages(view: View, rows: pa.Table) -> Iterator[list[Any]]:
    """Rows as Feast's online stores take them: (entity key, values by feature, event time, no created time)."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    key_field = "int64_val" if view.schema.field(view.entity).type == pa.int64() else "string_val"
    for part in range(0, rows.num_rows, _ROWS):
        table = rows.slice(part, _ROWS)
        columns = {field.name: _values(table.column(field.name), field.type) for field in view.features}
        stamps = [stamp.replace(tzinfo=UTC) for stamp in table.column(AS_OF).to_pylist()]
        keys = table.column(view.entity).to_pylist()
        yield [
            (
                EntityKey(join_keys=[view.entity], entity_values=[Value(**{key_field: key})]),
                {name: values[row] for name, values in columns.items()},
                stamps[row],
                None,
            )
            for row, key in enumerate(keys)
        ]


def _values(column: pa.ChunkedArray, kind: pa.DataType) -> list[Any]:
    """A column as Feast's messages, equal values sharing one; missing ones as Feast's own materialize writes them."""
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.type_map import NULL_TIMESTAMP_INT_VALUE

    name = {
        pa.bool_(): "bool_val",
        pa.float64(): "double_val",
        pa.int64(): "int64_val",
        pa.string(): "string_val",
        pa.timestamp("us"): "unix_timestamp_val",
    }[kind]
    if kind == pa.timestamp("us"):
        column = pa.compute.floor_temporal(column, unit="second").cast(pa.timestamp("s")).cast(pa.int64())
    encoded = column.combine_chunks().dictionary_encode()
    known = [Value(**{name: value}) for value in encoded.dictionary.to_pylist()]
    missing = Value(unix_timestamp_val=NULL_TIMESTAMP_INT_VALUE) if pa.types.is_timestamp(kind) else Value()
    return [missing if code is None else known[code] for code in encoded.indices.to_pylist()]
