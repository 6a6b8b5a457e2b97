"""Feast's objects, derived from the SQL of a use case: nothing about them is written by hand."""

from typing import TYPE_CHECKING

import pyarrow as pa
from feast import Entity, FeatureService, FeatureView, Field, OnDemandFeatureView, RequestSource, ValueType
from feast.data_source import DataSource
from feast.feast_object import FeastObject
from feast.infra.data_sources.contrib.iceberg_catalog.iceberg_source import IcebergSource
from feast.types import Bool, FeastType, Float64, Int64, String, UnixTimestamp

from feature_repo.definitions import Definitions, View
from feature_repo.on_demand import REQUEST, Moment, moment_hash, moment_of, source_of, transform

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant

_TYPES: dict[pa.DataType, FeastType] = {
    pa.bool_(): Bool,
    pa.float64(): Float64,
    pa.int64(): Int64,
    pa.string(): String,
    pa.timestamp("us"): UnixTimestamp,
}


def feast_objects(tenant: "Tenant", definitions: Definitions) -> list[FeastObject]:
    """Entities, one feature view per SQL view, on-demand views, and a feature service per target.

    Args:
        tenant: whose lake the views read.
        definitions: the SQL.

    Returns:
        Objects for `FeatureStore.apply`. The features of a service are the inputs of a model, in their order.
    """
    names = list(dict.fromkeys(view.entity for view in definitions.views.values()))
    entities = {name: _entity(definitions, name) for name in names}
    views = {view.name: _feature_view(tenant, view, entities[view.entity]) for view in definitions.views.values()}
    moments = {name: moment_of(definitions, name) for name in names}
    on_demand = {
        name: _on_demand_view(definitions, moment, views) for name, moment in moments.items() if moment.outputs
    }
    services = [
        _service(definitions, target, label.entity, views, on_demand)
        for target, label in definitions.labels.items()
        if label.entity in entities
    ]
    return [*entities.values(), *views.values(), *on_demand.values(), *services]


def on_demand_name(entity: str) -> str:
    """Name of the on-demand view of an entity."""
    return f"moment_{entity}"


def _entity(definitions: Definitions, name: str) -> Entity:
    kind = definitions.views_of(name)[0].schema.field(name).type
    return Entity(name=name, join_keys=[name], value_type=ValueType.INT64 if kind == pa.int64() else ValueType.STRING)


def _source(tenant: "Tenant", view: View) -> DataSource:
    """The view's Iceberg table, read through the tenant's own catalog; the registry learns no password."""
    return IcebergSource(
        name=f"{tenant.name}_{view.name}",
        catalog_type="sql",
        catalog_name=tenant.catalog_name,
        catalog_properties={} if tenant.settings.catalog_url else {"uri": tenant.catalog_uri},
        warehouse=tenant.lake_url,
        namespace="features",
        table=view.name,
        timestamp_field="as_of",
    )


def _feature_view(tenant: "Tenant", view: View, entity: Entity) -> FeatureView:
    return FeatureView(
        name=view.name,
        entities=[entity],
        ttl=None,  # a row holds until the next one: they are stored only when something changed
        schema=[Field(name=field.name, dtype=_TYPES[field.type]) for field in view.schema],
        source=_source(tenant, view),
        tags={"sql_hash": view.sql_hash, "sql": f"{tenant.use_case}/{view.path.name}"},
    )


def _on_demand_view(definitions: Definitions, moment: Moment, views: dict[str, FeatureView]) -> OnDemandFeatureView:
    sources: list[FeatureView | RequestSource] = [
        RequestSource(name=f"request_{moment.entity}", schema=[Field(name=REQUEST, dtype=UnixTimestamp)])
    ]
    for view in definitions.views_of(moment.entity):
        wanted = [field.name for field in view.features if field.name in moment.inputs]
        if wanted:
            sources.append(views[view.name][wanted])
    name = on_demand_name(moment.entity)
    view = OnDemandFeatureView(
        name=name,
        sources=sources,
        schema=[Field(name=name, dtype=Float64) for name in moment.outputs],
        mode="python",
        udf=transform(moment, name),
        udf_string=source_of(moment, name),
        tags={"hash": moment_hash(moment)},
    )
    # The schema is declared. Feast would check it with random text for a time zone, of which nothing can be told.
    view.infer_features = lambda: None
    return view


def _service(
    definitions: Definitions,
    target: str,
    entity: str,
    views: dict[str, FeatureView],
    on_demand: dict[str, OnDemandFeatureView],
) -> FeatureService:
    parts = []
    for view in definitions.views_of(entity):
        inputs = [field.name for field in definitions.inputs_of(view)]
        if inputs:
            parts.append(views[view.name][inputs])
    if entity in on_demand:
        parts.append(on_demand[entity])
    return FeatureService(name=target, features=parts, tags=definitions.hashes(target))
