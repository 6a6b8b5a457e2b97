"""Clean tables under contracts that change: what a new version would do to stored rows, and doing it.

The contract that a table was written by stands in the table's properties. Iceberg knows columns by number, so that
files written under another name stay readable, and each snapshot keeps the columns of its time.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import AlwaysTrue, BooleanExpression, IsNull
from pyiceberg.table import Table, Transaction

from expectations.contract import arrow_type
from expectations.evolution import Change, Facts, clean_name, compare, facts
from pipelines.core.errors import ContractError, LeadwiseError
from pipelines.lake.catalog import Lake, write_anew
from pipelines.lake.fields import Fitted, columns_of, reshape

if TYPE_CHECKING:
    from expectations.contract import Contract

PROPERTY = "leadwise.contract"
"""Property of a clean table: the contract its rows were published by, as JSON."""

_EXACT = 2**53
_TRIES = 5


@dataclass(frozen=True)
class Pending:
    """What stands between a clean table and the contract of today.

    Attributes:
        contract: of today.
        applied: the contract that the table was written by; None where there is no table, or nothing is known.
        changes: what differs, with what stored rows forbid marked as breaking.
    """

    contract: "Contract"
    applied: Facts | None
    changes: tuple[Change, ...] = ()

    @property
    def breaking(self) -> list[Change]:
        """What can't be applied."""
        return [change for change in self.changes if change.kind == "breaking"]

    @property
    def versions(self) -> str:
        """Both versions, as people read them."""
        before = (self.applied or {}).get("version") or "unknown"
        return f"{before} → {self.contract.version}"

    def refuse(self) -> None:
        """Raise ContractError where a change can't be applied, with the first reason."""
        if self.breaking:
            change = self.breaking[0]
            raise ContractError(
                f"{self.contract.path} ({self.versions}) breaks the rows of clean.{self.contract.name}:"
                f" {change.sentence}: take that back, or give the new rows a table of their own; nothing was written"
            )


def told(contract: "Contract") -> str:
    """The contract as the property holds it."""
    return json.dumps(facts(contract), sort_keys=True, default=str)


def pending(lake: Lake, contract: "Contract") -> Pending:
    """Compare a clean table with the contract of today. Reads rows only where a change depends on them."""
    table = lake.table(f"clean.{contract.name}")
    return Pending(contract, None) if table is None else _pending(table, contract)


def _pending(table: Table, contract: "Contract") -> Pending:
    today = told(contract)
    held = table.properties.get(PROPERTY)
    if held == today:
        return Pending(contract, json.loads(today))
    new: Facts = json.loads(today)
    old = json.loads(held) if held else _adopted(table, new)
    found = [_judged(table, change) for change in (*compare(old, new), *_taken(table, old, new))]
    return Pending(contract, old, tuple(found))


def evolve(lake: Lake, contract: "Contract") -> Pending:
    """Bring a clean table under the contract of today, in one commit; nothing happens where it is already.

    To be called while nobody publishes to the table, that is with the lock of `validate`. A call that is killed left
    the table as it was, or done.

    Returns:
        What was applied.

    Raises:
        ContractError: a change breaks stored rows.
    """
    name = f"clean.{contract.name}"
    for attempt in range(_TRIES):
        table = lake.table(name)
        if table is None or table.properties.get(PROPERTY) == told(contract):
            return Pending(contract, None)
        found = _pending(table, contract)
        found.refuse()
        try:
            _apply(table, found)
        except CommitFailedException:  # somebody else's commit came in between: look again
            if attempt == _TRIES - 1:
                raise
            continue
        return found
    raise AssertionError("the loop above returns or raises")


def as_of_today(
    lake: Lake, contract: "Contract", system: pa.Schema, where: BooleanExpression | None = None
) -> pa.RecordBatchReader | None:
    """Stream a clean table in the columns of the contract, also where it was not applied yet; None without a table.

    Args:
        lake: of the tenant.
        contract: of today.
        system: columns of our own to read beside the contract's.
        where: only these rows; over columns of our own.

    Raises:
        ContractError: the contract breaks the table's rows.
    """
    name = f"clean.{contract.name}"
    table = lake.table(name)
    if table is None:
        return None
    schema = pa.schema([*contract.clean_schema(), *system])
    if lake.fixed:  # the contract is that of the version's own time
        return lake.scan(name, columns=schema.names, where=where)
    names = [*stored_names(table, contract).values(), *system.names]
    rows = lake.scan(name, columns=[held for held in names if held], where=where)
    return Fitted(schema, tuple(names)).read(rows)


def is_current(lake: Lake, contract: "Contract") -> bool:
    """Whether a clean table has the columns of the contract, under their names and in their types.

    Raises:
        ContractError: the contract breaks the table's rows.
    """
    table = lake.table(f"clean.{contract.name}")
    if table is None or lake.fixed:
        return table is not None
    names, held = stored_names(table, contract), columns_of(table)
    return all(names[field.name] == field.name and held[field.name] == field.type for field in contract.clean_schema())


def stored_names(table: Table, contract: "Contract") -> dict[str, str | None]:
    """Where the table keeps each column of the contract's clean table: its name there, None where it has none yet.

    Raises:
        ContractError: the contract breaks the table's rows.
    """
    if table.properties.get(PROPERTY) == told(contract):
        return {name: name for name in contract.clean_columns}
    found = _pending(table, contract)
    found.refuse()
    held = {column["id"]: clean_name(column) for column in (found.applied or {"columns": []})["columns"]}
    present = set(table.schema().column_names)
    names: dict[str, str | None] = {}
    for name, column in contract.clean_columns.items():
        before = held.get(column.identity, name)
        names[name] = before if before in present else None
    return names


