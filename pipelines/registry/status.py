"""What `leadwise status` says about models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipelines.registry.tracking import CHALLENGER, CHAMPION, by_alias, connect, task_of

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant

METRICS = {"binary": ("auc", "logloss", "ece", "base_rate"), "regression": ("spearman", "rmse", "mae", "mean")}
"""What is shown of a model, by its task."""


def model_status(tenant: Tenant) -> dict[str, dict[str, Any]]:
    """By target: the champion, or where there is none the challenger; targets without either are left out.

    Nothing is created: before the first training the answer is empty.
    """
    settings = tenant.settings
    if settings.mlflow_uri is None and not (settings.mlflow_dir / "mlflow.db").is_file():
        return {}
    client = connect(tenant)
    found: dict[str, dict[str, Any]] = {}
    for target in tenant.target():
        name = tenant.model_name(target)
        for alias in (CHAMPION, CHALLENGER):
            version = by_alias(client, name, alias)
            if version is not None:
                found[target] = {"name": name, "version": str(version.version), "alias": alias, **_of(version.tags)}
                break
    return found


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
