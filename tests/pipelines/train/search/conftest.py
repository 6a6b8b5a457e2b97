"""A small frozen training set, searched with the real Optuna and MLflow; both databases are made once and copied."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.core.tenant import Tenant
from pipelines.train.data import TrainingSet
from pipelines.train.freeze import write
from pipelines.train.search import store
from pipelines.train.split import Split
from tests.conftest import MakeTenant
from tests.pipelines.registry.conftest import training_set

ROWS = 700
SMALL = {"num_boost_round": 25, "early_stopping_rounds": 5}
PARAMS = {
    "train": {"min_rows": 100, "lightgbm": {**SMALL, "min_child_samples": 20}, "xgboost": SMALL},
    "tune": {"trials": 4, "folds": 3, "blocks": 5, "startup": 4, "draws": 200},
}
Freeze = Callable[..., Path]


def market(count: int = ROWS) -> TrainingSet:
    """Rows of 90 entities, one an hour, whose label is known two hours later."""
    data = training_set(count)
    times = np.datetime64("2026-01-01", "us") + np.arange(count) * np.timedelta64(1, "h")
    rows = data.rows.set_column(0, "event_time", pa.array(times, pa.timestamp("us")))
    keys = pa.table({"lead_id": [f"l{i % 90}" for i in range(count)], "known_at": times + np.timedelta64(2, "h")})
    return replace(data, rows=rows, keys=keys, parts=Split(np.arange(count), np.empty(0, np.intp), 0))


@pytest.fixture(scope="session")
def empty_studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("studies") / "studies.db"
    store.storage(path)
    return path


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant(params=PARAMS)


@pytest.fixture
def freeze(tenant: Tenant, empty_studies: Path) -> Freeze:
    """`freeze(data)`: the frozen training set of the tenant, and an empty storage beside."""

    def make(data: TrainingSet | None = None) -> Path:
        path = tenant.home / "exp" / "conversion" / "training_set.parquet"
        write(data or market(), path, 7)
        studies = tenant.home / "tune" / "conversion" / "studies.db"
        if not studies.exists():
            studies.parent.mkdir(parents=True)
            shutil.copy(empty_studies, studies)
        return path

    return make