def _adopted(table: Table, new: Facts) -> Facts:
    """What a table without the property was written by, as far as its columns tell."""
    stored = {name: kind for name, kind in columns_of(table).items() if not name.startswith("_")}
    known = {clean_name(column) or "": column for column in new["columns"]}
    known |= {column["id"]: column for column in new["columns"] if column["id"] in stored}
    columns = [column for column in new["columns"] if clean_name(column) is None]
    for name, kind in stored.items():
        column = known.get(name, {"id": name, "name": name})
        before = {**column, "type": _logical(kind)}
        columns.append(before if column.get("entity") else {**before, "name": name})
    return {**new, "version": "", "columns": columns}


@lru_cache(maxsize=32)
def _logical(kind: pa.DataType) -> str:
    from expectations.contract import TYPES

    return next(name for name in TYPES if arrow_type(name) == kind)


def _taken(table: Table, old: Facts, new: Facts) -> Iterator[Change]:
    """Names that a retired column of the table still has: the same column may come back, another one may not."""
    present = columns_of(table)
    used = {clean_name(column): column["id"] for column in old["columns"]}
    held = {column["id"] for column in old["columns"]}
    for column in new["columns"]:
        name = clean_name(column)
        if name not in present or name in used:
            continue
        if column["id"] in held or column["id"] != name or present[name] != arrow_type(column["type"]):
            kind = _logical(present[name])
            what = f"takes the name of a retired column ({kind}), whose values would show up under it"
            yield Change("breaking", column["name"], what, name, name)


def _judged(table: Table, change: Change) -> Change:
    """The change as stored rows allow it."""
    if change.kind == "breaking":
        return change if _rows(table) else replace(change, kind="changed")
    reason = ""
    if change.needs == "empty" and (rows := _rows(table)):
        reason = f"is added as required, and {rows} stored rows have no value: add it with required: false first"
    elif change.needs == "no nulls" and (rows := _rows(table, change.old)):
        reason = f"is required now, and {rows} stored rows are empty there: keep required: false, or replay them"
    elif change.needs == "exact" and (rows := _inexact(table, change.old or "")):
        reason = f"would lose digits: {rows} stored values are beyond 2^53, more than a number holds exactly"
    return replace(change, kind="breaking", what=reason) if reason else change


def _rows(table: Table, empty: str | None = None) -> int:
    """Rows of the table, or those without a value in one column."""
    return int(table.scan(row_filter=AlwaysTrue() if empty is None else IsNull(empty)).count())


def _inexact(table: Table, name: str) -> int:
    """Whole numbers of a column that a 64-bit float would round."""
    found = 0
    for batch in table.scan(selected_fields=(name,)).to_arrow_batch_reader():
        beyond = pc.or_(pc.greater(batch[name], _EXACT), pc.less(batch[name], -_EXACT))
        found += pc.sum(beyond).as_py() or 0
    return found


def _apply(table: Table, found: Pending) -> None:
    """All changes of one table, and the contract they come from, in one commit."""
    contract = found.contract
    present = columns_of(table)
    wanted = {field.name: field.type for field in contract.clean_schema()}
    moved = {change.old: change.new for change in found.changes if change.old and change.new != change.old}
    renamed = {old: new for old, new in moved.items() if new is not None and old in present}
    hidden = {c.old for c in found.changes if c.old and c.new is None and c.column in contract.by_name}
    names = {renamed.get(name, name): name for name in present if name not in hidden}
    anew = {name for name, before in names.items() if name in wanted and wanted[name] != present[before]}
    added = [name for name in wanted if name not in names]
    # Columns put together for one state of the table say nothing of another one: no retry but that of `evolve`. This
    # is the table in memory; its stored properties keep theirs.
    table.metadata.properties["commit.retry.num-retries"] = "0"
    with table.transaction() as transaction:
        _rename(transaction, renamed)
        reshape(transaction, [*hidden, *anew], {name: wanted[name] for name in wanted if name in anew or name in added})
        transaction.set_properties({PROPERTY: told(contract)})
        if (anew or hidden) and table.current_snapshot() is not None:
            write_anew(transaction, table, names)


def _rename(transaction: Transaction, renamed: dict[str, str]) -> None:
    """Rename columns, by way of names that nobody has, so that two may change places."""
    if not renamed:
        return
    with transaction.update_schema() as update:
        for number, old in enumerate(renamed):
            update.rename_column(old, f"_renamed_{number}")
    with transaction.update_schema() as update:
        for number, new in enumerate(renamed.values()):
            update.rename_column(f"_renamed_{number}", new)


def widen(lake: Lake, name: str, column: str, kind: pa.DataType) -> None:
    """Give a column of a table a wider type, in one commit; Iceberg knows no such change, so the rows are written anew.

    Args:
        lake: whose table.
        name: of the table.
        column: of the table.
        kind: a type that holds each of its values.

    Raises:
        LeadwiseError: a whole number that would lose digits.
    """
    table = lake.table(name)
    if table is None or columns_of(table)[column] == kind:
        return
    names = {one: one for one in columns_of(table)}
    try:
        with table.transaction() as transaction:
            reshape(transaction, [column], {column: kind})
            if table.current_snapshot() is not None:
                write_anew(transaction, table, names)
    except pa.ArrowInvalid:
        raise LeadwiseError(
            f"column '{column}' of table {name} can't be widened to {kind}, for it holds whole numbers beyond 2^53:"
            " export the new values as whole numbers, or under another name"
        ) from None
