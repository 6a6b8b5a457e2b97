"""The model that scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.ranked import unranked
from pipelines.core.errors import NotReady
from pipelines.registry.frames import as_columns, frame
from pipelines.registry.loading import load
from pipelines.registry.tracking import (
    CHAMPION,
    PROMOTED,
    REFERENCE,
    by_alias,
    connect,
    run_table,
    task_of,
    versions_with,
)

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.pyfunc import PyFuncModel

    from models import Estimator
    from models.inputs import Floats, Kind
    from pipelines.core.tenant import Tenant
    from pipelines.core.train_params import Task


@dataclass(frozen=True)
class Champion:
    """A registered model, loaded.

    Attributes:
        target: what it predicts.
        name: registered model, `<tenant>.<target>`.
        version: of the registered model.
        run_id: the MLflow run that trained it.
        features: name and kind of each input, in order.
        feature_service: the Feast feature service that serves them.
        train_base_rate: share of ones among its training rows; of a regression the mean.
        task: "binary" or "regression".
        tags: of the version.
        tracking_uri: where the run is.
        model: MLflow's pyfunc: checks its input against the signature, then predicts.
        estimator: what the pyfunc wraps: no check but its own.
    """

    target: str
    name: str
    version: str
    run_id: str
    features: tuple[tuple[str, Kind], ...]
    feature_service: str
    train_base_rate: float
    task: Task
    tags: Mapping[str, str]
    tracking_uri: str = field(repr=False)
    model: PyFuncModel = field(repr=False)
    estimator: Estimator = field(repr=False)

    def predict(self, columns: Any) -> Floats:
        """What is served for each row of features: a probability, a number, or a rank from 0 to 100.

        Args:
            columns: Arrow, a DataFrame or a dict of sequences; columns in any order.

        Raises:
            InputError: a feature is missing or unreadable.
        """
        return self.estimator.expected(as_columns(columns, self.features))

    def judged(self, columns: Any) -> Floats:
        """What is held against the labels: `predict`, or of a rank the number that is ranked."""
        return unranked(self.estimator).expected(as_columns(columns, self.features))

    def reference(self) -> pd.DataFrame | None:
        """The sample of training rows kept for drift: features and `score`; None where the run has none.

        Its size is bounded by `params.monitor.sample_rows` at the time of training.
        """
        table = run_table(self.tracking_uri, self.run_id, REFERENCE)
        if table is None:
            return None
        sample = frame(table, self.features)
        return sample.assign(score=table.column("score").to_numpy())


def load_champion(tenant: Tenant, target: str, as_of: datetime | None = None) -> Champion:
    """Load the champion of `target`.

    Args:
        tenant: whose model.
        target: what it predicts.
        as_of: naive UTC instant that is scored. A champion that was trained on what became known later is no judge of
            it: then the newest version that was promoted on what was known by then takes its place, so that an old day
            scored again gets the scores it had. Where there is none the champion stands in.

    Raises:
        ConfigError: the tenant has no such target.
        NotReady: no version was promoted yet.
    """
    [target] = tenant.target(target)
    client, name = connect(tenant), tenant.model_name(target)
    version = by_alias(client, name, CHAMPION)
    if version is None:
        raise NotReady(
            f"tenant '{tenant.name}' has no champion for '{target}' yet:"
            f" run `leadwise train --tenant {tenant.name}` and `leadwise promote --tenant {tenant.name}` first"
        )
    if as_of is not None and version.tags["as_of"] > as_of.isoformat():
        version = _promoted_by(client, name, as_of) or version
    return load_version(tenant, target, version)


def _promoted_by(client: MlflowClient, name: str, as_of: datetime) -> ModelVersion | None:
    """The newest promoted version that was trained on what was known by `as_of`."""
    promoted = [one for one in versions_with(client, name, *PROMOTED) if one.tags["as_of"] <= as_of.isoformat()]
    return max(promoted, key=lambda one: (one.tags["as_of"], int(one.version)), default=None)


def load_alias(tenant: Tenant, target: str, alias: str) -> Champion | None:
    """Load the version of `target`'s registered model that bears `alias`; None where there is none."""
    version = by_alias(connect(tenant), tenant.model_name(target), alias)
    return None if version is None else load_version(tenant, target, version)


def load_version(tenant: Tenant, target: str, version: ModelVersion) -> Champion:
    """Load a version of `target`'s registered model.

    Raises:
        UnsafeModel: its files would run code, or lie elsewhere.
        NotReady: its files are gone.
        InputError: no estimator that this version of Leadwise knows.
    """
    name = tenant.model_name(target)
    loaded = load(tenant, f"models:/{name}/{version.version}", f"version {version.version} of {name}")
    tags = dict(version.tags)
    return Champion(
        target=target,
        name=name,
        version=str(version.version),
        run_id=str(version.run_id),
        features=tuple((str(feature), kind) for feature, kind in json.loads(tags["features"])),
        feature_service=tags["feature_service"],
        train_base_rate=float(tags["train_base_rate"]),
        task=task_of(tags),
        tags=tags,
        tracking_uri=tenant.settings.tracking_uri,
        model=loaded.model,
        estimator=loaded.estimator,
    )
