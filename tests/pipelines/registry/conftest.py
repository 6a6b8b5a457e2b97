"""Trainings of made-up rows, recorded in a real MLflow on SQLite, without the lake and the join that lie before."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from mlflow.entities.model_registry import ModelVersion

from pipelines.core.settings import Settings
from pipelines.core.tenant import Tenant
from pipelines.registry.tracking import connect
from pipelines.train.data import TrainingSet
from pipelines.train.fit import Candidate, judged
from pipelines.train.record import Training, record
from pipelines.train.split import Split

FEATURES = (("amount", "numeric"), ("city", "categorical"), ("member", "boolean"))
Recorder = Callable[..., ModelVersion]


def rows(count: int, seed: int, signal: float) -> pa.Table:
    """Rows in time order whose label follows the features as strongly as `signal` says."""
    rng = np.random.default_rng(seed)
    amount = rng.normal(size=count)
    city = rng.choice(["north", "south"], count)
    member = rng.random(count) < 0.5
    odds = signal * (amount + (city == "north") + member) - 1
    label = rng.random(count) < 1 / (1 + np.exp(-odds))
    gap = rng.random(count) < 0.1
    times = np.datetime64("2026-01-01", "us") + np.arange(count) * (np.timedelta64(20 * 24 * 3600, "s") // count)
    return pa.table(
        {
            "event_time": pa.array(times, pa.timestamp("us")),
            "label": pa.array(label.astype("int64")),
            "amount": pa.array(amount, mask=gap),
            "city": pa.array(city.astype(object), mask=np.roll(gap, 1)),
            "member": pa.array(member, mask=np.roll(gap, 2)),
        }
    )


def training_set(
    count: int = 500, seed: int = 0, as_of: str = "2026-02-01T00:00:00", contrary: bool = False, noise: float = 0.0
) -> TrainingSet:
    """A training set; in a `contrary` one the holdout is the opposite of what was learnt.

    With `noise` so large a share of the members' labels that are learnt from is turned: a weaker model, which ranks
    worse too, for the same holdout.
    """
    cut = round(count * 0.8)
    parts = Split(np.arange(cut), np.arange(cut, count), 0)
    table = rows(count, seed, signal=2.0)
    if contrary:
        turned = table["label"].to_numpy().copy()
        turned[cut:] = 1 - turned[cut:]
        table = table.set_column(1, "label", pa.array(turned))
    if noise:
        turned = table["label"].to_numpy().copy()
        member = table["member"].to_numpy(zero_copy_only=False)[:cut] == True  # noqa: E712 - gaps are None
        flipped = member & (np.random.default_rng(seed).random(cut) < noise)
        turned[:cut][flipped] = 1 - turned[:cut][flipped]
        table = table.set_column(1, "label", pa.array(turned))
    snapshots: dict[str, int | None] = {"clean.messages": 1, "features.lead": 2}
    return TrainingSet("conversion", FEATURES, table, parts, snapshots, {"label.conversion": "h"}, as_of)


def candidates(data: TrainingSet, only: str | None = None) -> list[Candidate]:
    """All four, small; or one kind of them."""
    from models import LeadScorer
    from models.members import LightGBM, Linear, XGBoost

    X, y = data.train
    kinds = dict(data.features)
    if only == "linear":
        return judged([Linear().fit(X, y, kinds=kinds)], data, seed=0)
    boosted = [LightGBM(num_boost_round=10).fit(X, y, kinds=kinds), XGBoost(num_boost_round=10).fit(X, y, kinds=kinds)]
    members = {"lightgbm": {"num_boost_round": 10}, "xgboost": {"num_boost_round": 10}}
    scorer = LeadScorer(members=members, folds=2).fit(X, y, kinds=kinds)
    return judged([*boosted, scorer, Linear().fit(X, y, kinds=kinds)], data, seed=0)


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh MLflow database: making one takes seconds, copying it none."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tenant(
    var: Path, make_tenant: Callable[..., Tenant], empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch
) -> Tenant:
    # These rows have none of the segments that the contracts of `sms` declare.
    monkeypatch.setattr("pipelines.promotion.checks.untold", lambda declared, window: [])
    (var / "mlflow").mkdir(parents=True)
    (var / "mlflow" / "mlflow.db").write_bytes(empty_mlflow.read_bytes())
    # Small windows, and days of a run that end long after these rows.
    gate = {"rows": 50, "fresh_days": 1000, "segments": {"rows": 50}}
    made = make_tenant("demo", params={"monitor": {"sample_rows": 100}, "promotion": {"gate": gate}})
    assert isinstance(made.settings, Settings)
    return made


@pytest.fixture
def unpictured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings draw no pictures, which takes a third of their time: for tests of what is decided on them."""
    monkeypatch.setattr("pipelines.train.artifacts.draw", lambda *_: None)


@pytest.fixture
def recorder(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """`recorder(data=…, digest=…)`: fit, record and register as challenger; `pictured` as `leadwise train` does it."""

    def run(
        data: TrainingSet | None = None, digest: str = "d1", only: str | None = None, pictured: bool = False
    ) -> ModelVersion:
        if not pictured:
            monkeypatch.setattr("pipelines.train.artifacts.draw", lambda *_: None)
        data = data or training_set()
        found = candidates(data, only)
        if only:
            found = [candidate for candidate in found if candidate.kind == only]
        return record(connect(tenant), Training(tenant, data, found, digest))

    return run
