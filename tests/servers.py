"""Real servers for a session of tests: those of `leadwise services`, and what each test gets of them."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import psutil
import psycopg
import redis
from botocore.config import Config

from pipelines.cli.live.ports import HOST, free
from pipelines.cli.live.servers import Servers, wait
from pipelines.cli.live.services import write_private
from pipelines.cli.live.supervisor import Supervisor
from pipelines.core.settings import SERVICES

_EMPTY_MLFLOW = """
import os, mlflow
mlflow.MlflowClient(os.environ["URI"], os.environ["URI"]).search_registered_models()
"""


def write_ports(home: Path) -> None:
    """Ports for servers that begin in `home`, drawn where no other session of tests looks for one at this moment."""
    chance, taken = random.Random(), set[int]()
    for _ in range(3):
        taken.add(free(chance.randrange(20_000, 32_000), taken))  # below those that the system gives to clients
    home.mkdir()
    urls = zip(("catalog_url", "online_url", "s3_endpoint"), taken, strict=True)
    write_private(home / SERVICES, {name: f"none://{HOST}:{port}" for name, port in urls})


class Started:
    """PostgreSQL, Redis and S3, and ways to take them away."""

    def __init__(self, servers: Servers, supervisor: Supervisor) -> None:
        self.servers, self.supervisor = servers, supervisor
        self._numbers = count()
        self._last: str | None = None
        # A server dies with the thread that started it: this one lives as long as we do.
        self._later = ThreadPoolExecutor(1)
        self._empty = [1, 0]  # the experiment that MLflow makes by itself, and no model
        # Each test gets a copy of an MLflow that is made ready once.
        self.run(_EMPTY_MLFLOW, URI=self.told["mlflow_uri"])

    @property
    def told(self) -> dict[str, str]:
        """What `make services` wrote."""
        return self.servers.told

    def fresh(self, redis: int = 0) -> dict[str, str]:
        """Variables that lead to a lake and databases of nobody else, and to the emptied Redis database `redis`."""
        number = next(self._numbers)
        with psycopg.connect(self.told["catalog_url"], autocommit=True) as session:
            session.execute(f"CREATE SCHEMA c{number}".encode())
        online = self.told["online_url"].rpartition("/")[0] + f"/{redis}"
        self.redis(online).flushdb()
        database = self.told["catalog_url"].rpartition("/")[0]
        return {
            "LEADWISE_PROFILE": "services",
            "LEADWISE_SERVICES": str(self.servers.home),
            "LEADWISE_LAKE_URL": f"{self.told['lake_url']}/{number}",
            "LEADWISE_CATALOG_URL": f"{self.told['catalog_url']}?options=-csearch_path%3Dc{number}",
            "LEADWISE_MLFLOW_URI": f"{database}/{self._mlflow(number)}",
            "LEADWISE_ONLINE_URL": online,
        }

    def _mlflow(self, number: int) -> str:
        """A copy of the empty database: the last one again, as long as nobody wrote to it."""
        home = self.told["catalog_url"].rpartition("/")[0]
        if self._last is not None:
            with psycopg.connect(f"{home}/{self._last}") as session:
                looked = "SELECT count(*) FROM experiments UNION ALL SELECT count(*) FROM registered_models"
                if [held for (held,) in session.execute(looked)] == self._empty:
                    return self._last
        self._last = f"m{number}"
        with psycopg.connect(f"{home}/postgres", autocommit=True) as session:
            session.execute(f"CREATE DATABASE {self._last} TEMPLATE mlflow".encode())
        return self._last

    def redis(self, url: str | None = None) -> Any:
        """A client of Redis."""
        return redis.Redis.from_url(url or self.told["online_url"])

    def s3(self) -> Any:
        """A client of the S3 server."""
        told = self.told
        keys = {"aws_access_key_id": told["s3_key"], "aws_secret_access_key": told["s3_secret"]}
        return boto3.session.Session().client(
            "s3", endpoint_url=told["s3_endpoint"], region_name="us-east-1", config=Config(proxies={}), **keys
        )

    def run(self, code: str, **environment: str) -> None:
        """Run Python in a process of its own."""
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], env={**self.servers.environment(), **environment},
                       check=True, capture_output=True)  # fmt: skip

    def start(self, code: str) -> subprocess.Popen[bytes]:
        """Start Python in a process of its own, with the variables of this moment."""
        return subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stderr=subprocess.PIPE)

    def flush(self) -> None:
        """Have PostgreSQL write to its files what it holds in memory."""
        with psycopg.connect(self.told["catalog_url"], autocommit=True) as session:
            session.execute("CHECKPOINT")

    @property
    def password(self) -> str:
        """Of PostgreSQL."""
        return str(urlsplit(self.told["catalog_url"]).password)

    def family(self, name: str) -> list[psutil.Process]:
        """The processes of a server."""
        head = psutil.Process(self.supervisor._running[name].process.pid)
        return [head, *head.children(recursive=True)]

    def kill(self, name: str) -> None:
        """End a server as a power cut would."""
        family = self.family(name)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)

    def stall(self, name: str) -> list[psutil.Process]:
        """Stop a server where it stands; returns its processes, to be resumed."""
        family = self.family(name)
        for process in family:
            process.suspend()
        return family

    def back(self) -> None:
        """Start again what was killed, and wait until all answer."""
        self.supervisor._running = {
            name: replace(one, deaths=deque(maxlen=one.deaths.maxlen)) for name, one in self.supervisor._running.items()
        }
        wait(self.servers, self.supervisor)

    def back_after(self, seconds: float) -> Future[None]:
        """`back`, in a while."""

        def start() -> None:
            time.sleep(seconds)
            self.back()

        return self._later.submit(start)
