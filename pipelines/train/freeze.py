"""A training set as one file: read from the lake once, so that experiments share the same rows."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.report import Report
from pipelines.lake.catalog import Lake
from pipelines.registry.tracking import ENTITY
from pipelines.train.data import TrainingSet, training_set
from pipelines.train.split import EVENT_TIME, KNOWN_AT, LABEL, check, split

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant

_KNOWN_AT = f"_{KNOWN_AT}"
_ABOUT = b"leadwise"
_AGAIN = "freeze it again with `dvc repro -f freeze`"


def freeze(tenant: Tenant, interval: Interval, target: str, path: Path) -> Report:
    """Write the training set of `target` as of the interval's end to `path`; the lake is only read.

    The file holds every matured row in time order (event time, label, entity, when the label was known, features) and,
    in its schema's metadata, what it was made from: Iceberg snapshots, hashes of the queries, horizon, instant.

    Raises:
        NotReady: nothing was ingested yet, no features, or too little data.
        ConfigError: an unknown target, or a file that can't be written.
        SqlError: the label's SQL fails.
    """
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions

    [target] = tenant.target(target)
    lake = Lake(tenant)
    if not lake.names("clean"):
        raise NotReady(
            f"tenant '{tenant.name}' has no data in {tenant.lake_url.removeprefix('file://')} yet:"
            f" run {_first(tenant)} first, then freeze its training set"
        )
    contracts = load_contracts(tenant.contracts_dir)
    data = training_set(tenant, lake, contracts, load_definitions(tenant, contracts), target, interval)
    write(data, path, tenant.params.train.targets[target].horizon_days)
    return Report(
        "freeze",
        tenant.name,
        counts={"rows": data.rows.num_rows, "features": len(data.features), "as of": data.as_of[:10]},
        notes=[f"{target}: {path} is what experiments learn from until the stage freeze runs again"],
        details=[{"table": name, "snapshot": str(snapshot)} for name, snapshot in data.snapshots.items()],
    )


def write(data: TrainingSet, path: Path, horizon_days: int) -> None:
    """Write a training set to one Parquet file, whole or not at all."""
    if data.keys is None:
        raise ValueError("a training set without its keys can't be split again: read it from the lake")
    entity = data.keys.column_names[0]
    about = {
        "target": data.target,
        "features": data.features,
        "snapshots": data.snapshots,
        "sql": data.sql,
        "as_of": data.as_of,
        "horizon_days": horizon_days,
        "task": data.task,
        "entity": entity,
        "source": dict(data.source),
    }
    rows = data.rows.append_column(ENTITY, data.keys[entity]).append_column(_KNOWN_AT, data.keys[KNOWN_AT])
    unfinished = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.replace_schema_metadata({_ABOUT: json.dumps(about)}), unfinished)
        unfinished.replace(path)
    except OSError as error:
        raise ConfigError(f"the file {path} can't be written ({error.strerror or error}): make room there") from None


def thaw(tenant: Tenant, target: str, path: Path) -> TrainingSet:
    """The training set that `freeze` wrote, split as the parameters of this moment say.

    Raises:
        NotReady: there is no such file, or too little data for this split.
        ConfigError: the file is another target's, or its labels were made with another horizon.
    """
    rows, about = _read(path)
    [target] = tenant.target(target)
    params = tenant.params.train.targets[target]
    about.setdefault("task", "binary")  # what was frozen before there were other ones
    for name, wanted in (("target", target), ("horizon_days", params.horizon_days), ("task", params.task)):
        if about[name] != wanted:
            raise ConfigError(f"the training set {path} was frozen with {name} {about[name]}, not {wanted}: {_AGAIN}")
    keys = pa.table({about["entity"]: rows[ENTITY], KNOWN_AT: rows[_KNOWN_AT]})
    spine = keys.append_column(EVENT_TIME, rows[EVENT_TIME]).append_column(LABEL, rows[LABEL])
    parts = split(spine, tenant.params.train.holdout_share)
    data = TrainingSet(
        target=target,
        features=tuple((str(name), kind) for name, kind in about["features"]),
        rows=rows.drop_columns([ENTITY, _KNOWN_AT]).replace_schema_metadata(None),
        parts=parts,
        snapshots=about["snapshots"],
        sql=about["sql"],
        as_of=about["as_of"],
        keys=keys,
        source=about.get("source", {}),
        task=params.task,
    )
    check(tenant, target, spine, parts, datetime.fromisoformat(data.as_of))
    return data


def _read(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    try:
        rows = pq.read_table(path)
        about: dict[str, Any] = json.loads(rows.schema.metadata[_ABOUT])
    except FileNotFoundError:
        raise NotReady(f"there is no frozen training set {path}: {_AGAIN}") from None
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        raise ConfigError(f"{path} is no frozen training set: {_AGAIN}") from None
    return rows, about


def _first(tenant: Tenant) -> str:
    simulated = tenant.params.simulate is not None and tenant.name == "demo"
    return "`make demo`" if simulated else f"`leadwise run --tenant {tenant.name}`"
