"""What a training was made by, kept with its run: contracts, SQL, parameters and versions, enough to make it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.train.source import LIBRARIES
from pipelines.train.split import EVENT_TIME, LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt
    import pandas as pd

    from expectations.contract import Contract
    from feature_repo.definitions import Query
    from pipelines.core.params import TrainParams
    from pipelines.train.data import TrainingSet

FOLDER = "made_by"
"""Artifact folder of a run."""

CONTRACTS, SQL = "contracts", "sql"
_RECIPE, _ROWS = "recipe.json", "rows.parquet"
_READERS = ("duckdb", "pyarrow", "pandas")


def texts(contracts: Mapping[str, Contract], label: Query, views: Iterable[Query]) -> dict[str, str]:
    """The contracts and the SQL as they stand, by path below `FOLDER`."""
    paths = {f"{CONTRACTS}/{one.path.name}": one.path for one in contracts.values()}
    paths |= {f"{SQL}/{view.path.name}": view.path for view in views}
    paths[f"{SQL}/labels/{label.path.name}"] = label.path
    return {name: path.read_text(encoding="utf-8") for name, path in paths.items()}


def versions() -> dict[str, str]:
    """Versions of all that reads, fits and predicts."""
    return {"python": python_version(), **{name: version(name) for name in (*LIBRARIES, *_READERS)}}


def fingerprints(frame: pd.DataFrame, event_time: pa.ChunkedArray, label: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """A number for each row: equal rows have equal ones.

    Args:
        frame: the features, as `pipelines.registry.frames.frame` gives them.
        event_time: of each row.
        label: of each row.
    """
    import pandas as pd

    whole = frame.assign(**{EVENT_TIME: event_time.to_numpy(), LABEL: np.asarray(label.to_numpy(), dtype=np.float64)})
    return pd.util.hash_pandas_object(whole, index=False).to_numpy().astype(np.uint64)


@dataclass(frozen=True)
class MadeBy:
    """What a run says of its making.

    Attributes:
        target: what is predicted.
        as_of: the instant whose knowledge was used, ISO.
        digest: of the training.
        recipe: the parameters that took part in the digest, flat.
        train: the same as they stood in `params.yaml`.
        snapshots: of each table that was read.
        sql: hash of each query.
        threads: that were used: sums in another order differ in their last digits.
        versions: of libraries.
        rows: a number for each row that was read, in order; see `fingerprints`.
    """

    target: str
    as_of: str
    digest: str
    recipe: dict[str, Any]
    train: dict[str, Any]
    snapshots: dict[str, int | None]
    sql: dict[str, str]
    threads: int
    versions: dict[str, str]
    rows: npt.NDArray[np.uint64]


def write(
    folder: Path, data: TrainingSet, train: TrainParams, recipe: Mapping[str, Any], digest: str, threads: int
) -> None:
    """Write what `data` was made by to `folder`; a training set that does not say it leaves nothing."""
    if not data.source:
        return
    about = {
        "target": data.target,
        "as_of": data.as_of,
        "digest": digest,
        "recipe": dict(recipe),
        "train": train.model_dump(mode="json"),
        "snapshots": data.snapshots,
        "sql": data.sql,
        "threads": threads,
        "versions": versions(),
    }
    for name, text in data.source.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / _RECIPE).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    rows = fingerprints(data.frame, data.rows[EVENT_TIME], data.rows[LABEL])
    pq.write_table(pa.table({"row": rows}), folder / _ROWS)


def read(folder: Path) -> MadeBy:
    """What `write` wrote."""
    about = json.loads((folder / _RECIPE).read_text(encoding="utf-8"))
    return MadeBy(**about, rows=pq.read_table(folder / _ROWS)["row"].to_numpy())
