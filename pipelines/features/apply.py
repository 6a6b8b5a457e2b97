"""Tell Feast what there is: `feature_store.yaml`, registry and online tables, brought up to date when they are not."""

import hashlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from feature_repo.definitions import Definitions
from pipelines.core.errors import NotReady
from pipelines.core.settings import without_password
from pipelines.features.address import expose, online_store, reached
from pipelines.lake.access import introduce

if TYPE_CHECKING:
    from feast import FeatureStore

    from pipelines.core.tenant import Tenant

_CONFIG = "feature_store.yaml"
_APPLIED = "applied.json"


def apply(tenant: "Tenant", definitions: Definitions) -> bool:
    """Register the definitions; does nothing when they are those registered already.

    Args:
        tenant: whose Feast repository, `tenant.feast_dir`.
        definitions: the SQL. The lake's tables of its views must exist.

    Returns:
        Whether anything was registered.
    """
    if is_applied(tenant, definitions):
        return False
    digest = _digest(tenant, definitions)
    applied = tenant.feast_dir / _APPLIED
    tenant.feast_dir.mkdir(parents=True, exist_ok=True)
    write_whole(tenant.feast_dir / _CONFIG, yaml.safe_dump(store_config(tenant), sort_keys=False))
    with quiet(), reached(tenant.settings):
        _register(tenant, definitions)
    write_whole(applied, json.dumps({"digest": digest}))  # last: a killed run applies again
    return True


def is_applied(tenant: "Tenant", definitions: Definitions) -> bool:
    """Whether Feast was told all of this already. Does not load Feast."""
    applied = tenant.feast_dir / _APPLIED
    held = tenant.settings.online_url is not None or (tenant.feast_dir / "online.db").is_file()
    if not held or not applied.is_file():
        return False
    told = json.loads(applied.read_text(encoding="utf-8"))
    return bool(told.get("digest") == _digest(tenant, definitions))


def write_whole(path: Path, text: str) -> None:
    """A file that is there whole or not at all."""
    draft = path.with_suffix(".tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def store_config(tenant: "Tenant") -> dict[str, Any]:
    """What `feature_store.yaml` says: paths are relative to it, so that any Feast client opens the folder."""
    return {
        "project": tenant.feast_project,
        "provider": "local",
        "registry": {"registry_type": "file", "path": "registry.db", "cache_ttl_seconds": 0},
        "offline_store": {"type": "duckdb"},
        "online_store": online_store(tenant.settings),
        "entity_key_serialization_version": 3,
        "batch_engine": {"type": "pipelines.features.engine.compute.OnlineEngine"},
    }


def open_store(tenant: "Tenant") -> "FeatureStore":
    """The tenant's feature store, as any Feast client opens it.

    Raises:
        NotReady: features were never computed.
    """
    if not (tenant.feast_dir / _APPLIED).is_file():
        raise NotReady(
            f"tenant '{tenant.name}' has no feature store yet: run `leadwise features --tenant {tenant.name}` first"
        )
    with quiet():
        import_feast()
        from feast import FeatureStore

        expose(tenant.settings)
        introduce(tenant)
        return _kept_whole(FeatureStore(repo_path=str(tenant.feast_dir)))


def _kept_whole(store: "FeatureStore") -> "FeatureStore":
    """Let the store replace its registry file at once: Feast empties the file first, and a kill would lose it all."""
    from feast.infra.registry.file import FileRegistryStore

    files = getattr(store.registry, "_registry_store", None)
    if not isinstance(files, FileRegistryStore):
        return store
    path, write = files._filepath, files._write_registry

    def replace(registry: Any) -> None:
        files._filepath = path.with_suffix(".tmp")
        try:
            write(registry)
            files._filepath.replace(path)
        finally:
            files._filepath = path

    files._write_registry = replace
    return store


def import_feast() -> None:
    """Import Feast, once, without having typeguard rewrite its classes: that takes longer than the import itself.

    What is left out is a check of argument types within Feast.
    """
    if "feast" in sys.modules:
        return
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = _as_it_is
    try:
        import feast  # noqa: F401
    finally:
        typeguard.typechecked = checked


def _as_it_is(target: Any = None, **_: Any) -> Any:
    """A decorator that does nothing, with or without options."""
    return _as_it_is if target is None else target


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what Feast prints, logs and warns about away from people; its errors are raised all the same."""
    os.environ.setdefault("FEAST_USAGE", "False")
    loggers = [logging.getLogger(name) for name in ("feast", "pyiceberg", "root")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _digest(tenant: "Tenant", definitions: Definitions) -> str:
    """A hash of all that Feast is told."""
    told = {
        "config": store_config(tenant),
        "lake": [tenant.lake_url, without_password(tenant.catalog_uri)],
        "views": {view.name: [view.sql_hash, view.entity, str(view.schema)] for view in definitions.views.values()},
        "labels": {name: label.entity for name, label in definitions.labels.items()},
        "services": {name: definitions.hashes(name) for name in definitions.labels},
        "timezones": sorted(definitions.timezones),
        "feast": version("feast"),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def to_apply(tenant: "Tenant", definitions: Definitions) -> tuple[list[str], list[str]]:
    """What `apply` would do: names of the objects it would register, and of those it would remove. Changes nothing."""
    with quiet():
        import_feast()
        from feature_repo.feast_objects import feast_objects

        wanted = {
            f"{type(one).__name__} {one.name}": getattr(one, "tags", {}) for one in feast_objects(tenant, definitions)
        }
        held: dict[str, Any] = {}
        if (tenant.feast_dir / _APPLIED).is_file():
            held = {
                f"{type(one).__name__} {one.name}": getattr(one, "tags", {}) for one in _registered(open_store(tenant))
            }
    return (
        [name for name, tags in wanted.items() if held.get(name) != tags],
        [name for name in held if name not in wanted],
    )


def _registered(store: "FeatureStore") -> list[Any]:
    """Everything of ours that Feast knows, the users of an object before it."""
    every = [
        *store.list_feature_services(),
        *store.list_on_demand_feature_views(),
        *store.list_feature_views(),
        *store.list_entities(),
    ]
    return [one for one in every if one.name != "__dummy"]


def _register(tenant: "Tenant", definitions: Definitions) -> None:
    import_feast()
    from feast import FeatureStore

    from feature_repo.feast_objects import feast_objects

    expose(tenant.settings)
    introduce(tenant)
    store = _kept_whole(FeatureStore(repo_path=str(tenant.feast_dir)))
    objects = feast_objects(tenant, definitions)
    kept = {(type(one), one.name) for one in objects}
    gone = [one for one in _registered(store) if (type(one), one.name) not in kept]
    store.apply(objects, objects_to_delete=gone, partial=not gone)
