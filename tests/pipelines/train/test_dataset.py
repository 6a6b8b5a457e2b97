"""The frame of a notebook is the one that `train` fits on."""

import subprocess
import sys
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from pipelines import dataset
from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.lake.identities import Identities
from pipelines.registry.champion import load_champion
from pipelines.registry.tracking import connect
from pipelines.train.data import TrainingSet, training_set
from pipelines.train.record import recipe


@pytest.fixture(scope="module")
def trained(demo: Tenant) -> TrainingSet:
    """What the step reads."""
    contracts = load_contracts(demo.contracts_dir)
    definitions = load_definitions(demo, contracts)
    return training_set(demo, Lake(demo), contracts, definitions, "conversion", demo.whole_run)


def test_it_is_what_the_registered_version_was_trained_on(demo: Tenant, trained: TrainingSet) -> None:
    found = dataset("demo", "conversion")
    version = connect(demo).get_model_version_by_alias(demo.model_name("conversion"), "champion")
    assert trained.digest(recipe(demo, "conversion")) in version.tags.values(), "the oracle is the champion's own data"
    assert "leaks" not in version.tags  # nothing in this market knows the outcome
    features = found.attrs["features"]
    assert features == [name for name, _ in load_champion(demo, "conversion").features]
    plain = found[features].astype(trained.frame.dtypes.to_dict())
    for name in features:
        theirs = trained.frame[name]
        same = (plain[name] == theirs) | (plain[name].isna() & theirs.isna())
        assert same.fillna(False).all(), name
    np.testing.assert_array_equal(found.label, trained.labels)
    for part in ("train", "holdout"):
        np.testing.assert_array_equal(np.flatnonzero(found.part == part), getattr(trained.parts, part))
    assert (found.part == "purged").sum() == trained.parts.purged


def test_columns_and_types(demo: Tenant) -> None:
    found = dataset("demo", "conversion")
    entity, event_time, known_at = found.columns[:3]
    assert (event_time, known_at, *found.columns[-2:]) == ("event_time", "known_at", "part", "label")
    phones = Identities(Lake(demo)).phones(pd.array(found[entity], dtype="string[pyarrow]").__arrow_array__())
    assert phones.null_count == 0, "the entity is a lead's id"
    assert found.event_time.is_monotonic_increasing
    assert (found.known_at <= pd.Timestamp(demo.whole_run.end)).all()
    kinds = dict(load_champion(demo, "conversion").features)
    wanted = {"numeric": "float64", "categorical": "category", "boolean": "boolean"}
    assert {name: str(found[name].dtype) for name in kinds} == {name: wanted[kind] for name, kind in kinds.items()}


@pytest.mark.parametrize("as_of", ["2026-02-20", date(2026, 2, 20), datetime(2026, 2, 20, tzinfo=UTC)])
def test_as_of_an_earlier_day(demo: Tenant, as_of: str | date) -> None:
    earlier, now = dataset("demo", "conversion", as_of=as_of), dataset("demo", "conversion")
    assert 0 < len(earlier) < len(now)
    assert earlier.known_at.max() <= pd.Timestamp("2026-02-20")
    assert earlier.attrs["as_of"].startswith("2026-02-20")


def test_bad_requests_are_one_sentence(demo: Tenant) -> None:
    with pytest.raises(ConfigError, match="did you mean 'conversion'"):
        dataset("demo", "conversions")
    with pytest.raises(ConfigError, match="no tenant 'demos'"):
        dataset("demos", "conversion")
    with pytest.raises(ConfigError, match="UTC midnight"):
        dataset("demo", "conversion", as_of="2026-02-20T12:00")
    with pytest.raises(ConfigError, match="neither a day nor an instant"):
        dataset("demo", "conversion", as_of="yesterday")
    with pytest.raises(NotReady):
        dataset("demo", "conversion", as_of="2025-02-20")


def test_pipelines_imports_at_once() -> None:
    code = "import sys, pipelines; print([m for m in ('pandas', 'duckdb', 'pyarrow', 'pydantic') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    with pytest.raises(ImportError):
        from pipelines import datasets  # type: ignore[attr-defined]  # noqa: F401
