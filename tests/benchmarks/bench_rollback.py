"""The way back to the version before, beside moving MLflow's alias by hand; and what explains a score."""

import sys
import tempfile
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from tests.benchmarks.bench_whole_way import LEADWISE
from tests.benchmarks.measure import Row
from tests.benchmarks.measure import run as command
from tests.conftest import write_params
from tests.gates import EASY

_TIMES = 5
_BY_HAND = """
import sys, mlflow
mlflow.MlflowClient(sys.argv[1]).set_registered_model_alias("demo.conversion", "champion", sys.argv[2])
"""


def run() -> list[Row]:
    """Medians of whole commands, Python's start included, on the market of `params.yaml` with its three trainings."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        params = write_params(home / "params.yaml", {"promotion": {"gate": EASY}})
        environment = {"LEADWISE_VAR": str(home / "var"), "LEADWISE_PARAMS": str(params)}

        def leadwise(*words: str) -> float:
            return command([LEADWISE, *words], environment).seconds

        leadwise("simulate")
        leadwise("run", "--no-airflow")
        back = [
            leadwise("rollback", "--target", "conversion", "--reason", "benchmark", "--to", str(1 + n % 2))
            for n in range(_TIMES)
        ]
        score = pq.read_table(home / "var/demo/audience/2026-03-31/audience.parquet")["score_id"][0].as_py()
        why = [leadwise("explain", score, "--json") for _ in range(_TIMES)]
        uri = f"sqlite:///{home / 'var/mlflow/mlflow.db'}"
        hand = [command([sys.executable, "-c", _BY_HAND, uri, str(1 + n % 2)]).seconds for n in range(_TIMES)]
    told = f"median of {_TIMES}; the slowest {max(back):.1f} s; reach: under 5"
    return [
        Row.of("rollback", median(back), median(hand), "s", f"{told}; reference: MLflow's alias moved by hand"),
        Row.of("explain a score", median(why), None, "s", f"median of {_TIMES}; three models, 18,000 candidates"),
    ]
