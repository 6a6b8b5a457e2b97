"""A server that goes away while something is written: one sentence, nothing lost, and equal tables when it is back."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pyarrow as pa
import pytest
from sqlalchemy import event

from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from pipelines.collect.ingest import ingest
from pipelines.collect.simulator import simulate
from pipelines.core.errors import ConfigError, SourceUnreachable, StoreUnreachable
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.stores import explained
from pipelines.core.tenant import Tenant
from pipelines.features.engine.redis import RedisWriter
from pipelines.features.online import read_online
from pipelines.features.parity import parity
from pipelines.features.step import features
from pipelines.lake.access import look
from pipelines.lake.catalog import Lake
from pipelines.quality.validate import validate
from pipelines.registry.tracking import connect
from tests.conftest import MakeTenant
from tests.failure.work import Job, start
from tests.servers import Started
from tests.tables import contents

pytestmark = pytest.mark.slow

SCHEMA = pa.schema([("n", pa.int64()), ("_batch_id", pa.string())])
MARKET = {
    "tenants": {
        "demo": {
            "run": {"start": "2026-01-01", "end": "2026-01-21", "dates": []},
            "simulate": {"leads": 200, "days": 20},
        }
    }
}
Step = Callable[[Tenant, Interval], Report]
STEPS: tuple[Step, ...] = (ingest, validate, features)
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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the tables of the small market hold when nothing happens, on files."""
    from tests.conftest import write_params

    home = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith("LEADWISE_")]:
            patch.delenv(variable)
        patch.setenv("LEADWISE_VAR", str(home / "var"))
        patch.setenv("LEADWISE_PARAMS", str(write_params(home / "params.yaml", MARKET)))
        tenant = Tenant.load("demo")
        simulate(tenant)
        for step in STEPS:
            step(tenant, tenant.whole_run)
        return dict(contents(tenant, plain_ids=True))


@pytest.mark.parametrize("server", ["postgresql", "s3", "redis"])
def test_steps_run_again_after_a_server_died_under_them_give_the_undisturbed_tables(
    server: str, make_tenant: MakeTenant, services: Started, undisturbed: dict[str, object]
) -> None:
    tenant = make_tenant(params=MARKET)
    simulate(tenant)
    told = []
    for number, step in enumerate(STEPS):
        killer = threading.Timer(0.3 + 0.4 * number, lambda: services.kill(server))
        killer.start()
        try:
            step(tenant, tenant.whole_run)
        except Exception as error:
            told.append(explained(error) or error)
        killer.join()
        services.back()
        step(tenant, tenant.whole_run)
    assert all(isinstance(error, StoreUnreachable | SourceUnreachable) for error in told), told
    assert contents(tenant, plain_ids=True) == undisturbed


def test_redis_away_is_one_sentence(make_tenant: MakeTenant, services: Started) -> None:
    tenant = make_tenant(params=MARKET)
    simulate(tenant)
    ingest(tenant, tenant.whole_run)
    validate(tenant, tenant.whole_run)
    services.kill("redis")
    try:
        features(tenant, tenant.whole_run)
    except Exception as error:
        told = explained(error)
    finally:
        services.back()
    assert isinstance(told, SourceUnreachable)
    assert "the online store redis://:***@127.0.0.1" in str(told)
    assert features(tenant, tenant.whole_run).counts["online_entities"] > 0
    assert read_online(tenant, "conversion", [{"lead_id": "nobody", "event_time": tenant.whole_run.end}])


@pytest.fixture
def loaded(make_tenant: MakeTenant) -> Tenant:
    """The small market, before its features."""
    tenant = make_tenant(params=MARKET)
    simulate(tenant)
    for step in STEPS[:2]:
        step(tenant, tenant.whole_run)
    return tenant


def amid(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen once, when the first rows of features have reached Redis and the others have not."""
    write, first = RedisWriter.write, iter([True])

    def written(*given: Any) -> None:
        write(*given)
        if next(first, False):
            act()

    monkeypatch.setattr(RedisWriter, "write", written)


def assert_equal_online(tenant: Tenant) -> None:
    found = parity(tenant, load_definitions(tenant, load_contracts(tenant.contracts_dir)))
    assert (found.checked > 0, found.differing) == (True, 0)


@pytest.mark.parametrize("how", ["killed", "stalled"])
def test_redis_gone_in_the_middle_of_materialize_and_back_costs_nothing(
    how: str, loaded: Tenant, services: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    returns: list[Future[None]] = []

    def gone() -> None:
        if how == "killed":
            services.kill("redis")
            returns.append(services.back_after(0.5))
        else:
            stopped = services.stall("redis")
            threading.Timer(2.0, lambda: [process.resume() for process in stopped]).start()

    amid(monkeypatch, gone)
    try:
        assert features(loaded, loaded.whole_run).counts["online_entities"] > 0
    finally:
        wait(returns)
    assert_equal_online(loaded)


def test_redis_that_hangs_is_one_sentence_and_what_is_missing_comes_with_the_next_run(
    loaded: Tenant, services: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{loaded.settings.online_url}?socket_timeout=1"
    tenant = replace(loaded, settings=loaded.settings.model_copy(update={"online_url": url}))
    stopped: list[psutil.Process] = []
    amid(monkeypatch, lambda: stopped.extend(services.stall("redis")))
    try:
        with pytest.raises(SourceUnreachable, match=r"the online store redis://:\*\*\*@127\.0\.0\.1.*Timeout"):
            features(tenant, tenant.whole_run)
    finally:
        for process in stopped:
            process.resume()
    features(tenant, tenant.whole_run)
    assert_equal_online(tenant)


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


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_killed_process_of_ours_is_taken_up_again(
    step: Step, make_tenant: MakeTenant, tmp_path: Path, services: Started, undisturbed: dict[str, object]
) -> None:
    tenant = make_tenant(params=MARKET)
    simulate(tenant)
    before, after = STEPS[: STEPS.index(step)], STEPS[STEPS.index(step) :]
    for one in before:
        one(tenant, tenant.whole_run)
    own = {name: value for name, value in os.environ.items() if name.startswith("LEADWISE_")}
    run = tenant.params.run
    job = Job(step.__name__, tenant.name, (run.start, run.end), own, tmp_path / "told")
    for _ in range(3):
        process = start(job)
        process.join(random.uniform(0.1, 2.5))
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it is over, or not yet the leader of its group
            process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), job.told.read_text()
    for one in after:
        one(tenant, tenant.whole_run)
    assert contents(tenant, plain_ids=True) == undisturbed
