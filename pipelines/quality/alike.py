"""What a rule can tell apart: cells that are alike to it get one verdict, so that one of them is asked about.

A range sees on which side of its bounds a number stands, a length sees how long a text is, `required` sees whether
there is anything at all. Each function here gives every row a *trait* that is at least as fine as the rule: rows of one
trait are all good or all bad. Which they are, Great Expectations decides, on one row of each trait. Numbers are finite:
the gate reads no others. A rule that stands in no function below is asked about each distinct value, or about all rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from expectations.phones import may_hold_phones
from expectations.suites import Check

_EXACT = 2**53  # whole numbers from here on are not exact as floats, which is how bounds are kept

Cells = Sequence[pa.Array]
"""The columns of a rule, in its order."""


@dataclass(frozen=True)
class Trait:
    """What a kind of rule sees of a row.

    Attributes:
        name: rules of the same columns and the same name see the same.
        of: the trait of each row from the rule's columns; null where the rule has nothing to judge.
        lasting: a verdict holds for the next chunk too.
    """

    name: str
    of: Callable[[Cells], pa.Array]
    lasting: bool = True


def trait_of(check: Check, types: Sequence[pa.DataType]) -> Trait | None:
    """The trait `check` sees in columns of these types; None for a rule that has to see whole rows."""
    told = check.expectation.configuration.kwargs
    kind = check.expectation.expectation_type
    if kind in _BY_KIND and not told.get("row_condition"):
        found = _BY_KIND[kind](told, types)
        if found is not None:
            return found
    if len(types) != 1 or check.unique:
        return None
    return Trait("value", lambda cells: cells[0])


def _presence(told: dict[str, Any], types: Sequence[pa.DataType]) -> Trait:
    return Trait("presence", lambda cells: pc.is_valid(cells[0]))


def _unreadable(told: dict[str, Any], types: Sequence[pa.DataType]) -> Trait:
    """The column holds texts that could not be read, whatever they are."""
    return Trait("unreadable", lambda cells: pc.if_else(pc.is_valid(cells[0]), True, None))


def _length(told: dict[str, Any], types: Sequence[pa.DataType]) -> Trait | None:
    if not (pa.types.is_string(types[0]) or pa.types.is_large_string(types[0])):
        return None
    return Trait("length", lambda cells: pc.utf8_length(cells[0]))


def _phone(told: dict[str, Any], types: Sequence[pa.DataType]) -> Trait:
    """Which phones are known changes from chunk to chunk."""
    return Trait("phone", lambda cells: pc.if_else(may_hold_phones(cells[0]), cells[0], None), lasting=False)


def _side(told: dict[str, Any], types: Sequence[pa.DataType]) -> Trait | None:
    """On which side of each bound, or on it."""
    bounds = [_bound(bound, types[0]) for bound in (told.get("min_value"), told.get("max_value")) if bound is not None]
    if None in bounds:
        return None

    def of(cells: Cells) -> pa.Array:
        code = pa.scalar(0, pa.int8())
        for bound in bounds:
            code = pc.add(pc.multiply(code, pa.scalar(3, pa.int8())), _order(cells[0], bound))
        return code

    return Trait(f"side of {bounds}", of)


def _bound(bound: Any, kind: pa.DataType) -> pa.Scalar | None:
    """A bound in the column's type; None where that is not what Great Expectations compares with."""
    if pa.types.is_timestamp(kind):
        naive = isinstance(bound, datetime) and bound.tzinfo is None
        return pa.scalar(bound, kind) if naive else None
    if not isinstance(bound, int | float) or isinstance(bound, bool) or abs(bound) >= _EXACT:
        return None
    if pa.types.is_integer(kind):
        return pa.scalar(int(bound), kind) if bound == int(bound) else None
    return pa.scalar(bound, kind) if pa.types.is_floating(kind) else None


def _pair(told: dict[str, Any], types: Sequence[pa.DataType]) -> Trait | None:
    """Which of two is greater, or which of them is missing; beside empty cells pandas has no exact whole numbers."""
    if types[0] != types[1] or not (pa.types.is_timestamp(types[0]) or pa.types.is_floating(types[0])):
        return None

    def of(cells: Cells) -> pa.Array:
        first, second = (pc.is_null(cell).cast(pa.int8()) for cell in cells)
        missing = pc.add(pc.add(first, second), pc.add(second, pa.scalar(2, pa.int8())))
        return pc.coalesce(_order(cells[0], cells[1]), missing)

    return Trait("order", of)


def _order(left: pa.Array, right: pa.Array | pa.Scalar) -> pa.Array:
    """0 where `left` is less, 1 where they are equal, 2 where it is greater; null where one is missing."""
    return pc.add(pc.greater(left, right).cast(pa.int8()), pc.greater_equal(left, right).cast(pa.int8()))


_BY_KIND: dict[str, Callable[[dict[str, Any], Sequence[pa.DataType]], Trait | None]] = {
    "expect_column_values_to_not_be_null": _presence,
    "expect_column_values_to_be_readable": _unreadable,
    "expect_column_values_to_hold_no_phone": _phone,
    "expect_column_values_to_be_between": _side,
    "expect_column_value_lengths_to_be_between": _length,
    "expect_column_value_lengths_to_equal": _length,
    "expect_column_pair_values_a_to_be_greater_than_b": _pair,
    "expect_column_pair_values_to_be_equal": _pair,
}
