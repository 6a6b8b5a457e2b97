"""A server that goes away while something is written: one sentence, and nothing lost."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from sqlalchemy import event

from pipelines.core.errors import ConfigError, StoreUnreachable
from pipelines.lake.access import look
from pipelines.lake.catalog import Lake
from pipelines.registry.tracking import connect
from tests.conftest import MakeTenant
from tests.servers import Started

pytestmark = pytest.mark.slow

SCHEMA = pa.schema([("n", pa.int64()), ("_batch_id", pa.string())])
SERVER = {"postgresql": "PostgreSQL", "s3": "the S3 server", "redis": "Redis"}


def rows(batch: str, *numbers: int) -> pa.Table:
    return pa.table({"n": list(numbers), "_batch_id": [batch] * len(numbers)}, schema=SCHEMA)


def held(lake: Lake) -> list[int]:
    return sorted(lake.read("clean.t", columns=["n"])["n"].to_pylist())


@pytest.mark.parametrize("server", ["postgresql", "s3"])
def test_a_server_killed_in_the_middle_of_a_write_costs_nothing(
    server: str, make_tenant: MakeTenant, services: Started
) -> None:
    lake = Lake(make_tenant())
    lake.write("clean.t", SCHEMA, [rows("1", 1, 2), rows("2", 3)], replace=("_batch_id", ["1", "2"]))

    def dying() -> Iterator[pa.Table]:
        yield rows("2", 4)
        services.kill(server)
        yield rows("2", 5)

    with pytest.raises(StoreUnreachable) as told:
        lake.write("clean.t", SCHEMA, dying(), replace=("_batch_id", ["2"]))
    services.back()

    sentence = str(told.value)
    assert sentence.startswith(f"table clean.t of tenant 'demo': {SERVER[server]}")
    assert "does not answer or broke off: run again" in sentence
    assert held(Lake(lake.tenant)) == [1, 2, 3]
    lake.write("clean.t", SCHEMA, [rows("2", 4), rows("2", 5)], replace=("_batch_id", ["2"]))
    assert held(lake) == [1, 2, 4, 5]


@pytest.mark.parametrize("server", ["postgresql", "s3"])
def test_a_server_that_stalls_is_waited_for(server: str, make_tenant: MakeTenant, services: Started) -> None:
    lake = Lake(make_tenant())
    lake.write("clean.t", SCHEMA, [rows("1", 1)], replace=("_batch_id", ["1"]))
    stopped = services.stall(server)
    waker = threading.Timer(2.0, lambda: [process.resume() for process in stopped])
    waker.start()
    lake.write("clean.t", SCHEMA, [rows("2", 2)], replace=("_batch_id", ["2"]))
    waker.join()
    assert held(lake) == [1, 2]


@pytest.mark.parametrize("landed", [False, True], ids=["before it", "after it"])
def test_postgresql_killed_at_a_commit_of_the_lake_costs_nothing(
    landed: bool, make_tenant: MakeTenant, services: Started
) -> None:
    lake = Lake(make_tenant())
    lake.write("clean.t", SCHEMA, [rows("1", 1), rows("2", 2)], replace=("_batch_id", ["1", "2"]))
    first = iter([True])

    def dying(connection: Any) -> None:
        if not next(first, False):
            return
        if landed:
            connection.connection.commit()
        services.kill("postgresql")
        if landed:
            raise psycopg.OperationalError("server closed the connection unexpectedly")  # the answer is lost

    event.listen(lake.catalog.engine, "commit", dying)
    try:
        with pytest.raises(StoreUnreachable, match=r"table clean\.t of tenant 'demo': PostgreSQL.*run again"):
            lake.write("clean.t", SCHEMA, [rows("2", 3)], replace=("_batch_id", ["2"]))
    finally:
        services.back()
    assert held(lake) == ([1, 3] if landed else [1, 2])
    lake.write("clean.t", SCHEMA, [rows("2", 3)], replace=("_batch_id", ["2"]))
    assert held(lake) == [1, 3]


def test_mlflow_away_is_told_at_once(make_tenant: MakeTenant, services: Started) -> None:
    tenant = make_tenant()
    look(tenant)
    services.kill("postgresql")
    began = time.monotonic()
    try:
        with pytest.raises(StoreUnreachable, match=r"MLflow: PostgreSQL at 127\.0\.0\.1:\d+ does not answer"):
            connect(tenant)
        with pytest.raises(StoreUnreachable, match=r"lake of tenant 'demo': PostgreSQL at 127\.0\.0\.1"):
            look(tenant)
        assert time.monotonic() - began < 30  # MLflow by itself would try for 100 s
    finally:
        services.back()


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("CATALOG_URL", "postgresql://leadwise:wrong@{postgres}/catalog", "refuses user or password"),
        ("CATALOG_URL", "postgresql://leadwise:{password}@{postgres}/nothing", "has no such database"),
        ("S3_SECRET", "wrong", "refuses the keys: correct LEADWISE_S3_KEY"),
        ("LAKE_URL", "s3://nowhere/lake", "has no such bucket: create it, or correct LEADWISE_LAKE_URL"),
    ],
)
def test_a_server_that_refuses_is_no_case_for_waiting(
    variable: str, value: str, sentence: str, make_tenant: MakeTenant, services: Started,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    password = services.password
    value = value.format(postgres=services.servers.address("postgresql"), password=password)
    monkeypatch.setenv(f"LEADWISE_{variable}", value)
    with pytest.raises(ConfigError, match=sentence) as told:
        Lake(make_tenant()).write("clean.t", SCHEMA, [rows("1", 1)], replace=("_batch_id", ["1"]))
    assert password not in str(told.value)
