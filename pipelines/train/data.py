"""The training sets of targets: labels, joined with what was known of each entity before each event."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.core.errors import ConfigError, NotReady
from pipelines.registry.frames import frame
from pipelines.train.split import EVENT_TIME, KNOWN_AT, LABEL, Split, check, matured, ordered, split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from expectations.contract import Contract
    from feature_repo.definitions import Definitions, Kind, Query, View
    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant
    from pipelines.core.train_params import Task
    from pipelines.lake.catalog import Lake
    from pipelines.lake.pinned import PinnedLake

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
        task: whether the label is 0 or 1, or a number.
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
    task: Task = "binary"

    @cached_property
    def labels(self) -> Flags:
        """0.0 or 1.0 for each row, or a number."""
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
    def times(self) -> npt.NDArray[np.datetime64]:
        """When the event of each training row happened."""
        return np.asarray(self.rows[EVENT_TIME].to_numpy()[self.parts.train])

    @property
    def known(self) -> npt.NDArray[np.datetime64] | None:
        """When the label of each training row was known."""
        return None if self.keys is None else np.asarray(self.keys[KNOWN_AT].to_numpy()[self.parts.train])

    @property
    def groups(self) -> npt.NDArray[np.intp] | None:
        """Whose each training row is, as numbers in the order of first appearance: ids would hang on a random salt."""
        if self.keys is None:
            return None
        entities = self.keys.column(0).take(pa.array(self.parts.train)).combine_chunks()
        return np.asarray(entities.dictionary_encode().indices.to_numpy(), dtype=np.intp)

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
    [found] = training_sets(tenant, lake, contracts, definitions, [target], interval)
    if isinstance(found, NotReady):
        raise found
    return found


def training_sets(
    tenant: Tenant,
    lake: Lake,
    contracts: Mapping[str, Contract],
    definitions: Definitions,
    targets: Sequence[str],
    interval: Interval,
) -> Iterator[TrainingSet | NotReady]:
    """`training_set` of each target in turn, from one look at the lake: features of an event are joined once for all.

    Yields:
        In the order of `targets` its training set, or why there is too little data for it.

    Raises:
        NotReady: no features yet, or rows of an older definition.
        SqlError, ConfigError: as `training_set`.
    """
    from pipelines.lake.pinned import PinnedLake

    pinned = lake if isinstance(lake, PinnedLake) else PinnedLake(tenant)
    queries = {target: definitions.label(target) for target in targets}
    for target, label in queries.items():
        if not definitions.model_features(label.entity):
            raise ConfigError(
                f"target '{target}' has no feature: write a features_*.sql for the entity '{label.entity}'"
            )
    spines, snapshots = _spines(tenant, pinned, contracts, queries, interval)
    ready = {target: spine for target, spine in spines.items() if isinstance(spine, pa.Table)}
    joined = {
        entity: Joined(tenant, pinned, definitions, entity, [ready[t] for t in ready if queries[t].entity == entity])
        for entity in {queries[target].entity for target in ready}
    }
    for target, spine in spines.items():
        if isinstance(spine, NotReady):
            yield spine
        else:
            rows = joined[queries[target].entity].beside(spine)
            yield _training_set(tenant, pinned, contracts, definitions, queries[target], rows, snapshots, interval)


def _training_set(
    tenant: Tenant,
    lake: PinnedLake,
    contracts: Mapping[str, Contract],
    definitions: Definitions,
    label: Query,
    joined: pa.Table,
    snapshots: Mapping[str, int | None],
    interval: Interval,
) -> TrainingSet:
    from pipelines.train.made_by import texts

    params, views = tenant.params.train, definitions.views_of(label.entity)
    features = tuple(definitions.model_features(label.entity))
    names = [name for name, _ in features]
    rows = ordered(joined, label.entity, names)
    return TrainingSet(
        target=label.name,
        features=features,
        rows=rows.select([EVENT_TIME, LABEL, *names]),
        parts=split(rows, params.holdout_share),
        snapshots={f"clean.{name}": snapshots[name] for name in label.reads}
        | {f"features.{view.name}": lake.snapshot_id(f"features.{view.name}") for view in views},
        sql=definitions.hashes(label.name),
        as_of=interval.as_of.isoformat(),
        keys=rows.select([label.entity, KNOWN_AT]),
        source=texts(contracts, label, views),
        task=params.targets[label.name].task,
    )


def _spines(
    tenant: Tenant,
    lake: PinnedLake,
    contracts: Mapping[str, Contract],
    queries: Mapping[str, Query],
    interval: Interval,
) -> tuple[dict[str, pa.Table | NotReady], dict[str, int | None]]:
    """The matured rows of each label's SQL, or why they do not do; and the snapshot of each clean table they read."""
    from feature_repo.queries import together
    from pipelines.features.queries import rows_of
    from pipelines.lake.asof import AsOf

    params = tenant.params.train
    found: dict[str, pa.Table | NotReady] = {}
    with AsOf(lake, contracts, together(queries.values())) as views:
        for target, label in queries.items():
            horizon = {"horizon_days": params.targets[target].horizon_days}
            labelled = rows_of(views, label, interval.as_of, horizon).read_all()
            spine = matured(labelled, label.entity, interval.as_of)
            try:
                check(tenant, target, spine, split(spine, params.holdout_share), interval.as_of)
            except NotReady as error:
                found[target] = error
            else:
                found[target] = spine
        return found, dict(views.snapshots)


