"""What `leadwise status` says about models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import NotReady
from pipelines.registry.marks import WAITING
from pipelines.registry.standing import standing
from pipelines.registry.tracking import (
    CHALLENGER,
    CHAMPION,
    PROMOTED,
    SHADOW,
    by_alias,
    connect,
    reached,
    task_of,
    version_of,
    versions_with,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from pipelines.core.tenant import Tenant

METRICS = {"binary": ("auc", "logloss", "ece", "base_rate"), "regression": ("spearman", "rmse", "mae", "mean")}
"""What is shown of a model, by its task."""


def model_status(tenant: Tenant) -> dict[str, dict[str, Any]]:
    """By target: the champion, or where there is none the challenger; targets without either are left out.

    `production` says since when and by whose word it is the champion (None of a challenger), `problem` where the alias
    in MLflow is not what the ledger says, `waiting` and `shadow` which version a person is asked about, and which one
    is scored in the champion's shadow.

    Nothing is created: before the first training the answer is empty.
    """
    if not reached(tenant):
        return {}
    client = connect(tenant)
    found: dict[str, dict[str, Any]] = {}
    for target in tenant.target():
        state = standing(tenant, target, client)
        name, entry = tenant.model_name(target), state.entry
        problem, version, gone = state.problem(tenant), None, False
        if entry is not None:
            try:
                version = version_of(client, name, entry.version)
            except NotReady as error:
                problem, gone = f"'{target}': {error}", True
        if version is None:  # what there is instead
            version = by_alias(client, name, CHALLENGER) or (_newest(client, name) if gone else None)
        if version is None:
            continue
        shadow = by_alias(client, name, SHADOW)
        asked = versions_with(client, name, PROMOTED[0], WAITING)
        found[target] = {
            "name": name,
            "version": str(version.version),
            "alias": "" if gone else CHALLENGER if entry is None else CHAMPION,
            **_of(version.tags),
            "production": None if entry is None else {"since": entry.at.isoformat(), "by": entry.by, "why": entry.why},
            "problem": problem,
            "waiting": str(max(int(one.version) for one in asked)) if asked else None,
            "shadow": None if shadow is None else str(shadow.version),
        }
    return found


def _newest(client: MlflowClient, name: str) -> ModelVersion | None:
    """The newest version that MLflow has."""
    found = client.search_model_versions(f"name = '{name}'", max_results=10_000)
    return max(found, key=lambda one: int(one.version), default=None)


def _of(tags: dict[str, str]) -> dict[str, Any]:
    task = task_of(tags)
    centre = "train_base_rate" if task == "binary" else "train_mean"
    return {
        "task": task,
        "metrics": {name: float(tags[name]) for name in METRICS[task]},
        "train_rows": int(tags["train_rows"]),
        centre: float(tags["train_base_rate"]),
        "holdout_rows": int(tags["holdout_rows"]),
        "data_snapshots": json.loads(tags["data_snapshots"]),
    }
