"""Steps under which a server goes away, or which are killed themselves: run again, they give the undisturbed tables."""

import os
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from pipelines.collect.ingest import ingest
from pipelines.collect.simulator import simulate
from pipelines.core.errors import SourceUnreachable, StoreUnreachable
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.stores import explained
from pipelines.core.tenant import Tenant
from pipelines.features.engine.redis import RedisWriter
from pipelines.features.online import read_online
from pipelines.features.parity import parity
from pipelines.features.step import features
from pipelines.quality.validate import validate
from tests.conftest import MakeTenant
from tests.failure.work import Job, start
from tests.servers import Started
from tests.tables import contents

pytestmark = pytest.mark.slow

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
