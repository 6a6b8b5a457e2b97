"""The model that scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from pipelines.core.errors import NotReady
from pipelines.registry.frames import as_columns, frame
from pipelines.registry.tracking import CHAMPION, REFERENCE, by_alias, connect, run_table

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.pyfunc import PyFuncModel

    from models import Estimator
    from models.inputs import Floats, Kind
    from pipelines.core.tenant import Tenant


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
        train_base_rate: share of ones among its training rows.
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
    tags: Mapping[str, str]
    tracking_uri: str = field(repr=False)
    model: PyFuncModel = field(repr=False)
    estimator: Estimator = field(repr=False)

    def predict(self, columns: Any) -> Floats:
        """Probability for each row of features: Arrow, a DataFrame or a dict of sequences; columns in any order.

        Raises:
            InputError: a feature is missing or unreadable.
        """
        return self.estimator.predict_proba(as_columns(columns, self.features))[:, 1]

    def reference(self) -> pd.DataFrame | None:
        """The sample of training rows kept for drift: features and `score`; None where the run has none.

        Its size is bounded by `params.monitor.sample_rows` at the time of training.
        """
        table = run_table(self.tracking_uri, self.run_id, REFERENCE)
        if table is None:
            return None
        sample = frame(table, self.features)
        return sample.assign(score=table.column("score").to_numpy())


def load_champion(tenant: Tenant, target: str) -> Champion:
    """Load the champion of `target`.

    Raises:
        ConfigError: the tenant has no such target.
        NotReady: no version was promoted yet.
    """
    [target] = tenant.target(target)
    champion = load_alias(tenant, target, CHAMPION)
    if champion is None:
        raise NotReady(
            f"tenant '{tenant.name}' has no champion for '{target}' yet:"
            f" run `leadwise train --tenant {tenant.name}` and `leadwise promote --tenant {tenant.name}` first"
        )
    return champion


def load_alias(tenant: Tenant, target: str, alias: str) -> Champion | None:
    """Load the version of `target`'s registered model that bears `alias`; None where there is none."""
    client = connect(tenant)
    import mlflow

    name = tenant.model_name(target)
    version = by_alias(client, name, alias)
    if version is None:
        return None
    model = mlflow.pyfunc.load_model(f"models:/{name}/{version.version}", suppress_warnings=True)
    estimator = cast("Estimator", model.get_raw_model())
    tags = dict(version.tags)
    return Champion(
        target=target,
        name=name,
        version=str(version.version),
        run_id=str(version.run_id),
        features=tuple((str(feature), kind) for feature, kind in json.loads(tags["features"])),
        feature_service=tags["feature_service"],
        train_base_rate=float(tags["train_base_rate"]),
        tags=tags,
        tracking_uri=tenant.settings.tracking_uri,
        model=model,
        estimator=estimator,
    )