class Joined:
    """The features of every event in some spines of one entity, each joined once."""

    def __init__(
        self, tenant: Tenant, lake: PinnedLake, definitions: Definitions, entity: str, spines: Sequence[pa.Table]
    ) -> None:
        from pipelines.features.join import point_in_time

        self._entity, self._spines = entity, list(spines)
        events, self._places = distinct([spine.select([entity, EVENT_TIME]) for spine in spines])
        rows = point_in_time(tenant, lake, definitions, events).read_all()
        self._features = rows.drop_columns([entity, EVENT_TIME])
        if not lake.fixed:
            _refuse_older(tenant, lake, definitions.views_of(entity))

    def beside(self, spine: pa.Table) -> pa.Table:
        """One of the spines, with the features of its events."""
        place = next(place for place, one in enumerate(self._spines) if one is spine)
        features = self._features.take(pa.array(self._places[place]))
        return pa.table({**_columns(spine), **_columns(features)})


def distinct(events: Sequence[pa.Table]) -> tuple[pa.Table, list[npt.NDArray[np.intp]]]:
    """All different rows of tables of two columns, a name and a time, and for each table where its rows are among them.

    The different rows stand in order of time, then of name.
    """
    every = pa.concat_tables(events)
    name, time = (every.column(place).combine_chunks() for place in (0, 1))
    codes = name.dictionary_encode(null_encoding="encode")
    texts = pc.array_sort_indices(codes.dictionary).to_numpy()
    ranks = np.empty(len(texts), dtype=np.int64)
    ranks[texts] = np.arange(len(texts))
    by_name, by_time = ranks[codes.indices.to_numpy()], time.cast(pa.int64()).to_numpy()
    order = np.lexsort((by_name, by_time))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(by_time[order]) != 0) | (np.diff(by_name[order]) != 0)
    places = np.empty(len(order), dtype=np.intp)
    places[order] = np.cumsum(new) - 1
    ends = np.cumsum([one.num_rows for one in events])
    return every.take(pa.array(order[new])), np.split(places, ends[:-1])


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {name: table[name] for name in table.column_names}


def _refuse_older(tenant: Tenant, lake: Lake, views: list[View]) -> None:
    """Raise NotReady where stored rows are not of the definition that the run will name."""
    from pipelines.features.history import older_rows

    for view in views:
        if rows := older_rows(lake, view):
            raise NotReady(
                f"{rows} rows of view '{view.name}' were computed by an older {view.path.name}:"
                f" run `leadwise features --tenant {tenant.name} --rewrite` first, then train"
            )
