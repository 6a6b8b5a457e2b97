"""Fixtures shared by all rooms: tenants whose state lives in a temporary folder."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import pytest
import yaml

from pipelines.cli.live.servers import running
from pipelines.core.errors import LeadwiseError
from pipelines.core.params import _merge
from pipelines.core.settings import ROOT, get_settings
from pipelines.core.tenant import Tenant
from tests.gates import EASY
from tests.servers import Started, write_ports

REAL_DATA = Path(os.environ.get("LEADWISE_DATA") or ROOT.parent / "shared" / "data")
BANK_FILE = REAL_DATA / "bank_marketing" / "bank-full.csv"

MakeTenant = Callable[..., Tenant]


def write_params(path: Path, change: dict[str, Any]) -> Path:
    """The repository's params.yaml with `change` laid over it, at `path`."""
    base = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(_merge(base, change), sort_keys=False), encoding="utf-8")
    return path


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--services", action="store_true", help="lake on S3, catalogs and MLflow on PostgreSQL, online store on Redis"
    )
    parser.addoption(
        "--no-way-round", action="store_true", help="fail where a test would be skipped for want of a server"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker begins with one when the others are done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


Impossible = Callable[[str], NoReturn]


@pytest.fixture(scope="session")
def impossible(request: pytest.FixtureRequest) -> Impossible:
    """A function that ends a test which this machine can't run: it is skipped, with the reason, or fails in CI."""
    return pytest.fail if request.config.getoption("--no-way-round") else pytest.skip


@pytest.fixture(scope="session")
def servers(impossible: Impossible) -> Iterator[Started]:
    """PostgreSQL, Redis and S3 of this session."""
    with ExitStack() as stack:
        # Not in pytest's own folder: each session closes that to PostgreSQL's user.
        home = stack.enter_context(TemporaryDirectory(prefix="leadwise-"))
        folder = Path(home) / "services"
        write_ports(folder)
        try:
            started = stack.enter_context(running(folder))
        except LeadwiseError as error:
            impossible(f"the servers can't be started here: {error}")
        found = Started(*started)
        yield found
        found.kill("postgresql")  # what it holds is thrown away: no need to wait until it is written down


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> Started | None:
    """`servers` with `--services`, else None."""
    return request.getfixturevalue("servers") if request.config.getoption("--services") else None


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, services: Started | None) -> Path:
    """An empty LEADWISE_VAR of the test's own; with `--services` also a lake, databases and a Redis of its own."""
    folder = tmp_path / "var"
    if services is not None:
        for name, value in services.fresh().items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("LEADWISE_VAR", str(folder))
    monkeypatch.setenv("LEADWISE_DATA", str(REAL_DATA))
    return folder


@pytest.fixture
def make_tenant(var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeTenant:
    """A function that makes a tenant: `make_tenant(name="demo", params={…}, contracts={file: text}, sql={file: text})`.

    `params` is laid over the repository's params.yaml. With `contracts` and `sql` the tenant gets a use case of its
    own, written to temporary folders.
    """

    def make(
        name: str = "demo",
        params: dict[str, Any] | None = None,
        contracts: dict[str, str] | None = None,
        sql: dict[str, str] | None = None,
    ) -> Tenant:
        path = write_params(tmp_path / "params.yaml", params or {})
        monkeypatch.setenv("LEADWISE_PARAMS", str(path))
        if contracts is not None:
            _only_labelled(path, name, sql or {})
            _use_case(tmp_path, monkeypatch, name, contracts, sql or {})
        return Tenant.load(name, get_settings())

    return make


def _only_labelled(path: Path, tenant: str, sql: dict[str, str]) -> None:
    """Take the targets from the tenant that its own use case has no label for."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    targets = data["tenants"][tenant].get("train", {}).get("targets", {})
    for target in [one for one in targets if f"labels/{one}.sql" not in sql]:
        del targets[target]
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def _use_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tenant: str, contracts: dict[str, str], sql: dict[str, str]
) -> None:
    use_case = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))["tenants"][tenant]["use_case"]
    for room, files in (("expectations", contracts), ("feature_repo", sql)):
        monkeypatch.setenv(f"LEADWISE_{room.upper()}", str(tmp_path / room))
        (tmp_path / room / use_case).mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            path = tmp_path / room / use_case / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, services: Started | None) -> Iterator[Tenant]:
    """A small simulated market that went the whole way, without Airflow. Read only: do not run steps on it."""
    from pipelines.collect.ingest import ingest
    from pipelines.collect.simulator import simulate
    from pipelines.deliver.score import score
    from pipelines.features.step import features
    from pipelines.promotion.promote import promote
    from pipelines.quality.validate import validate
    from pipelines.train.step import train
    from pipelines.watch.monitor import monitor

    home = tmp_path_factory.mktemp("demo")
    params = write_params(
        home / "params.yaml",
        {
            "train": {"lightgbm": {"num_boost_round": 60}, "xgboost": {"num_boost_round": 60}},
            "promotion": {"gate": EASY},
            "tenants": {
                "demo": {
                    "run": {"start": "2026-01-01", "end": "2026-03-02", "dates": []},
                    "simulate": {"leads": 600, "days": 60},
                }
            },
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in (services.fresh(redis=1) if services else {}).items():
            patch.setenv(variable, value)
        patch.setenv("LEADWISE_VAR", str(home / "var"))
        patch.setenv("LEADWISE_PARAMS", str(params))
        tenant = Tenant.load("demo")
        simulate(tenant)
        for step in (ingest, validate, features, train, promote, score, monitor):
            step(tenant, tenant.whole_run)
        yield tenant
