"""Fixtures shared by all rooms: tenants whose state lives in a temporary folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.core.params import _merge
from pipelines.core.settings import ROOT, get_settings
from pipelines.core.tenant import Tenant

REAL_DATA = Path(os.environ.get("LEADWISE_DATA") or ROOT.parent / "shared" / "data")
BANK_FILE = REAL_DATA / "bank_marketing" / "bank-full.csv"

MakeTenant = Callable[..., Tenant]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the soak out unless the marker is asked for by name."""
    if "soak" in (config.option.markexpr or ""):
        return
    soaking = [item for item in items if item.get_closest_marker("soak")]
    if soaking:
        config.hook.pytest_deselected(items=soaking)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


def write_params(path: Path, change: dict[str, Any]) -> Path:
    """The repository's params.yaml with `change` laid over it, at `path`."""
    base = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(_merge(base, change), sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty LEADWISE_VAR of the test's own."""
    folder = tmp_path / "var"
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
        monkeypatch.setenv("LEADWISE_PARAMS", str(write_params(tmp_path / "params.yaml", params or {})))
        if contracts is not None:
            _use_case(tmp_path, monkeypatch, name, contracts, sql or {})
        return Tenant.load(name, get_settings())

    return make


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
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    """A small simulated market that went the whole way, without Airflow. Read only: do not run steps on it."""
    from pipelines.collect.ingest import ingest
    from pipelines.collect.simulator import simulate
    from pipelines.deliver.score import score
    from pipelines.features.step import features
    from pipelines.quality.validate import validate
    from pipelines.registry.promote import promote
    from pipelines.train.step import train
    from pipelines.watch.monitor import monitor

    home = tmp_path_factory.mktemp("demo")
    params = write_params(
        home / "params.yaml",
        {
            "train": {"lightgbm": {"num_boost_round": 60}, "xgboost": {"num_boost_round": 60}},
            "tenants": {
                "demo": {
                    "run": {"start": "2026-01-01", "end": "2026-03-02", "dates": []},
                    "simulate": {"leads": 600, "days": 60},
                }
            },
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEADWISE_VAR", str(home / "var"))
        patch.setenv("LEADWISE_PARAMS", str(params))
        tenant = Tenant.load("demo")
        simulate(tenant)
        for step in (ingest, validate, features, train, promote, score, monitor):
            step(tenant, tenant.whole_run)
        yield tenant
