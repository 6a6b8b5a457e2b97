"""Great Expectations as the judge of rows: which rows of a chunk break which rule."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from expectations.suites import Check
from pipelines.core.errors import ContractError
from pipelines.quality.quiet import quiet

Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]

_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False, "include_unexpected_rows": False}
_SAMPLE = 20
# Below this share of distinct values it pays to judge each value once.
_DISTINCT = 0.5
_HEAD = 10_000


@dataclass
class Tally:
    """What a check found over all chunks of a batch.

    Attributes:
        check: the rule.
        rows: rows looked at.
        missing: empty ones, which only `required` minds.
        unexpected: rows that break the rule.
        sample: some of their values, for people; empty where they must not be shown.
    """

    check: Check
    rows: int = 0
    missing: int = 0
    unexpected: int = 0
    sample: list[Any] = field(default_factory=list)


class Judge:
    """Runs the checks of one contract on chunks of any number, in flat memory."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = checks
        self.tallies = [Tally(check) for check in checks]
        self._definition: Any = None

    def bad(
        self, chunk: pa.Table, unread: dict[str, pa.ChunkedArray], together: pa.Table | None = None
    ) -> list[tuple[int, Mask]]:
        """Judge `chunk`.

        Args:
            chunk: columns in their types; an unreadable cell is null.
            unread: by column, the texts that could not be read as its type, null elsewhere.
            together: the same rows for the checks that compare rows with each other; None when no two can be alike.

        Returns:
            (number of the check, mask of its bad rows) of every check with a bad row, in the order of the suite.
        """
        self._definition = _batch_definition()  # a new one: Great Expectations keeps every frame it was given
        groups: dict[tuple[tuple[str, ...], str], list[int]] = defaultdict(list)
        for number, check in enumerate(self._checks):
            if check.unique and together is None:
                self.tallies[number].rows += chunk.num_rows
            else:
                kind = "type" if check.rule == "type" else "together" if check.unique else "column"
                groups[(check.columns, kind)].append(number)
        found: list[tuple[int, Mask]] = []
        for (columns, kind), numbers in groups.items():
            if kind == "type":
                found += self._unreadable(unread.get(columns[0]), columns[0], numbers[0], chunk.num_rows)
            elif kind == "column" and len(columns) == 1:
                found += self._column(chunk[columns[0]], columns[0], numbers)
            else:
                rows = together if kind == "together" and together is not None else chunk
                frame = pd.DataFrame({name: _series(rows[name]) for name in dict.fromkeys(columns)})
                found += self._frame(frame, np.arange(rows.num_rows), numbers)
        self._definition = None
        return sorted(found, key=lambda item: item[0])

    def _unreadable(self, texts: pa.ChunkedArray | None, name: str, number: int, size: int) -> list[tuple[int, Mask]]:
        """Judge the texts that could not be read; without any there is nothing to ask."""
        if texts is None or texts.null_count == size:
            self.tallies[number].rows += size
            return []
        found = self._column(texts, name, [number])
        self.tallies[number].missing = 0  # the empty cells here are those that were read
        return found

    def _column(self, values: pa.Array | pa.ChunkedArray, name: str, numbers: list[int]) -> list[tuple[int, Mask]]:
        """Judge one column: each distinct value once where values repeat, for a value decides alone."""
        flat = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        if pa.types.is_null(flat.type):
            flat = flat.cast(pa.string())
        size = len(flat)
        head = flat.slice(0, _HEAD)
        if len(pc.unique(head)) > _DISTINCT * len(head):
            return self._frame(pd.DataFrame({name: _series(flat)}), np.arange(size), numbers)
        encoded = flat.dictionary_encode()
        distinct = encoded.dictionary
        empty = len(distinct)
        if flat.null_count:
            distinct = pa.concat_arrays([distinct, pa.nulls(1, distinct.type)])
        positions = pc.fill_null(encoded.indices, empty).to_numpy().astype(np.int64)
        return self._frame(pd.DataFrame({name: _series(distinct)}), positions, numbers)

    def _frame(self, frame: pd.DataFrame, positions: Positions, numbers: list[int]) -> list[tuple[int, Mask]]:
        """Validate `frame`; row i of the chunk is row `positions[i]` of the frame."""
        from great_expectations import ExpectationSuite

        weights = np.bincount(positions, minlength=len(frame))
        expectations = [self._checks[number].expectation.copy() for number in numbers]
        for number, expectation in zip(numbers, expectations, strict=True):
            expectation.meta = {"check": number}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas' and pydantic's advice to Great Expectations
            batch = self._definition.get_batch({"dataframe": frame})
            suite = ExpectationSuite(name="chunk", expectations=expectations)
            results = batch.validate(suite, result_format=_FORMAT).results
        missing = int(weights[frame.isna().all(axis=1).to_numpy()].sum())
        found = []
        for result in results:
            number = int(result.expectation_config.meta["check"])
            rows = self._tally(number, result, frame, weights, missing)
            if len(rows):
                bad = np.zeros(len(frame), dtype=bool)
                bad[rows] = True
                found.append((number, bad[positions]))
        return found

    def _tally(
        self, number: int, result: Any, frame: pd.DataFrame, weights: npt.NDArray[np.int64], missing: int
    ) -> npt.NDArray[np.int64]:
        """Count one result and return the frame's bad rows."""
        check, tally = self._checks[number], self.tallies[number]
        _refuse_exception(check, result)
        rows = np.array(result.result.get("unexpected_index_list") or [], dtype=np.int64)
        tally.rows += int(weights.sum())
        tally.missing += missing
        tally.unexpected += int(weights[rows].sum())
        if check.shown and check.rule != "required" and len(tally.sample) < _SAMPLE:
            cells = frame.iloc[rows[: _SAMPLE - len(tally.sample)]].astype(object).to_numpy().tolist()
            for cell in cells:
                shown = _plain(cell[0]) if len(cell) == 1 else [_plain(one) for one in cell]
                tally.sample += [] if shown in tally.sample else [shown]
        return rows


def _plain(value: Any) -> Any:
    """A value JSON knows."""
    return str(value) if isinstance(value, date) else value


def _series(values: pa.Array | pa.ChunkedArray) -> pd.Series:
    """A pandas column of a kind that Great Expectations compares at once instead of value by value."""
    if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us"))
        with suppress(pa.ArrowInvalid):  # before 1677 or after 2262
            values = values.cast(pa.timestamp("ns"))
    series: pd.Series = values.to_pandas().reset_index(drop=True)
    return series


def _refuse_exception(check: Check, result: Any) -> None:
    """Great Expectations reports a rule it could not run as one that failed: say so instead."""
    info = result.exception_info or {}
    entries = [info] if "raised_exception" in info else list(info.values())
    for entry in entries:
        if entry.get("raised_exception"):
            reason = " ".join(str(entry.get("exception_message")).split())[:200]
            raise ContractError(f"rule '{check.rule}' on {', '.join(check.columns)} can't be run: {reason}")


def _batch_definition() -> Any:
    quiet()
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("chunks").add_dataframe_asset("chunk")
    return asset.add_batch_definition_whole_dataframe("whole")
