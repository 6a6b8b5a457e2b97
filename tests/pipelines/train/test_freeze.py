"""A frozen training set is what `train` reads, and stays what it was."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.registry.tracking import connect
from pipelines.train import experiment
from pipelines.train.data import training_set
from pipelines.train.freeze import freeze, thaw
from pipelines.train.record import recipe


def snapshots(tenant: Tenant) -> dict[str, int | None]:
    lake = Lake(tenant)
    tables = [f"{space}.{name}" for space in ("clean", "features", "deliver", "watch") for name in lake.names(space)]
    return {table: lake.snapshot_id(table) for table in tables}


def changed(tenant: Tenant, **train: Any) -> Tenant:
    """The same tenant with other parameters of training."""
    return replace(
        tenant, params=tenant.params.model_copy(update={"train": tenant.params.train.model_copy(update=train)})
    )


@pytest.fixture(scope="module")
def frozen(demo: Tenant, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exp") / "deep" / "training_set.parquet"
    before = snapshots(demo)
    report = freeze(demo, demo.whole_run, "conversion", path)
    assert snapshots(demo) == before
    assert report.counts["rows"] == thaw(demo, "conversion", path).rows.num_rows
    return path


def test_thawed_is_what_train_fitted(demo: Tenant, frozen: Path) -> None:
    """Rows, split and queries: by the digest of the registered version, and a set fresh from the lake."""
    data = thaw(demo, "conversion", frozen)
    digest = data.digest(recipe(demo, "conversion"))
    version = connect(demo).get_model_version_by_alias(demo.model_name("conversion"), "challenger")
    assert digest == version.tags["training_digest"]
    contracts = load_contracts(demo.contracts_dir)
    fresh = training_set(demo, Lake(demo), contracts, load_definitions(demo, contracts), "conversion", demo.whole_run)
    assert data.rows.equals(fresh.rows)
    assert data.keys.equals(fresh.keys)
    assert (data.features, data.snapshots, data.sql, data.as_of) == (
        fresh.features,
        fresh.snapshots,
        fresh.sql,
        fresh.as_of,
    )


def test_the_split_follows_the_parameters_of_the_moment(demo: Tenant, frozen: Path) -> None:
    smaller = thaw(changed(demo, holdout_share=0.1), "conversion", frozen)
    assert len(smaller.parts.holdout) == round(smaller.rows.num_rows * 0.1)


def test_another_horizon_needs_another_freeze(demo: Tenant, frozen: Path) -> None:
    longer = demo.params.train.targets["conversion"].model_copy(update={"horizon_days": 3})
    with pytest.raises(ConfigError, match=r"was frozen with horizon_days 7, not 3: .*`dvc repro -f freeze`"):
        thaw(changed(demo, targets={"conversion": longer}), "conversion", frozen)


def test_what_is_missing_or_broken_is_one_sentence(demo: Tenant, frozen: Path, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="there is no frozen training set"):
        thaw(demo, "conversion", tmp_path / "none.parquet")
    half = tmp_path / "half.parquet"
    half.write_bytes(frozen.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="is no frozen training set"):
        thaw(demo, "conversion", half)
    with pytest.raises(NotReady, match=r"there is no fitted model .*lightgbm"):
        experiment.evaluate(demo, "conversion", frozen, tmp_path, tmp_path / "m.json", tmp_path / "plots")


def test_nothing_ingested_is_one_sentence_and_leaves_nothing(make_tenant, var: Path, tmp_path: Path) -> None:
    tenant = make_tenant()
    with pytest.raises(NotReady, match=r"tenant 'demo' has no data in .* yet: run `make demo` first"):
        freeze(tenant, tenant.whole_run, "conversion", tmp_path / "training_set.parquet")
    assert not (var / "demo").exists()
    assert list(tmp_path.glob("*.parquet")) == []
