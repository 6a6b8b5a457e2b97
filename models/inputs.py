"""From columns as they come (numbers, texts, booleans, gaps) to the matrix of floats that estimators read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, get_args

import numpy as np
import numpy.typing as npt

from pipelines.core.errors import LeadwiseError, nearest

Kind = Literal["numeric", "categorical", "boolean"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Floats = npt.NDArray[np.float64]

LARGEST = float(np.finfo(np.float32).max)
"""Numbers of a larger size count as infinite, which XGBoost's single precision makes of them."""

_FEW = 512
"""Rows that are looked at all at once: of more, one column after the other, which needs less memory."""


class Columns(Protocol):
    """Anything that gives a column by its name: a pandas DataFrame, or a dict of sequences of equal length."""

    def keys(self) -> Any:
        """Names of the columns."""

    def __getitem__(self, name: Any, /) -> Any:
        """One column."""


class InputError(LeadwiseError, ValueError):
    """Columns that an estimator cannot read."""


@dataclass(frozen=True)
class Column:
    """One input: its name, its kind, and for a categorical one the texts seen in training, in sorted order."""

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()


class Inputs:
    """The inputs of an estimator, learnt from training data, in the training data's order.

    `encode` gives one float64 column each: numbers as they are, booleans as 0/1, categorical texts as their position in
    `categories`. Missing, infinite and unseen values are NaN, and so is a number beyond `LARGEST`.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self._lookups = {c.name: {text: float(i) for i, text in enumerate(c.categories)} for c in self.columns}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Inputs) and self.columns == other.columns

    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        """Names of the inputs, in order."""
        return [c.name for c in self.columns]

    @property
    def categorical(self) -> list[int]:
        """Positions of the categorical inputs."""
        return [i for i, c in enumerate(self.columns) if c.kind == "categorical"]

    @classmethod
    def learn(cls, X: Columns, kinds: Mapping[str, Kind] | None = None) -> Inputs:
        """Inputs of the columns of `X`; a kind that is not given is inferred from the column's values.

        Raises InputError where a column is of no usable kind or a categorical one holds something else than texts.
        """
        given = dict(kinds or {})
        columns = []
        names = list(X.keys())
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(
                f"feature {twice!r} stands there {names.count(twice)} times: give each column its own name"
            )
        for name in names:
            kind = given.get(name) or infer_kind(X[name])
            categories = _texts(name, X[name]) if kind == "categorical" else ()
            columns.append(Column(str(name), kind, categories))
        if not columns:
            raise InputError("there is no feature to learn from: the training frame has no column")
        return cls(columns)

    def encode(self, X: Columns) -> Floats:
        """The matrix (rows, inputs) of `X`, whose columns may stand in any order and may include others.

        Raises InputError for a missing column, or for a number or boolean that cannot be read as one.
        """
        present = X.keys()
        missing = [c.name for c in self.columns if c.name not in present]
        if missing:
            hint = nearest(missing[0], [str(name) for name in present])
            raise InputError(f"feature {missing[0]!r} is missing from the input ({len(missing)} in all): {hint}")
        rows = len(X[self.columns[0].name])
        few = rows <= _FEW
        matrix = np.empty((rows, len(self.columns)), dtype=np.float64, order="F")
        for i, column in enumerate(self.columns):
            values = X[column.name]
            if column.kind == "categorical":
                matrix[:, i] = _codes(values, self._lookups[column.name])
            else:
                matrix[:, i] = _floats(column, values)
                if not few:
                    _bound(matrix[:, i])
        if few:
            _bound(matrix)
        return matrix

    def to_json(self) -> bytes:
        """The inputs as JSON."""
        return json.dumps([[c.name, c.kind, list(c.categories)] for c in self.columns]).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Inputs:
        """What `to_json` wrote."""
        return cls([Column(name, kind, tuple(categories)) for name, kind, categories in json.loads(data)])


def _bound(numbers: Floats) -> None:
    """Put NaN in the place of what is infinite, or beyond `LARGEST`."""
    np.copyto(numbers, np.nan, where=~(np.abs(numbers) <= LARGEST))


def infer_kind(values: Any) -> Kind:
    """Kind of a column: booleans, numbers, else texts. A column with no value at all counts as numeric."""
    dtype = getattr(values, "dtype", None)
    kind = getattr(dtype, "kind", "O")
    if kind == "b":
        return "boolean"
    if kind in "iuf":
        return "numeric"
    if getattr(dtype, "name", "") == "category":
        return "categorical"
    known = [v for v in values if not is_missing(v)]
    if known and all(isinstance(v, bool | np.bool_) for v in known):
        return "boolean"
    return "categorical" if any(isinstance(v, str) for v in known) else "numeric"


def is_missing(value: Any) -> bool:
    """Whether one value of a column is a gap: None, NaN, NaT or pandas' NA."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _texts(name: str, values: Any) -> tuple[str, ...]:
    distinct = values.unique() if hasattr(values, "unique") else values  # pandas: a hundred times fewer to look at
    known = {v for v in distinct if not is_missing(v)}
    odd = next((v for v in known if not isinstance(v, str)), None)
    if odd is not None:
        raise InputError(f"feature {name!r} is categorical but holds {odd!r}, which is no text: cast it in its SQL")
    return tuple(sorted(cast("set[str]", known)))


def _codes(values: Any, lookup: Mapping[str, float]) -> Floats:
    nan = float("nan")
    if getattr(getattr(values, "dtype", None), "name", "") == "category":
        of_category = np.array([lookup.get(c, nan) for c in values.cat.categories] + [nan], dtype=np.float64)
        return cast(Floats, of_category[values.cat.codes.to_numpy()])  # code -1, a gap, reads the last one
    if hasattr(values, "map"):
        return np.asarray(values.map(lookup), dtype=np.float64)
    return np.fromiter((lookup.get(v, nan) for v in values), dtype=np.float64, count=len(values))


def _floats(column: Column, values: Any) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    numbers = np.empty(len(values), dtype=np.float64)
    for i, value in enumerate(values):
        try:
            numbers[i] = float("nan") if is_missing(value) else float(value)
        except (TypeError, ValueError, OverflowError):
            wanted = "a number" if column.kind == "numeric" else "true, false or empty"
            raise InputError(f"feature {column.name!r} must be {wanted}, not {value!r}") from None
    return numbers
