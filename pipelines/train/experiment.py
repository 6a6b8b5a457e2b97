"""Experiments: the same fit and the same evidence as `train`, on a frozen training set.

An experiment ends as a run in MLflow. It registers no version, moves no alias and reads nothing of the lake.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from models import compare
from models.judges import judge_of
from models.metrics import calibration
from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.origin import Origin, started_by
from pipelines.core.report import Report, progress
from pipelines.registry.loader import read_model, write_model
from pipelines.registry.tracking import connect, experiment_id
from pipelines.train.fit import comparison, fit_candidates, judged, verdict
from pipelines.train.freeze import thaw
from pipelines.train.record import DIGEST, DVC, Training, logged_run, recipe, run_tags

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mlflow import MlflowClient

    from models.inputs import Floats
    from pipelines.core.tenant import Tenant
    from pipelines.core.train_params import Task

WORKSPACE = "workspace"  # name of a run where DVC gave it none (`dvc repro`)
_POINTS = 100


def fit(tenant: Tenant, target: str, frozen: Path, folder: Path) -> Report:
    """Fit every candidate on a frozen training set and write each in its native format to `folder`/<kind>.

    Raises:
        NotReady: there is no frozen training set, or too little data in it.
        ConfigError: it belongs to another target or horizon.
    """
    data = thaw(tenant, target, frozen)
    with progress(f"fit {target}", len(tenant.params.train.candidates)) as advance:
        candidates = fit_candidates(data, tenant.params.train, tenant.settings.threads, advance)
    shutil.rmtree(folder, ignore_errors=True)
    for candidate in candidates:
        write_model(folder / candidate.kind, candidate.estimator)
    counts: dict[str, int | float | str] = {
        "training rows": len(data.parts.train),
        "holdout rows": len(data.parts.holdout),
        "models": len(candidates),
    }
    return Report("fit", tenant.name, counts=counts)


def evaluate(tenant: Tenant, target: str, frozen: Path, models: Path, metrics: Path, plots: Path) -> Report:
    """Judge fitted candidates on the holdout: `metrics` (JSON), curves under `plots` (CSV), and a run in MLflow.

    The same rows, parameters and name of an experiment give the run that is there already.

    Raises:
        NotReady: there is no frozen training set or no fitted model.
        ConfigError: they belong to another target or horizon.
    """
    data = thaw(tenant, target, frozen)
    kinds = tenant.params.train.candidates
    absent = [kind for kind in kinds if not (models / kind).is_dir()]
    if absent:
        raise NotReady(f"there is no fitted model {models / absent[0]}: fit the candidates with `dvc repro fit`")
    candidates = judged([read_model(models / kind) for kind in kinds], data, tenant.params.train.seed)
    training = Training(tenant, data, candidates, data.digest(recipe(tenant, target)))
    with progress(f"evaluate {target}"):
        run_id = _recorded(connect(tenant), training)
    winner, y = training.winner, data.labels[data.parts.holdout]
    measured = compare.measures(y, winner.probabilities, data.task)
    figures = {name: round(value, 6) for name, value in measured.items()}
    losses = {judge_of(data.task).loss: {candidate.kind: round(candidate.loss, 6) for candidate in candidates}}
    content = {"winner": winner.kind, **figures, "candidates": losses, "mlflow_run": run_id[:8]}
    _write_json(metrics, content)
    _write_plots(plots, y, winner.probabilities, data.task)
    return Report(
        "evaluate",
        tenant.name,
        counts={"holdout rows": len(y)},
        notes=[*verdict(data, candidates), f"{target}: MLflow run {run_id}; nothing was registered"],
        details=comparison(data, candidates),
    )


def _recorded(client: MlflowClient, training: Training) -> str:
    """Id of this experiment's run in MLflow: the one that is there, or a new one."""
    name = os.environ.get("DVC_EXP_NAME")
    origin = Origin(DVC, name or WORKSPACE)
    tags = run_tags(training) | origin.tags()
    same = " and ".join(f"tags.{tag} = '{tags[tag]}'" for tag in (DIGEST, *origin.tags()))
    found = client.search_runs(
        [experiment_id(client, training.tenant)], f"{same} and attributes.status = 'FINISHED'", max_results=1
    )
    if found:
        return str(found[0].info.run_id)
    if baseline := os.environ.get("DVC_EXP_BASELINE_REV"):
        tags["dvc_baseline"] = baseline
    data = training.data
    run_name = name or f"{training.tenant.model_name(data.target)} {data.as_of[:10]} {WORKSPACE}"
    with started_by(origin), logged_run(client, training, run_name, tags) as (run_id, _):
        return run_id


def _write_json(path: Path, content: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the file {path} can't be written ({error.strerror}): make room there") from None


def _write_plots(folder: Path, y: Floats, p: Floats, task: Task) -> None:
    """The winner's calibration, gain and, of a probability, ROC as CSV, for `dvc plots`: one line an experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    predicted, observed, _ = calibration(y, p)
    _write_curve(folder / "calibration.csv", ("predicted", "observed"), predicted, observed)
    at = np.unique(np.linspace(0, len(y), min(len(y), _POINTS) + 1).astype(np.intp))
    hits = np.concatenate([[0], np.cumsum(y[np.argsort(-p, kind="stable")])])[at]
    if task == "binary":
        misses = at - hits
        _write_curve(
            folder / "roc.csv", ("false_positive_rate", "true_positive_rate"), misses / misses[-1], hits / hits[-1]
        )
    if hits[-1] == 0:
        return  # values that cancel out have no shares
    _write_curve(folder / "gain.csv", ("share_contacted", "share_reached"), at / len(y), hits / hits[-1])


def _write_curve(path: Path, names: tuple[str, str], x: Iterable[float], y: Iterable[float]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows((round(float(a), 6), round(float(b), 6)) for a, b in zip(x, y, strict=True))
