"""Features of a moment from the online store, by a stock Feast client."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ConfigError, nearest
from pipelines.features.address import expose, reached
from pipelines.features.apply import import_feast, open_store, quiet

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

    from pipelines.core.tenant import Tenant


def read_online(tenant: "Tenant", target: str, entity_rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Look up the feature service of a target.

    Args:
        tenant: whose store.
        target: name of the target and its feature service.
        entity_rows: per row the entity and event_time (naive UTC, or with a zone).

    Returns:
        Entity and model features by name, one value a row: float, int, bool, str or None. An unknown entity has None
        for every feature. Nothing for no rows.

    Raises:
        NotReady: features were never computed.
        ConfigError: an unknown target, with the nearest right one.
        SourceUnreachable: the Redis of the online store does not answer.
    """
    registry = tenant.feast_dir / "registry.db"
    if not registry.is_file():
        open_store(tenant)  # says what is missing
    expose(tenant.settings)
    store, services = _opened(str(tenant.feast_dir), registry.stat().st_mtime_ns)
    if target not in services:
        raise ConfigError(f"tenant '{tenant.name}' has no feature service '{target}': {nearest(target, services)}")
    if not entity_rows:
        return {}
    with reached(tenant.settings):
        found = store.get_online_features(features=services[target], entity_rows=[dict(row) for row in entity_rows])
    values: dict[str, list[Any]] = found.to_dict()
    return values


@lru_cache(maxsize=8)
def _opened(folder: str, changed: int) -> "tuple[FeatureStore, dict[str, FeatureService]]":
    """The store and its services, opened again whenever the registry changed."""
    with quiet():
        import_feast()
        from feast import FeatureStore

        store = FeatureStore(repo_path=folder)
        return store, {service.name: service for service in store.list_feature_services()}
