"""Leads leave the online store."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.features.address import reached
from pipelines.features.apply import open_store, quiet, write_whole

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

    from pipelines.core.tenant import Tenant


def take_offline(tenant: "Tenant", entity: str, ids: Sequence[str], now: datetime) -> None:
    """Delete entities from the online store. In a store that Feast can't delete from, newer empty rows replace theirs.

    Args:
        tenant: whose store; one that was never filled has nothing to forget.
        entity: name of the entity, e.g. lead_id.
        ids: of the entities.
        now: naive UTC, newer than what is online.

    Raises:
        SourceUnreachable: the Redis of the online store does not answer.
    """
    if not (tenant.feast_dir / "registry.db").is_file():
        return
    store = open_store(tenant)
    with quiet(), reached(tenant.settings):
        from pipelines.features.engine.compute import writer_of

        for view in store.list_feature_views():
            if entity not in view.join_keys:
                continue
            writer = writer_of(store._get_provider().online_store, store.config, view)
            if writer is None:
                empty(store, view, ids, now)
            else:
                writer.remove(pa.array(ids, pa.string()), now)
    if tenant.online_mark.is_file():  # anew: answers that were kept of them are old now
        write_whole(tenant.online_mark, tenant.online_mark.read_text(encoding="utf-8"))


def empty(store: "FeatureStore", view: "FeatureView", ids: Sequence[str], now: datetime) -> None:
    """Write rows without values, as Feast writes any row."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    keys = [EntityKey(join_keys=view.join_keys, entity_values=[Value(string_val=one)]) for one in ids]
    rows = [(key, {field.name: Value() for field in view.features}, now, None) for key in keys]
    store._get_provider().online_write_batch(store.config, view, rows, None)
