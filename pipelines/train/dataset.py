"""The training set of a target as a DataFrame, for a notebook."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.core.errors import ConfigError
from pipelines.core.interval import Interval, parse_instant

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

    from pipelines.core.tenant import Tenant
    from pipelines.train.data import TrainingSet


def dataset(tenant: str, target: str, as_of: str | date | None = None) -> pd.DataFrame:
    """The point-in-time training set that `leadwise train` fits on: `dataset("demo", "conversion")`.

    Each row is an event whose label was known by `as_of`, with the features as they were known at the event: nothing in
    it comes from later. Nothing personal is in it, and nothing is written.

    Args:
        tenant: its name in `params.yaml`.
        target: what is predicted.
        as_of: a UTC midnight, as a day or an instant; None is the end of the tenant's run, as in `leadwise train`.

    Returns:
        A frame in time order: the entity's id, `event_time` (naive UTC), `known_at` (when the label was), the features
        (numbers as float64 with NaN, texts as categories, yes/no as nullable booleans), `part` ("train", "holdout", or
        "purged": known only after the holdout begins, and in neither) and `label` (0 or 1, or a number). In `attrs`:
        `features` (their names, in the models' order), `target` and `as_of`.

    Raises:
        ConfigError: an unknown tenant or target, or an `as_of` that is no midnight.
        NotReady: no features yet, or too little data to learn from and judge by.
        SqlError: the label's SQL fails.
    """
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake
    from pipelines.train.data import training_set

    whose = Tenant.load(tenant)
    [name] = whose.target(target)
    interval = _until(whose, as_of)
    contracts = load_contracts(whose.contracts_dir)
    data = training_set(whose, Lake(whose), contracts, load_definitions(whose, contracts), name, interval)
    return _frame(data)


def _until(tenant: Tenant, as_of: str | date | None) -> Interval:
    """Days that end at `as_of`: a training reads all that is known by then."""
    if as_of is None:
        return tenant.whole_run
    instant = parse_instant(as_of)
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    if instant != midnight:
        raise ConfigError(f"as_of is {instant}, and a training set is as of a UTC midnight: give a day")
    return Interval(min(tenant.whole_run.start, midnight - timedelta(days=1)), midnight)


def _frame(data: TrainingSet) -> pd.DataFrame:
    import numpy as np

    from pipelines.train.split import EVENT_TIME, KNOWN_AT, LABEL

    keys = data.keys
    if keys is None:
        raise ConfigError("this training set was kept without its entities: read it from the lake")
    entity = keys.column_names[0]
    features = [name for name, _ in data.features]
    found = data.frame.copy()
    for name, kind in data.features:
        if kind == "categorical":
            found[name] = found[name].astype("category")
        elif kind == "boolean":
            found[name] = found[name].astype("boolean")
    part = np.full(len(found), "purged", dtype=object)
    part[data.parts.train], part[data.parts.holdout] = "train", "holdout"
    for place, (name, column) in enumerate(
        ((entity, keys[entity]), (EVENT_TIME, data.rows[EVENT_TIME]), (KNOWN_AT, keys[KNOWN_AT]))
    ):
        found.insert(place, name, column.to_pandas())
    found["part"] = part
    found["part"] = found["part"].astype("category")
    found[LABEL] = data.labels.astype("int64") if data.task == "binary" else data.labels
    found.attrs = {"features": features, "target": data.target, "as_of": data.as_of}
    return found
