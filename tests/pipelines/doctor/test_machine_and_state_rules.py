"""Rules of the machine and of what lies under var/: real sockets, locks, databases, damaged on purpose."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.core.locks import exclusive
from pipelines.core.settings import ROOT
from pipelines.core.tenant import Tenant
from pipelines.doctor import machine_rules, state_rules
from pipelines.lake.catalog import Lake
from tests.pipelines.doctor.conftest import World

Usage = namedtuple("Usage", "total used free")


def test_the_machine_as_it_is_has_no_error(world: World) -> None:
    findings = world.look("machine")
    assert [one for one in findings if one.level == "error" and one.rule != "disk-full"] == []


def test_a_port_that_is_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        monkeypatch.setattr(machine_rules, "PORTS", {held.getsockname()[1]: "a test"})
        [finding] = world.look("port-free")
        assert finding.level == "warning"
        assert f"(process {os.getpid()})" in finding.what
    assert world.look("port-free") == []


@pytest.mark.parametrize(
    ("free", "rules"), [(3e9, []), (1.9e9, ["disk-scarce"]), (1.99e8, ["disk-full"]), (0, ["disk-full"])]
)
def test_free_space(world: World, monkeypatch: pytest.MonkeyPatch, free: float, rules: list[str]) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, int(free)))
    assert [one.rule for one in world.look("disk-full", "disk-scarce")] == rules


def test_a_python_that_is_too_old(world: World, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nrequires-python = ">=4.0"\n', encoding="utf-8")
    [finding] = world.look("python-version", root=tmp_path)
    assert ">=4.0" in finding.what


def test_packages_that_are_not_the_locked_ones(world: World, tmp_path: Path) -> None:
    duckdb = metadata.version("duckdb")
    (tmp_path / "requirements.lock").write_text(
        f"duckdb=={duckdb} \\\n    --hash=sha256:00\n"
        "numpy==0.1 \\\n    --hash=sha256:00\n"
        "no-such-package==1.0 \\\n    --hash=sha256:00\n"
        "only-elsewhere==1.0 ; sys_platform == 'never' \\\n    --hash=sha256:00\n",
        encoding="utf-8",
    )
    told = [one.what for one in world.look("package-version", root=tmp_path)]
    assert told == [
        f"numpy is {metadata.version('numpy')}, and 0.1 is locked",
        "no-such-package is not installed, and 1.0 is locked",
    ]


def test_the_lock_of_the_repository_is_read_to_its_end() -> None:
    pins = dict(machine_rules._pins(ROOT / "requirements.lock"))
    assert len(pins) > 250
    assert {"apache-airflow", "mlflow", "duckdb", "zstandard"} <= set(pins) | {"zstandard"}


def test_a_step_at_work(world: World) -> None:
    tenant = Tenant.load("shop")
    with exclusive(tenant, "train"):
        [finding] = world.look()
        assert (finding.rule, finding.level) == ("lock-held", "warning")
        assert "'train'" in finding.what
    assert world.look() == []  # the file stays, and nobody holds it


def test_the_file_of_a_process_that_is_gone(world: World) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    world.write("var/airflow/scheduler.pid", f"{done.pid}\n")
    world.write("var/airflow/api.pid", f"{os.getpid()}\n")
    world.write("var/airflow/odd.pid", "no number")
    [finding] = world.look()
    assert (finding.rule, Path(finding.where).name) == ("pid-stale", "scheduler.pid")


def test_an_airflow_database_that_is_half_made_or_old(world: World) -> None:
    world.write("var/airflow/airflow.db", "")
    [finding] = world.look()
    assert finding.rule == "airflow-database"
    assert "being made" in finding.what
    world.write("var/airflow/airflow.version", "2.0.0")
    [finding] = world.look()
    assert "Airflow 2.0.0" in finding.what
    world.write("var/airflow/airflow.version", metadata.version("apache-airflow"))
    assert world.look() == []


@pytest.fixture
def lake(world: World) -> Lake:
    found = Lake(Tenant.load("shop"))
    for name in ("raw.visits", "clean.visits"):
        found.write(name, pa.schema([("a", pa.int64())]), [pa.table({"a": [1]})], replace=("a", [1]))
    return found


def test_a_whole_lake(world: World, lake: Lake) -> None:
    assert world.look() == []


def test_a_table_that_lost_its_metadata(world: World, lake: Lake) -> None:
    table = lake.table("clean.visits")
    assert table is not None
    Path(table.metadata_location.removeprefix("file://")).unlink()
    [finding] = world.look()
    assert finding.rule == "lake-catalog"
    assert "clean.visits" in finding.what


def test_a_damaged_catalog(world: World, lake: Lake) -> None:
    path = world.home / "var/shop/catalog.db"
    whole = path.read_bytes()
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    assert [one.rule for one in world.look()] == ["lake-catalog"]
    path.write_bytes(whole[: len(whole) // 2])
    assert [one.rule for one in world.look()] == ["lake-catalog"]


def test_a_catalog_on_a_server_that_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_CATALOG_URL", "postgresql://me:hunter2@127.0.0.1:1/catalog")
    [finding] = world.look()
    assert finding.rule == "lake-reachable"
    assert "PostgreSQL at 127.0.0.1:1 does not answer" in finding.what
    assert "hunter2" not in f"{finding.where}{finding.what}{finding.mend}"


def test_mlflows_database(world: World) -> None:
    path = world.home / "var/mlflow/mlflow.db"
    assert world.look() == []  # not made yet
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('0123456789ab')")
    connection.close()
    [finding] = world.look()
    assert finding.rule == "mlflow-schema"
    assert "0123456789ab" in finding.what
    path.write_bytes(b"no database at all" * 100)
    assert [one.rule for one in world.look()] == ["mlflow-reachable"]


def test_the_newest_schema_is_the_one_mlflow_knows() -> None:
    import mlflow
    from alembic.script import ScriptDirectory

    folder = Path(mlflow.__file__).parent / "store" / "db_migrations"
    assert [state_rules._newest()] == ScriptDirectory(str(folder)).get_heads()


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:hunter2@127.0.0.1:9",
        "postgresql+psycopg://me:hunter2@127.0.0.1:9/mlflow?connect_timeout=2",
        "nonsense hunter2",
    ],
)
def test_an_mlflow_that_is_away(world: World, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("LEADWISE_MLFLOW_URI", uri)
    [finding] = world.look()
    assert (finding.rule, finding.where) == ("mlflow-reachable", "LEADWISE_MLFLOW_URI")
    assert "hunter2" not in finding.what
