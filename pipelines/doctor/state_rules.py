"""Rules of what lies under `var/`: locks, databases, the lake. They read, and leave all as it is."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from pipelines.core.errors import LeadwiseError
from pipelines.doctor.rules import Fault, rule

if TYPE_CHECKING:
    from pipelines.doctor.facts import Facts

_WAIT = 2.0  # seconds that a server has to answer
_SHOWN = 5  # tables of one catalog that are told of


@rule(
    "lock-held", "warning", "no step is at work",
    why="a second run of a step is refused while the first holds its lock",
    mend="wait for it to end; the lock is freed with its process, so nothing has to be removed",
)  # fmt: skip
def lock_held(facts: Facts) -> Iterator[Fault]:
    """Locks of steps that a living process holds."""
    from filelock import FileLock, Timeout

    for tenant in facts.tenants:
        for path in sorted((tenant.home / "locks").glob("*.lock")):
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                yield Fault(str(path), f"'{path.stem}' of tenant '{tenant.name}' is at work")
            except OSError as error:
                yield Fault(str(path), f"the lock can't be looked at: {error.strerror}")
            else:
                lock.release()


@rule(
    "pid-stale", "warning", "process files belong to living processes",
    why="a server that finds such a file takes another one for running, and does not start",
    mend="remove the file",
)  # fmt: skip
def pid_stale(facts: Facts) -> Iterator[Fault]:
    """Airflow's `*.pid` files."""
    import psutil

    for path in sorted(facts.settings.airflow_dir.glob("*.pid")):
        with suppress(OSError, ValueError):
            number = int(path.read_text(encoding="utf-8"))
            if not psutil.pid_exists(number):
                yield Fault(str(path), f"the process {number} is gone")


@rule(
    "airflow-database", "warning", "Airflow's database is whole and of this version",
    why="a database whose making was cut short has half of its tables; an older one is brought up to date first",
    mend="the next `leadwise run` makes it anew or brings it up to date by itself: start it and let it end",
)  # fmt: skip
def airflow_database(facts: Facts) -> Iterator[Fault]:
    """The stamp beside the database against the installed version."""
    home = facts.settings.airflow_dir
    database, stamp = home / "airflow.db", home / "airflow.version"
    if not database.is_file():
        return
    version = metadata.version("apache-airflow")
    held = stamp.read_text(encoding="utf-8").strip() if stamp.is_file() else None
    if held is None:
        yield Fault(str(database), "it was being made when the process ended")
    elif held != version:
        yield Fault(str(database), f"it is of Airflow {held}, and {version} is installed")


@rule(
    "lake-catalog", "error", "every lake's catalog can be read, and its tables are there",
    why="the catalog says which files are a table; without it the lake is a heap of Parquet",
    mend="bring catalog.db and lake/ back from one and the same backup, or remove both and run the days again",
)  # fmt: skip
def lake_catalog(facts: Facts) -> Iterator[Fault]:
    """SQLite's own check, and the metadata file of each table."""
    for tenant in facts.tenants:
        path = tenant.home / "catalog.db"
        if not path.is_file():
            continue
        try:
            tables = _tables(path)
        except sqlite3.Error as error:
            yield Fault(str(path), f"the catalog can't be read: {error}")
            continue
        lost = [(name, place) for name, place in tables if place.startswith("file:") and not _local(place).is_file()]
        for name, place in lost[:_SHOWN]:
            yield Fault(str(path), f"the table {name} has lost its metadata file {_local(place).name}")
        if len(lost) > _SHOWN:
            yield Fault(str(path), f"and {len(lost) - _SHOWN} tables more have lost theirs")


@rule(
    "lake-reachable", "error", "the servers of every lake and its catalog answer",
    why="every step reads and writes there",
    mend="start them (`make services` for those of this machine), or correct the variable that the sentence names",
)  # fmt: skip
def lake_reachable(facts: Facts) -> Iterator[Fault]:
    """The database of the catalog and the bucket, where they are a server's."""
    from pipelines.lake.access import look

    for tenant in (one for one in facts.tenants if one.served):
        try:
            look(tenant)
        except LeadwiseError as error:
            yield Fault(tenant.lake_url, str(error))


