"""Online stores that can be taken away and come back, with the features of a market in them."""

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import pytest
import redis

from pipelines.cli.live.ports import HOST, free
from pipelines.cli.live.servers import redis_program
from pipelines.core.settings import get_settings
from pipelines.core.tenant import Tenant
from tests.serving.live import until


@dataclass(frozen=True)
class Store:
    """An online store.

    Attributes:
        away: ends it, as a fault would.
        back: starts it again, with what it held.
    """

    away: Callable[[], object]
    back: Callable[[], object]


class RedisServer:
    """A Redis of a test's own, which keeps what it holds in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port, self._secret = folder, free(random.randrange(20_000, 32_000)), token_hex(8)
        self.url = f"redis://:{self._secret}@{HOST}:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = [str(redis_program()), "--port", str(self._port), "--bind", HOST, "--dir", str(self._folder)]
        words += ["--requirepass", self._secret, "--appendonly", "yes", "--save", ""]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL)

        def answers() -> bool:
            try:
                return bool(redis.Redis.from_url(self.url).ping())
            except redis.RedisError:
                return False

        until(answers)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A running one, whose files lie in `folder`."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


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
    try:
        with redis_server(folder) as server:
            patch.setenv("LEADWISE_ONLINE_URL", server.url)
            served = Tenant.load(tenant.name, get_settings())
            definitions = load_definitions(served, load_contracts(served.contracts_dir))
            apply(served, definitions)
            materialize(served, served.whole_run, definitions, whole=True)
            yield Store(server.kill, server.start)
    finally:
        shutil.rmtree(tenant.feast_dir)
        shutil.copytree(kept, tenant.feast_dir)
