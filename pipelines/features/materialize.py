"""The newest row of each entity, from the lake to the online store: never an older one over a newer one."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from feature_repo.definitions import Definitions, View
from pipelines.core.interval import Interval
from pipelines.core.report import Advance, progress
from pipelines.features.apply import open_store, quiet
from pipelines.features.compute import AS_OF, table_of
from pipelines.features.encode import online_rows
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

    from pipelines.core.tenant import Tenant

# Pages that change within a transaction stay in memory (64 MB) until it is over.
_CACHE = "PRAGMA cache_size = -65536"


def materialize(
    tenant: "Tenant", interval: Interval, definitions: Definitions, lake: Lake | None = None
) -> tuple[dict[str, int], list[str]]:
    """Bring the online store from its watermark up to the end of the interval.

    The watermark of a view is the newest end Feast has registered for it. After days before it were computed again, the
    newest row of every entity is written as of the watermark: a row that a correction took away may be online, and an
    older window never makes an online value older.

    Args:
        tenant: whose stores.
        interval: just computed.
        definitions: the views, applied.
        lake: of the tenant.

    Returns:
        Entities written by view, and a sentence where the online store is newer than the interval.
    """
    lake = lake or Lake(tenant)
    store = open_store(tenant)
    written: dict[str, int] = {}
    ahead: list[str] = []
    for view in definitions.views.values():
        mark = watermark(store, view)
        since, until = mark, interval.end
        if mark is not None and interval.start < mark:
            since, until = None, max(mark, interval.end)
        if until > interval.end:
            ahead.append(f"'{view.name}' as of {until:%Y-%m-%d}")
        written[view.name] = _materialize_view(store, lake, view, since, until)
    if not ahead:
        return written, []
    return written, [f"the online store stays newer than {interval.end:%Y-%m-%d}: {', '.join(ahead)}"]


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
        with progress(f"online: {view.name}", newest.num_rows) as advance:
            _write(store, feature_view, online_rows(view, newest, AS_OF), advance)
        start = (since or datetime(1970, 1, 1)).replace(tzinfo=UTC)
        store.registry.apply_materialization(feature_view, store.project, start, until.replace(tzinfo=UTC))
    return int(newest.num_rows)


def _write(
    store: "FeatureStore",
    feature_view: "FeatureView",
    parts: Iterable[tuple[int, Iterable[tuple[object, ...]]]],
    advance: Advance,
) -> None:
    """Upsert rows as Feast's `online_write_batch` does, on its connection, without its message per value."""
    from feast.infra.online_stores.helpers import compute_table_id

    config = store.config
    table = compute_table_id(store.project, feature_view, config.registry.enable_online_feature_view_versioning)
    connection = store._get_provider().online_store._get_conn(config)
    connection.execute(_CACHE)
    upsert = (
        f'INSERT INTO "{table}" (entity_key, feature_name, value, value_text, event_ts, created_ts)'
        " VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value,"
        " value_text = excluded.value_text, event_ts = excluded.event_ts, created_ts = NULL"
    )
    for entities, rows in parts:
        with connection:
            connection.executemany(upsert, rows)
        advance(entities)


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
