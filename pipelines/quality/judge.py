"""Great Expectations as the judge of rows: which rows of a chunk break which rule."""

import warnings
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
from pipelines.quality.alike import Trait, trait_of
from pipelines.quality.quiet import quiet

Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
Cells = list[pa.Array]

_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False, "include_unexpected_rows": False}
_SAMPLE = 20
_LOOKED_AT = 1_000
_REMEMBERED = 50_000


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


@dataclass
class _Group:
    """Rules that look at the same columns and see the same of them, with what is known by now.

    Attributes:
        columns: in the rules' order.
        kind: where the columns are: `type` (texts that could not be read), `together` or `column`.
        trait: what they see; None for whole rows.
        numbers: of the checks.
        traits: those Great Expectations has decided on; None before the first.
        bad: its verdict on each, a row per check.
    """

    columns: tuple[str, ...]
    kind: str
    trait: Trait | None
    numbers: list[int] = field(default_factory=list)
    traits: pa.Array | None = None
    bad: Mask | None = None


class Judge:
    """Runs the checks of one contract on chunks of any number, in flat memory."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = checks
        self.tallies = [Tally(check) for check in checks]
        self._schema: pa.Schema | None = None
        self._groups: list[_Group] = []
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
        self._definition = None  # a new one for each chunk: Great Expectations keeps every frame it was given
        if self._schema is None or not chunk.schema.equals(self._schema):
            self._schema, self._groups = chunk.schema, self._grouped(chunk.schema)
        found: list[tuple[int, Mask]] = []
        for group in self._groups:
            tables: dict[str, Any] = {"type": unread, "together": together, "column": chunk}
            table = tables[group.kind]
            if table is None or (group.kind == "type" and group.columns[0] not in unread):
                self._count(group, chunk.num_rows)
                continue
            cells = [_flat(table[name]) for name in group.columns]
            masks = self._masks(group, cells)
            missing = 0 if group.kind == "type" else _missing(cells)  # a cell without a text is one that was read
            self._count(group, chunk.num_rows, missing)
            for number, mask in masks:
                self._show(number, mask, cells)
            found += masks
        self._definition = None
        return sorted(found, key=lambda item: item[0])

    def _grouped(self, schema: pa.Schema) -> list[_Group]:
        groups: dict[tuple[tuple[str, ...], str, str | None], _Group] = {}
        for number, check in enumerate(self._checks):
            kind = "type" if check.rule == "type" else "together" if check.unique else "column"
            trait = trait_of(check, [schema.field(name).type for name in check.columns])
            key = (check.columns, kind, trait.name if trait else None)
            groups.setdefault(key, _Group(check.columns, kind, trait)).numbers.append(number)
        return list(groups.values())

    def _masks(self, group: _Group, cells: Cells) -> list[tuple[int, Mask]]:
        """The bad rows of each check of a group that has some."""
        size = len(cells[0])
        traits = group.trait.of(cells) if group.trait else None
        if traits is None:
            bad = self._ask(group, cells, np.arange(size))
        else:
            encoded = traits.dictionary_encode()
            codes = pc.fill_null(encoded.indices, len(encoded.dictionary)).to_numpy()
            verdicts = self._verdicts(group, cells, encoded.dictionary, codes)
            if not verdicts.any():
                return []
            bad = np.column_stack([verdicts, np.zeros(len(verdicts), dtype=bool)])[:, codes]
        return [(number, mask) for number, mask in zip(group.numbers, bad, strict=True) if mask.any()]

    def _verdicts(self, group: _Group, cells: Cells, traits: pa.Array, codes: Positions) -> Mask:
        """Great Expectations' verdict on each trait, a row per check: remembered, or asked on one of its rows."""
        verdicts = np.zeros((len(group.numbers), len(traits)), dtype=bool)
        unknown = np.ones(len(traits), dtype=bool)
        if group.traits is not None and group.bad is not None:
            places = pc.index_in(traits, value_set=group.traits)
            unknown = places.is_null().to_numpy(zero_copy_only=False)
            verdicts[:, ~unknown] = group.bad[:, places.drop_null().to_numpy()]
        if unknown.any():
            one_of = np.zeros(len(traits) + 1, dtype=np.int64)
            one_of[codes] = np.arange(len(codes))
            asked = self._ask(group, cells, one_of[:-1][unknown])
            verdicts[:, unknown] = asked
            if group.trait and group.trait.lasting:
                _remember(group, traits.filter(pa.array(unknown)), asked)
        return verdicts

    def _ask(self, group: _Group, cells: Cells, rows: Positions) -> Mask:
        """Have Great Expectations validate some rows; which of them are bad, a row per check."""
        from great_expectations import ExpectationSuite

        picked = cells if len(rows) == len(cells[0]) else [cell.take(pa.array(rows)) for cell in cells]
        frame = pd.DataFrame({name: _series(cell) for name, cell in zip(group.columns, picked, strict=True)})
        expectations = [self._checks[number].expectation.copy() for number in group.numbers]
        for place, expectation in enumerate(expectations):
            expectation.meta = {"place": place}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas' and pydantic's advice to Great Expectations
            self._definition = self._definition or _batch_definition()
            batch = self._definition.get_batch({"dataframe": frame})
            suite = ExpectationSuite(name="chunk", expectations=expectations)
            results = batch.validate(suite, result_format=_FORMAT).results
        bad = np.zeros((len(expectations), len(frame)), dtype=bool)
        for result in results:
            place = int(result.expectation_config.meta["place"])
            _refuse_exception(self._checks[group.numbers[place]], result)
            bad[place, np.array(result.result.get("unexpected_index_list") or [], dtype=np.int64)] = True
        return bad

    def _count(self, group: _Group, rows: int, missing: int = 0) -> None:
        for number in group.numbers:
            self.tallies[number].rows += rows
            self.tallies[number].missing += missing

    def _show(self, number: int, mask: Mask, cells: Cells) -> None:
        """Count the bad rows of a check, and keep some of their values."""
        check, tally = self._checks[number], self.tallies[number]
        tally.unexpected += int(mask.sum())
        if check.shown and check.rule != "required" and len(tally.sample) < _SAMPLE:
            rows = pa.array(np.flatnonzero(mask)[:_LOOKED_AT])
            columns = [cell.take(rows) for cell in cells]
            values = [pc.unique(columns[0])] if len(columns) == 1 else columns
            for row in zip(*(value.slice(0, _SAMPLE).to_pylist() for value in values), strict=True):
                shown = _plain(row[0]) if len(row) == 1 else [_plain(one) for one in row]
                if shown not in tally.sample and len(tally.sample) < _SAMPLE:
                    tally.sample.append(shown)


def _remember(group: _Group, traits: pa.Array, bad: Mask) -> None:
    """Keep what was decided, as far as there is room."""
    known = 0 if group.traits is None else len(group.traits)
    traits, bad = traits.slice(0, _REMEMBERED - known), bad[:, : _REMEMBERED - known]
    group.traits = traits if group.traits is None else pa.concat_arrays([group.traits, traits])
    group.bad = bad if group.bad is None else np.column_stack([group.bad, bad])


def _flat(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    flat = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return flat.cast(pa.string()) if pa.types.is_null(flat.type) else flat


def _missing(cells: Cells) -> int:
    """Rows in which all cells are empty."""
    if len(cells) == 1:
        return int(cells[0].null_count)
    empty = cells[0].is_null()
    for cell in cells[1:]:
        empty = pc.and_(empty, cell.is_null())
    return int(pc.sum(empty).as_py() or 0)


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
