"""Online stores that can be taken away and come back, with the features of a market in them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.core.settings import get_settings
from pipelines.core.tenant import Tenant
from tests.pipelines.features.servers import RedisServer


@dataclass(frozen=True)
class Store:
    """An online store.

    Attributes:
        away: ends it, as a fault would.
        back: starts it again, with what it held.
    """

    away: Callable[[], object]
    back: Callable[[], object]


@contextmanager
def sqlite_store(tenant: Tenant) -> Iterator[Store]:
    """The tenant's own file."""
    path = tenant.feast_dir / "online.db"
    hidden = path.with_suffix(".away")
    try:
        yield Store(lambda: path.rename(hidden), lambda: hidden.rename(path))
    finally:
        if hidden.is_file():
            hidden.rename(path)


@contextmanager
def redis_store(tenant: Tenant, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A Redis with the tenant's features, to which the environment leads; the tenant's own store is put back."""
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions
    from pipelines.features.apply import apply
    from pipelines.features.materialize import materialize

    kept = folder / "feast"
    shutil.copytree(tenant.feast_dir, kept)
    server = RedisServer(folder, kept=True)
    try:
        patch.setenv("LEADWISE_ONLINE_URL", server.url())
        served = Tenant.load(tenant.name, get_settings())
        definitions = load_definitions(served, load_contracts(served.contracts_dir))
        apply(served, definitions)
        materialize(served, served.whole_run, definitions, whole=True)
        yield Store(server.kill, server.start)
    finally:
        server.kill()
        shutil.rmtree(tenant.feast_dir)
        shutil.copytree(kept, tenant.feast_dir)
