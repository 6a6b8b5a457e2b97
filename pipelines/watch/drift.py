"""Drift of columns between two samples, judged by Evidently with a fixed method and threshold per kind of column.

Evidently by itself changes its test with the size of the sample and drops missing values in silence. Here the method is
given, and the gaps of a column are judged as a column of their own.
"""

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines.core.params import DriftMethod, MonitorParams

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["numeric", "categorical"]
GAPS = " is missing"


@dataclass(frozen=True)
class ColumnDrift:
    """The verdict on one column.

    Attributes:
        column: name.
        aspect: "value", or "missing" for the share of its gaps.
        method: as Evidently names it.
        threshold: a value of at least this is drift.
        value: the distance; None where one of the samples has no value at all.
        drifted: the verdict.
    """

    column: str
    aspect: Literal["value", "missing"]
    method: str
    threshold: float
    value: float | None
    drifted: bool


@dataclass(frozen=True)
class Drift:
    """The verdict on all columns."""

    columns: tuple[ColumnDrift, ...]

    @property
    def drifted(self) -> list[str]:
        """Names of the drifted columns, in their order."""
        return list(dict.fromkeys(item.column for item in self.columns if item.drifted))

    @property
    def share(self) -> float:
        """Drifted columns over all columns; 0 where there is none."""
        every = {item.column for item in self.columns}
        return len(self.drifted) / len(every) if every else 0.0

    def to_dict(self) -> dict[str, object]:
        """Plain JSON-ready values."""
        return {
            "share": self.share,
            "columns": self.drifted,
            "details": [asdict(item) for item in self.columns],
        }


def compare(
    reference: "pd.DataFrame",
    current: "pd.DataFrame",
    kinds: Mapping[str, Kind],
    params: MonitorParams,
    html: Path | None = None,
) -> Drift:
    """Judge the drift of columns.

    Args:
        reference: the sample that was trained on.
        current: the sample of today.
        kinds: columns to judge, all in both samples, and their kind.
        params: method and threshold per kind.
        html: where to write Evidently's report, self-contained.
    """
    import numpy as np

    numeric = [name for name, kind in kinds.items() if kind == "numeric"]
    before, now = _prepared(reference, kinds), _prepared(current, kinds)
    # Evidently can't compare with nothing: such columns are judged by their gaps alone.
    empty = {name for name in numeric if before[name].isna().all() or now[name].isna().all()}
    gaps = [name for name in numeric if before[name].isna().any() or now[name].isna().any()]
    for frame in (before, now):
        for name in gaps:
            frame[name + GAPS] = np.where(frame[name].isna(), "yes", "no")
    judged = [name for name in kinds if name not in empty] + [name + GAPS for name in gaps]
    methods = {name: params.numeric if name in numeric else params.categorical for name in judged}
    values = _evidently(before[judged], now[judged], [n for n in judged if n in numeric], methods, params.share, html)
    found = []
    for name in kinds:
        method = params.numeric if name in numeric else params.categorical
        value = values.get(name)
        drifted = value is not None and value >= method.threshold
        found.append(ColumnDrift(name, "value", method.method, method.threshold, value, drifted))
        if name in gaps:
            method, value = params.categorical, values[name + GAPS]
            drifted = value >= method.threshold
            found.append(ColumnDrift(name, "missing", method.method, method.threshold, value, drifted))
    return Drift(tuple(found))


def _prepared(frame: "pd.DataFrame", kinds: Mapping[str, Kind]) -> "pd.DataFrame":
    """Numbers as floats; categories and booleans as text, a gap being a category of its own."""
    import numpy as np
    import pandas as pd

    columns: dict[str, pd.Series] = {}
    for name, kind in kinds.items():
        column = frame[name]
        if kind == "numeric":
            columns[name] = pd.to_numeric(column).astype("float64").replace([np.inf, -np.inf], np.nan)
        else:
            columns[name] = column.astype("object").where(column.notna(), "(missing)").astype(str)
    return pd.DataFrame(columns).reset_index(drop=True)


def _evidently(
    reference: "pd.DataFrame",
    current: "pd.DataFrame",
    numeric: list[str],
    methods: Mapping[str, DriftMethod],
    share: float,
    html: Path | None,
) -> dict[str, float]:
    """The distances by column, from one run of Evidently."""
    if not len(reference.columns):
        return {}
    with _quiet():
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import DriftedColumnsCount, ValueDrift

        rest = [name for name in reference.columns if name not in set(numeric)]
        definition = DataDefinition(numerical_columns=numeric, categorical_columns=rest)
        thresholds = {name: one.threshold for name, one in methods.items()}
        by_name = {name: one.method for name, one in methods.items()}
        count = DriftedColumnsCount(per_column_method=by_name, per_column_threshold=thresholds, drift_share=share)
        each = [ValueDrift(column=name, method=one.method, threshold=one.threshold) for name, one in methods.items()]
        snapshot = Report([count, *each], include_tests=True).run(
            Dataset.from_pandas(current, data_definition=definition),
            Dataset.from_pandas(reference, data_definition=definition),
        )
        if html is not None:
            snapshot.save_html(str(html))
        results = snapshot.dict()["metrics"]
    return {str(result["config"]["column"]): _stable(result["value"]) for result in results[1:]}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Evidently and its libraries print, warn and log from a user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _stable(value: float) -> float:
    """Ten significant digits: the last ones depend on the order in which threads add."""
    return float(f"{float(value):.10g}")
