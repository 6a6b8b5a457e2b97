"""From Arrow, in which rows travel, to the columns that models read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

    from models.inputs import Kind


def columns(rows: pa.Table | pa.RecordBatch, features: Iterable[tuple[str, Kind]]) -> dict[str, Any]:
    """Columns for an estimator: numbers and booleans as float64 with NaN for null, texts as objects with None.

    Features that `rows` does not have are left out: the estimator names them.
    """
    present = set(rows.schema.names)
    return {name: _column(rows.column(name), kind) for name, kind in features if name in present}


def frame(rows: pa.Table | pa.RecordBatch, features: Iterable[tuple[str, Kind]]) -> pd.DataFrame:
    """The same as a DataFrame in the form of the model's signature: booleans stay booleans (None for null)."""
    import pandas as pd

    kinds = dict(features)
    found = columns(rows, kinds.items())
    for name in found:
        if kinds[name] == "boolean":
            # Objects where there are gaps: a boolean array has no room for None.
            found[name] = pd.Series(rows.column(name).to_pylist())
    return pd.DataFrame(found)


def as_columns(rows: Any, features: Iterable[tuple[str, Kind]]) -> Mapping[str, Any]:
    """`columns` of Arrow rows; anything else, such as a DataFrame or a dict of lists, as it is."""
    return columns(rows, features) if isinstance(rows, pa.Table | pa.RecordBatch) else rows


def _column(values: pa.Array | pa.ChunkedArray, kind: Kind) -> Any:
    if kind == "categorical":
        plain = values.cast(pa.string()) if pa.types.is_dictionary(values.type) else values
        return _numpy(plain)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    return _numpy(values.cast(pa.float64()))


def _numpy(values: pa.Array | pa.ChunkedArray) -> Any:
    return values.to_numpy() if isinstance(values, pa.ChunkedArray) else values.to_numpy(zero_copy_only=False)
