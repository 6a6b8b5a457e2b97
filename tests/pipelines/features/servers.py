"""A real Redis for tests, on a free port of this machine."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.cli.live.servers import redis_program
from tests.pipelines.collect.conftest import free_port

PASSWORD = 'p:w/,"$1'


class RedisServer:
    """A Redis behind a password, that keeps nothing on disk unless it is told to."""

    def __init__(self, folder: Path, kept: bool = False) -> None:
        self.port = free_port()
        self._folder, self._kept = folder, kept
        self.start()

    def url(self, database: int = 0) -> str:
        """What a user of Leadwise sets."""
        from urllib.parse import quote

        return f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def client(self, database: int = 0) -> "redis.Redis":  # type: ignore[name-defined] # noqa: F821
        import redis

        return redis.Redis.from_url(self.url(database))

    def start(self) -> None:
        told = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder, "save": "", "requirepass": PASSWORD}
        told |= {"appendonly": "yes", "appendfsync": "always"} if self._kept else {}
        command = [str(redis_program()), *(text for name, value in told.items() for text in (f"--{name}", str(value)))]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        from redis import ConnectionError

        for _ in range(200):
            try:
                if self.client().info()["process_id"] == self._process.pid:
                    return
            except ConnectionError:
                time.sleep(0.05)
        self.kill()
        raise RuntimeError("Redis did not start")

    def kill(self) -> None:
        """End the server as a power cut would: what it did not keep is gone."""
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def redis_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def redis_server(redis_session: RedisServer) -> RedisServer:
    """A running Redis that holds nothing."""
    redis_session.client().flushall()
    return redis_session
