"""The compute engine: what runs when anybody calls Feast's `materialize`."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pyarrow as pa
from feast import FeatureView
from feast.infra.common.materialization_job import MaterializationJob, MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine, LocalComputeEngineConfig
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.data_sources.contrib.iceberg_catalog.iceberg_source import IcebergSource
from feast.types import Bool, FeastType, Float64, Int64, String, UnixTimestamp

from pipelines.core.report import progress
from pipelines.features.engine import encode
from pipelines.features.engine.newest import Columns, Newest, newest
from pipelines.features.engine.others import Guarded
from pipelines.features.engine.sqlite import SqliteWriter
from pipelines.lake.catalog import plain

if TYPE_CHECKING:
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.repo_config import RepoConfig
    from pyiceberg.table import Table

BEGINNING = datetime(1700, 1, 1, tzinfo=UTC)
"""A start that leaves nothing out: whatever is online and not in the source then leaves the store."""

_KINDS: dict[FeastType, pa.DataType] = {
    Bool: encode.BOOL,
    Float64: encode.DOUBLE,
    Int64: encode.INT64,
    String: encode.STRING,
    UnixTimestamp: encode.TIME,
}
_SWEPT = 100_000
"""Stored entities looked up at once."""


class Writer(Protocol):
    """What knows the bytes of one online store."""

    def encode(self, part: pa.Table, features: dict[str, pa.DataType], time: str) -> list[pa.Array]:
        """Rows, one per entity, as `write` takes them. Python is not held up meanwhile."""

    def write(self, encoded: list[pa.Array], until: datetime) -> None:
        """Put rows in the place of those stored; rows that are newer than `until` stay."""

    def entities(self, rows: int) -> Iterator[list[str | int]]:
        """Entities of which something is stored, at least of this view, about so many at a time."""

    def remove(self, entities: pa.Array, until: datetime) -> int:
        """Take entities out, unless their rows are newer than `until`; returns how many there were."""


class OnlineEngineConfig(LocalComputeEngineConfig):  # type: ignore[misc]  # Feast has no types
    """`batch_engine` of `feature_store.yaml`."""

    type: Literal["pipelines.features.engine.compute.OnlineEngine"] = "pipelines.features.engine.compute.OnlineEngine"


class OnlineEngine(LocalComputeEngine):  # type: ignore[misc]
    """Feast's local engine, with a fast path from Iceberg to SQLite and Redis.

    Whatever the stretch, a row it writes is the newest of its entity up to the end of the stretch or the watermark of
    the view, the later of the two, and takes the place of no newer one. So old days never make an online value older.
    Of what it does not know (other sources, stores or types) Feast's own code takes care, under the same rule.

    Attributes:
        written: entities written by view, since the engine was made.
    """

    def __init__(self, **told: Any) -> None:
        super().__init__(**told)
        self.written: dict[str, int] = {}

    def _materialize_one(
        self, registry: "BaseRegistry", task: MaterializationTask, **kwargs: object
    ) -> MaterializationJob:
        view = task.feature_view
        until = max([task.end_time, *(end for _, end in view.materialization_intervals)])
        table = _table(view)
        writer = writer_of(self.online_store, self.repo_config, view)
        if table is None or writer is None:
            guarded = Guarded(self.online_store, _naive(until))
            feast = LocalComputeEngine(
                repo_config=self.repo_config, offline_store=self.offline_store, online_store=guarded
            )
            return feast._materialize_one(registry, replace(task, end_time=until), **kwargs)
        since = None if task.start_time <= BEGINNING else _naive(task.start_time)
        columns = Columns(view.entity_columns[0].name, list(_features(view)), view.batch_source.timestamp_field)
        with newest(table, columns, since, _naive(until)) as rows:
            if since is None:
                _sweep(writer, rows, _naive(until))  # first, while a new store is empty
            _write(writer, rows, view, _naive(until))
            self.written[view.name] = rows.rows
        name = f"{view.name}-{task.start_time}-{until}"
        return LocalMaterializationJob(job_id=name, status=MaterializationJobStatus.SUCCEEDED)


def writer_of(store: "OnlineStore", config: "RepoConfig", view: FeatureView) -> Writer | None:
    """What writes `view` into Feast's online store; None where its bytes are not known here."""
    told = config.online_store
    if config.entity_key_serialization_version != 3 or len(view.entity_columns) != 1:
        return None
    if told.type == "sqlite":
        plain_table = not told.vector_enabled and not told.enable_openai_compatible_store
        return SqliteWriter(store, config, view) if plain_table else None
    if told.type == "redis" and told.redis_type == "redis" and not told.key_ttl_seconds:
        from pipelines.features.engine.redis import RedisWriter

        return RedisWriter(store, config, view)
    return None


def _table(view: FeatureView) -> "Table | None":
    """The view's Iceberg table; None where it is something else, or has what is not known here."""
    source = view.batch_source
    special = type(view) is not FeatureView or view.offline or not view.online or view.source_views
    if special or not isinstance(source, IcebergSource) or source.catalog_type == "rest":
        return None
    if source.field_mapping or source.created_timestamp_column:
        return None
    table = source.get_catalog_client().load_table((source.namespace, source.iceberg_table))
    stored = table.schema().as_arrow()
    wanted = _features(view) | {view.entity_columns[0].name: _KINDS.get(view.entity_columns[0].dtype)}
    wanted |= {source.timestamp_field: encode.TIME}
    same = all(name in stored.names and plain(stored.field(name).type) == kind for name, kind in wanted.items())
    return table if same else None


def _features(view: FeatureView) -> dict[str, pa.DataType | None]:
    """Arrow types of the features by name, None for one that is not known here."""
    return {field.name: _KINDS.get(field.dtype) for field in view.features}


def _write(writer: Writer, rows: Newest, view: FeatureView, until: datetime) -> None:
    """Write all rows: while the store takes a part, the next one is read and encoded."""
    features = {name: kind for name, kind in _features(view).items() if kind is not None}
    parts = rows.parts()

    def next_part() -> tuple[int, list[pa.Array]] | None:
        part = next(parts, None)
        return part and (part.num_rows, writer.encode(part, features, view.batch_source.timestamp_field))

    with progress(f"online: {view.name}", rows.rows) as advance, ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(next_part)
        while found := coming.result():
            coming = ahead.submit(next_part)
            number, encoded = found
            writer.write(encoded, until)
            advance(number)


def _sweep(writer: Writer, rows: Newest, until: datetime) -> None:
    """Take out what is online and has no row."""
    gone = [one for part in writer.entities(_SWEPT) for one in rows.missing(part)]
    if gone:
        writer.remove(pa.array(gone, rows.kind), until)


def _naive(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None)
