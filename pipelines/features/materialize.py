"""The newest row of each entity, from the lake to the online store: never an older one over a newer one."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from feature_repo.definitions import Definitions, View
from pipelines.collect.patience import patiently
from pipelines.core.interval import Interval
from pipelines.features.address import reached
from pipelines.features.apply import open_store, quiet, write_whole
from pipelines.features.compute import AS_OF, table_of
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from feast import FeatureStore

    from pipelines.core.tenant import Tenant

_TOUCHED = "touched"
"""A file that stands while rows change: after a run that was cut off, what is online is not taken for granted."""

_ASKED = 1_000
"""Entities asked for at once."""

_NOTHING = datetime(1970, 1, 1, tzinfo=UTC)
"""The time that Feast's Redis store gives for an entity that it does not hold."""

_LOOKED_UP = 20
"""Entities that tell whether the online store still holds what was written."""


def touch(tenant: "Tenant") -> None:
    """Say, before feature rows change, that the online store may from now on be behind."""
    tenant.feast_dir.mkdir(parents=True, exist_ok=True)
    (tenant.feast_dir / _TOUCHED).touch()


def materialize(
    tenant: "Tenant", interval: Interval, definitions: Definitions, lake: Lake | None = None, whole: bool = False
) -> tuple[dict[str, int], list[str]]:
    """Bring the online store from its watermark up to the end of the interval, through Feast.

    The watermark of a view is the newest end Feast has registered for it. What came since is written. The whole view
    is written, and what has no row in the lake leaves the store, after days before the watermark were computed again
    (a row that a correction took away may be online), after a run that was cut off, and where the store was emptied.

    Args:
        tenant: whose stores.
        interval: just computed.
        definitions: the views, applied.
        lake: of the tenant.
        whole: write all of every view.

    Returns:
        Entities written by view, and a sentence where the online store is newer than the interval.

    Raises:
        SourceUnreachable: the Redis of the online store does not answer, a few times over.
    """
    lake = lake or Lake(tenant)

    def bring() -> tuple[dict[str, int], list[str]]:
        with reached(tenant.settings):
            return _bring(tenant, interval, definitions, lake, whole)

    return patiently(bring)


def _bring(
    tenant: "Tenant", interval: Interval, definitions: Definitions, lake: Lake, whole: bool
) -> tuple[dict[str, int], list[str]]:
    store = open_store(tenant)
    written: dict[str, int] = {}
    ahead: list[str] = []
    ends: list[datetime] = []
    for view in definitions.views.values():
        mark = watermark(store, view)
        until = max(mark or interval.end, interval.end)
        if until > interval.end:
            ahead.append(f"'{view.name}' as of {until:%Y-%m-%d}")
        again = whole or mark is None or interval.start < mark or _lost(store, lake, view, mark)
        written[view.name] = _materialize_view(store, view, None if again else mark, until)
        ends.append(until)
    write_whole(tenant.online_mark, min(ends, default=interval.end).isoformat())
    (tenant.feast_dir / _TOUCHED).unlink(missing_ok=True)
    if not ahead:
        return written, []
    return written, [f"the online store stays newer than {interval.end:%Y-%m-%d}: {', '.join(ahead)}"]


def was_touched(tenant: "Tenant") -> bool:
    """Whether a run that changed feature rows was cut off before they were online."""
    return (tenant.feast_dir / _TOUCHED).is_file()


def watermark(store: "FeatureStore", view: View) -> datetime | None:
    """Up to when the view is online, naive UTC; None before the first time."""
    with quiet():
        intervals = store.get_feature_view(view.name).materialization_intervals
    ends = [end.astimezone(UTC).replace(tzinfo=None) for _, end in intervals]
    return max(ends, default=None)


def _materialize_view(store: "FeatureStore", view: View, after: datetime | None, until: datetime) -> int:
    """Have Feast write what came after an instant, None for all of it; returns the number of entities."""
    from pipelines.features.engine.compute import BEGINNING, OnlineEngine

    start = BEGINNING if after is None else (after + timedelta(microseconds=1)).replace(tzinfo=UTC)
    with quiet():
        store.materialize(start, until.replace(tzinfo=UTC), feature_views=[view.name])
    engine = store._get_provider().batch_engine
    return engine.written.get(view.name, 0) if isinstance(engine, OnlineEngine) else 0


def _lost(store: "FeatureStore", lake: Lake, view: View, mark: datetime) -> bool:
    """Whether entities that were written are not online: the store was emptied, or is another one."""
    rows = lake.scan(table_of(view), columns=[view.entity], where=f"{AS_OF} <= '{mark.isoformat()}'")
    first = next((batch for batch in rows if batch.num_rows), None)
    if first is None:
        return False
    return None in stored_times(store, view, first.column(0)[:_LOOKED_UP].to_pylist())


def stored_times(store: "FeatureStore", view: View, entities: list[str | int]) -> list[datetime | None]:
    """The time of each entity's row in the online store, whichever it is; None where there is none."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.type_map import python_values_to_proto_values

    times: list[datetime | None] = []
    with quiet():
        feature_view = store.get_feature_view(view.name)
        kind = feature_view.entity_columns[0].dtype.to_value_type()
        for start in range(0, len(entities), _ASKED):
            values = python_values_to_proto_values(entities[start : start + _ASKED], kind)
            keys = [EntityKey(join_keys=[view.entity], entity_values=[value]) for value in values]
            found = store._get_provider().online_read(store.config, feature_view, keys, [view.features[0].name])
            times += [None if time == _NOTHING else time for time, _ in found]
    return times
