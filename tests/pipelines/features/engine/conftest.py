"""A Feast repository over one Iceberg table, opened with our engine and with Feast's own, side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pyiceberg.catalog.sql import SqlCatalog

from pipelines.features.apply import import_feast, quiet
from tests.pipelines.features.servers import redis_server, redis_session  # noqa: F401 - fixtures

ENGINE = "pipelines.features.engine.compute.OnlineEngine"
TIME = pa.timestamp("us")
KINDS = {"flag": pa.bool_(), "share": pa.float64(), "count": pa.int64(), "name": pa.string(), "seen": TIME}


def schema(key: pa.DataType = pa.string()) -> pa.Schema:  # noqa: B008
    return pa.schema([("lead_id", key), ("as_of", TIME), *KINDS.items()])


@dataclass
class Repo:
    """The table, and a way to open Feast on it."""

    folder: Path
    key: pa.DataType

    @property
    def catalog(self) -> SqlCatalog:
        return SqlCatalog("shop", uri=f"sqlite:///{self.folder}/catalog.db", warehouse=f"file://{self.folder}/lake")

    def write(self, rows: list[dict[str, Any]] | pa.Table) -> None:
        """Append rows to the table."""
        made = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows, schema(self.key))
        self.catalog.create_namespace_if_not_exists("features")
        self.catalog.create_table_if_not_exists("features.leads", made.schema).append(made)

    def open(self, name: str, online: dict[str, Any] | None = None, engine: str = ENGINE, **change: Any) -> Any:
        """A feature store of its own, told of the view `leads`."""
        import_feast()
        from feast import Entity, FeatureStore, FeatureView, Field, ValueType
        from feast.infra.data_sources.contrib.iceberg_catalog.iceberg_source import IcebergSource
        from feast.types import Bool, Float64, Int64, String, UnixTimestamp

        home = self.folder / name
        home.mkdir(parents=True, exist_ok=True)
        config = {
            "project": "shop",
            "provider": "local",
            "registry": {"registry_type": "file", "path": "registry.db", "cache_ttl_seconds": 0},
            "offline_store": {"type": "duckdb"},
            "online_store": online or {"type": "sqlite", "path": "online.db"},
            "entity_key_serialization_version": 3,
            "batch_engine": {"type": engine},
        }
        (home / "feature_store.yaml").write_text(yaml.safe_dump({**config, **change}))
        source = IcebergSource(
            name="leads", catalog_type="sql", catalog_name="shop", namespace="features", table="leads",
            catalog_properties={"uri": f"sqlite:///{self.folder}/catalog.db"}, warehouse=f"file://{self.folder}/lake",
            timestamp_field="as_of",
        )  # fmt: skip
        kinds = {"flag": Bool, "share": Float64, "count": Int64, "name": String, "seen": UnixTimestamp}
        integer = self.key == pa.int64()
        entity = Entity(name="lead", join_keys=["lead_id"], value_type=ValueType.INT64 if integer else ValueType.STRING)
        fields = [Field(name=one, dtype=kind) for one, kind in kinds.items()]
        fields.append(Field(name="lead_id", dtype=Int64 if integer else String))
        view = FeatureView(name="leads", entities=[entity], ttl=None, schema=fields, source=source)
        with quiet():
            store = FeatureStore(repo_path=str(home))
            store.apply([entity, view])
        return store


def materialize(store: Any, start: datetime, end: datetime) -> None:
    """Naive UTC instants."""
    with quiet():
        store.materialize(start.replace(tzinfo=UTC), end.replace(tzinfo=UTC), feature_views=["leads"])


def read(store: Any, entities: list[Any]) -> dict[str, list[Any]]:
    """What a stock client, opened anew, reads."""
    from feast import FeatureStore

    with quiet():
        fresh = FeatureStore(repo_path=str(store.repo_path))
        features = [f"leads:{name}" for name in KINDS]
        found: dict[str, list[Any]] = fresh.get_online_features(
            features, [{"lead_id": one} for one in entities]
        ).to_dict()
    return found


MakeRepo = Callable[..., Repo]


@pytest.fixture
def make_repo(tmp_path: Path) -> MakeRepo:
    """A function that makes the repository: `make_repo(rows, key=pa.string())`."""

    def make(rows: list[dict[str, Any]] | pa.Table, key: pa.DataType = pa.string()) -> Repo:  # noqa: B008
        repo = Repo(tmp_path, key)
        repo.write(rows)
        return repo

    return make
