"""The files that a stored model may have are those that estimators write."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from models import LeadScorer
from models.members import Linear, Network
from models.ranked import Ranked
from pipelines.core.errors import NotReady
from pipelines.registry.loader import read_model, write_model
from pipelines.registry.native import _NATIVE, LOADER, check


def stored(folder: Path, estimator) -> set[str]:
    """Write a model as MLflow would, and return the names of its files."""
    (folder / "data" / "model").mkdir(parents=True)
    write_model(folder / "data" / "model", estimator)
    flavor = {"loader_module": LOADER, "data": "data/model"}
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": {"python_function": flavor}}))
    return {name.rpartition("/")[2] for name in estimator.state()}


def test_every_estimator_is_let_in_and_nothing_more(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = {"größe": rng.normal(size=400), "stadt": rng.choice(["köln", "bonn"], 400)}
    value = X["größe"] + rng.normal(size=400)
    members = {"lightgbm": {"num_boost_round": 10}, "xgboost": {"num_boost_round": 10}, "linear": {}}
    inner = LeadScorer("regression", members=members, folds=2)
    found = {
        "ranked": Ranked(inner).fit(X, value),
        "network": Network(epochs=2, units=(4,)).fit(X, (value > 0).astype(float)),
    }
    names = set()
    for kind, estimator in found.items():
        names |= stored(tmp_path / kind, estimator)
        check(tmp_path / kind, "it")
        read = read_model(tmp_path / kind / "data" / "model")
        np.testing.assert_array_equal(read.expected(X), estimator.expected(X))
    assert names == set(_NATIVE)


def test_data_of_a_name_that_no_folder_can_have(tmp_path: Path) -> None:
    stored(tmp_path, Linear().fit({"a": [0.0, 1.0] * 20}, [0, 1] * 20))
    text = (tmp_path / "MLmodel").read_text()
    (tmp_path / "MLmodel").write_text(text.replace("data/model", r'"data\0"'))
    with pytest.raises(NotReady, match="the files of it are gone"):
        check(tmp_path, "it")