def _tables(path: Path) -> list[tuple[str, str]]:
    """Name and metadata file of each table of a catalog; raises sqlite3.Error where it is damaged."""
    with closing(_read_only(path)) as connection:
        said = connection.execute("PRAGMA quick_check(1)").fetchone()
        if said[0] != "ok":
            raise sqlite3.DatabaseError(str(said[0]))
        rows = connection.execute("SELECT table_namespace, table_name, metadata_location FROM iceberg_tables")
        return [(f"{namespace}.{name}", str(place or "")) for namespace, name, place in rows]


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_WAIT)


def _local(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))


@rule(
    "mlflow-reachable", "error", "MLflow's database or server can be reached",
    why="training, promotion and scoring read and write it",
    mend="start it, or correct or unset LEADWISE_MLFLOW_URI",
)  # fmt: skip
def mlflow_reachable(facts: Facts) -> Iterator[Fault]:
    """The tracking URI in force; a local database that is not made yet is fine."""
    try:
        _schema(facts)
    except LeadwiseError as error:
        yield Fault("LEADWISE_MLFLOW_URI" if facts.settings.mlflow_uri else str(facts.settings.mlflow_dir), str(error))


@rule(
    "mlflow-schema", "error", "MLflow's database has the schema of the installed MLflow",
    why="MLflow refuses a database of another version",
    mend="make a copy of it, then `.venv/bin/mlflow db upgrade URI`; a newer schema needs the newer MLflow: make setup",
)  # fmt: skip
def mlflow_schema(facts: Facts) -> Iterator[Fault]:
    """The revision it is stamped with against the newest of the installed MLflow."""
    with suppress(LeadwiseError):
        held, newest = _schema(facts), _newest()
        if held is not None and newest is not None and held != newest:
            what = f"its schema is {held}, and MLflow {metadata.version('mlflow')} wants {newest}"
            yield Fault(str(facts.settings.mlflow_dir), what)


def _schema(facts: Facts) -> str | None:
    """Revision of MLflow's database; None for a server, or a database that is not made yet.

    Raises:
        LeadwiseError: it can't be reached; no password is shown.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    uri = facts.settings.tracking_uri
    if uri.startswith(("http://", "https://")):
        _ask(uri)
        return None
    try:
        url = make_url(uri)
    except ArgumentError:
        raise LeadwiseError("the address of MLflow is no URL of a database or a server") from None
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        return _revision(path) if path.is_file() else None
    return _remote(uri, shown)


def _revision(path: Path) -> str | None:
    try:
        with closing(_read_only(path)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise LeadwiseError(f"MLflow's database {path} can't be read: {error}") from None
    return str(row[0]) if row else None


def _remote(uri: str, shown: str) -> str | None:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        with closing(create_engine(uri).connect()) as connection:
            row = connection.execute(text("SELECT version_num FROM alembic_version")).fetchone()
    except (SQLAlchemyError, ArgumentError, ImportError) as error:
        raise LeadwiseError(f"MLflow's database {shown} can't be reached ({type(error).__name__})") from None
    return str(row[0]) if row else None


def _ask(uri: str) -> None:
    import httpx

    parts = urlsplit(uri)
    shown = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
    try:
        answer = httpx.get(f"{uri.rstrip('/')}/health", timeout=_WAIT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise LeadwiseError(f"MLflow does not answer at {shown} ({type(error).__name__})") from None
    if answer.status_code >= 500:
        raise LeadwiseError(f"MLflow at {shown} answers {answer.status_code}")


def _newest() -> str | None:
    """The newest revision among MLflow's migrations, read as text: importing MLflow takes seconds."""
    from importlib.util import find_spec

    spec = find_spec("mlflow")
    if spec is None or spec.origin is None:
        return None
    texts = [path.read_text(encoding="utf-8") for path in _migrations(Path(spec.origin).parent)]
    made = {found[1] for text in texts if (found := re.search(r'^revision = "(\w+)"', text, re.MULTILINE))}
    left = {found[1] for text in texts if (found := re.search(r'^down_revision = "(\w+)"', text, re.MULTILINE))}
    heads = made - left
    return heads.pop() if len(heads) == 1 else None


def _migrations(package: Path) -> list[Path]:
    return sorted((package / "store" / "db_migrations" / "versions").glob("*.py"))
