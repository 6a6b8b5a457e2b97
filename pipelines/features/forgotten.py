"""Leads leave the online store."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.features.apply import open_store, quiet

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    from pipelines.core.tenant import Tenant


def take_offline(tenant: "Tenant", entity: str, ids: Sequence[str], now: datetime) -> None:
    """Empty the features of some entities in the online store; SQLite forgets the rows as well.

    Feast knows no way to delete an entity from any store, so that newer rows without values take their place.

    Args:
        tenant: whose store; one that was never filled has nothing to forget.
        entity: name of the entity, e.g. lead_id.
        ids: of the entities.
        now: stamp of the empty rows, naive UTC: newer than what is online.
    """
    if not (tenant.feast_dir / "registry.db").is_file():
        return
    store = open_store(tenant)
    with quiet():
        views = [view for view in store.list_feature_views() if entity in view.join_keys]
        keys = [_key(entity, one) for one in ids]
        for view in views:
            _empty(store, view, keys, now)
            if store.config.online_store.type == "sqlite":
                _delete(store, view, keys)


def _key(entity: str, value: str) -> "EntityKey":
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    return EntityKey(join_keys=[entity], entity_values=[Value(string_val=value)])


def _empty(store: "FeatureStore", view: "FeatureView", keys: "Sequence[EntityKey]", now: datetime) -> None:
    from feast.protos.feast.types.Value_pb2 import Value

    rows = [(key, {field.name: Value() for field in view.features}, now, None) for key in keys]
    store._get_provider().online_write_batch(store.config, view, rows, None)


def _delete(store: "FeatureStore", view: "FeatureView", keys: "Sequence[EntityKey]") -> None:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.infra.online_stores.helpers import compute_table_id

    config = store.config
    table = compute_table_id(store.project, view, config.registry.enable_online_feature_view_versioning)
    connection = store._get_provider().online_store._get_conn(config)
    version = config.entity_key_serialization_version
    with connection:
        connection.executemany(
            f'DELETE FROM "{table}" WHERE entity_key = ?', [(serialize_entity_key(key, version),) for key in keys]
        )
