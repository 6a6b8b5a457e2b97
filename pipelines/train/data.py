"""The training set of a target: labels, joined with what was known of each entity before each event."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.core.errors import ConfigError, NotReady
from pipelines.registry.frames import frame
from pipelines.train.split import EVENT_TIME, KNOWN_AT, LABEL, Split, check, matured, ordered, split

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from expectations.contract import Contract
    from feature_repo.definitions import Definitions, Kind, Query, View
    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake

Flags = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrainingSet:
    """All that one training reads.

    Attributes:
        target: what is predicted.
        features: name and kind of each model input, in order.
        rows: event_time, label and the features, in time order; no entity, nothing personal.
        parts: which rows are learnt from and which are held out.
        snapshots: Iceberg snapshot of every table that was read, by table name.
        sql: hash of every query that took part, by name.
        as_of: the instant whose knowledge was used.
        keys: of each row the entity, as the first column, and known_at; None where they are not at hand.
        source: the contracts and SQL it was made by, as they stood; see `made_by.texts`.
    """

    target: str
    features: tuple[tuple[str, Kind], ...]
    rows: pa.Table
    parts: Split
    snapshots: dict[str, int | None]
    sql: dict[str, str]
    as_of: str
    keys: pa.Table | None = None
    source: Mapping[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def labels(self) -> Flags:
        """0.0 or 1.0 for each row."""
        return np.asarray(self.rows[LABEL].to_numpy(), dtype=np.float64)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The features of all rows."""
        return frame(self.rows, self.features)

    @property
    def train(self) -> tuple[pd.DataFrame, Flags]:
        """Features and labels to learn from."""
        return self.frame.iloc[self.parts.train], self.labels[self.parts.train]

    @property
    def holdout(self) -> tuple[pd.DataFrame, Flags]:
        """Features and labels to judge by."""
        return self.frame.iloc[self.parts.holdout], self.labels[self.parts.holdout]

    def digest(self, params: Mapping[str, Any]) -> str:
        """Name of this training by its content: rows, split, queries and `params`; equal ones give equal models.

        Snapshot ids do not count: a step that runs again writes the same rows as a new snapshot.
        """
        import pandas as pd

        total = hashlib.sha256()
        recipe = {"target": self.target, "features": self.features, "sql": self.sql, "params": params}
        total.update(json.dumps(recipe, sort_keys=True, default=str).encode())
        columns = {EVENT_TIME: self.rows[EVENT_TIME].to_numpy(), LABEL: self.labels}
        for name, values in columns.items():
            total.update(name.encode() + pd.util.hash_array(values).tobytes())
        for name, _ in self.features:
            hashes = pd.util.hash_pandas_object(self.frame[name], index=False)
            total.update(name.encode() + hashes.to_numpy().tobytes())
        total.update(self.parts.train.tobytes() + b"|" + self.parts.holdout.tobytes())
        return total.hexdigest()


def training_set(
    tenant: Tenant,
    lake: Lake,
    contracts: Mapping[str, Contract],
    definitions: Definitions,
    target: str,
    interval: Interval,
) -> TrainingSet:
    """Read the matured labels of `target` as of the interval's end and join their features.

    All is read from the versions that the tables have at the start, or that a `PinnedLake` gives.

    Raises:
        NotReady: no features yet, rows of an older definition, or too little data to learn from or judge by.
        SqlError: the label's SQL fails.
        ConfigError: an unknown target, or one without a model feature.
    """
    from pipelines.features.join import point_in_time
    from pipelines.lake.pinned import PinnedLake
    from pipelines.train.made_by import texts

    pinned = lake if isinstance(lake, PinnedLake) else PinnedLake(tenant)
    label = definitions.label(target)
    features = tuple(definitions.model_features(label.entity))
    if not features:
        raise ConfigError(f"target '{target}' has no feature: write a features_*.sql for the entity '{label.entity}'")
    labelled, snapshots = _labels(tenant, pinned, contracts, label, interval)
    spine = matured(labelled, label.entity, interval.as_of)
    share = tenant.params.train.holdout_share
    check(tenant, target, spine, split(spine, share), interval.as_of)
    joined = point_in_time(tenant, pinned, definitions, spine).read_all()
    names = [name for name, _ in features]
    rows = ordered(joined, label.entity, names)
    views = definitions.views_of(label.entity)
    if not pinned.fixed:
        _refuse_older(tenant, pinned, views)
    return TrainingSet(
        target=target,
        features=features,
        rows=rows.select([EVENT_TIME, LABEL, *names]),
        parts=split(rows, share),
        snapshots=snapshots | {f"features.{view.name}": pinned.snapshot_id(f"features.{view.name}") for view in views},
        sql=definitions.hashes(target),
        as_of=interval.as_of.isoformat(),
        keys=rows.select([label.entity, KNOWN_AT]),
        source=texts(contracts, label, views),
    )


def _labels(
    tenant: Tenant, lake: Lake, contracts: Mapping[str, Contract], label: Query, interval: Interval
) -> tuple[pa.Table, dict[str, int | None]]:
    """The rows of the label's SQL, and the snapshot of each clean table it reads."""
    from pipelines.features.queries import rows_of
    from pipelines.lake.asof import AsOf

    horizon = tenant.params.train.targets[label.name].horizon_days
    with AsOf(lake, contracts, label.reads) as views:
        rows = rows_of(views, label, interval.as_of, {"horizon_days": horizon}).read_all()
        return rows, {f"clean.{name}": snapshot for name, snapshot in views.snapshots.items()}


def _refuse_older(tenant: Tenant, lake: Lake, views: list[View]) -> None:
    """Raise NotReady where stored rows are not of the definition that the run will name."""
    from pipelines.features.history import older_rows

    for view in views:
        if rows := older_rows(lake, view):
            raise NotReady(
                f"{rows} rows of view '{view.name}' were computed by an older {view.path.name}:"
                f" run `leadwise features --tenant {tenant.name} --rewrite` first, then train"
            )
