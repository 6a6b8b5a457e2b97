"""AutoGluon, run by a Python of its own (`LEADWISE_AUTOGLUON`), or as recorded; this project does not depend on it."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from tests.benchmarks import measure
from tests.benchmarks.models.bank import Rows

RECORDED = Path(__file__).with_name("recorded.yaml")
PYTHON = "LEADWISE_AUTOGLUON"

_SCRIPT = """
import sys
import pandas as pd
from autogluon.tabular import TabularPredictor
folder = sys.argv[1]
train, test = (pd.read_parquet(f"{folder}/{name}.parquet") for name in ("train", "test"))
predictor = TabularPredictor("y", problem_type="binary", eval_metric="log_loss", path=folder + "/models", verbosity=0)
predictor.fit(train, presets="good_quality", num_cpus=1, num_gpus=0)
p = predictor.predict_proba(test, as_multiclass=False)
pd.DataFrame({"p": p.to_numpy(dtype="float64")}).to_parquet(folder + "/p.parquet")
"""


def python() -> str | None:
    """The Python that has AutoGluon, where one was named."""
    return os.environ.get(PYTHON) or None


def recorded() -> dict[int, dict[str, Any]]:
    """By seed of the split what AutoGluon reached when it was last run: auc, logloss, ece, cpu, and when."""
    found = yaml.safe_load(RECORDED.read_text(encoding="utf-8"))["autogluon"]
    return {int(seed): dict(figures) for seed, figures in found.items()}


def fit_predict(train: Rows, test: pd.DataFrame) -> tuple[npt.NDArray[np.float64], float]:
    """Probability of 1 of each test row by its preset good_quality, and processor seconds, start-up included.

    Raises:
        RuntimeError: AutoGluon failed; the message holds what it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        train.X.assign(y=train.y.astype(int)).to_parquet(f"{folder}/train.parquet")
        test.to_parquet(f"{folder}/test.parquet")
        cost = measure.run([str(python()), "-c", _SCRIPT, folder], {"OMP_NUM_THREADS": "1", "RAY_DISABLE_METRICS": "1"})
        return pd.read_parquet(f"{folder}/p.parquet")["p"].to_numpy(), cost.cpu
