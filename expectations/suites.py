"""Great Expectations suites built from a contract."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expectations.contract import Column, Contract, Rule
from expectations.rules import UNIQUE_RULES
from pipelines.core.errors import ContractError

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

_PHONE = "values are phone numbers that exist, with their country code (E.164)."
_STRAY = "no phone number stands in a column that is not personal."
LATEST = "end_of_batch"
"""Name of the column with the latest instant a batch can speak of."""


@dataclass(frozen=True)
class Check:
    """One rule of a suite.

    Attributes:
        rule: what the quarantine calls it.
        columns: the columns it looks at: one for a rule of a column.
        expectation: Great Expectations' object.
        shown: whether its values may be shown to people.
        unique: it compares rows with each other.
    """

    rule: str
    columns: tuple[str, ...]
    expectation: "Expectation"
    shown: bool
    unique: bool = False


def checks(contract: Contract) -> list[Check]:
    """Every rule of `contract`, those of columns first, in the contract's order: the first that fails names a bad row.

    Raises:
        ContractError: a hand-written rule has arguments Great Expectations refuses.
    """
    found = [check for column in contract.columns for check in _column_checks(column)]
    found += _time_checks(contract)
    return found + [_hand_written(contract, rule) for rule in contract.expectations]


def _column_checks(column: Column) -> list[Check]:
    import great_expectations.expectations as gxe

    from expectations.custom import (
        ExpectColumnValuesToBeReadable,
        ExpectColumnValuesToBeValidPhones,
        ExpectColumnValuesToHoldNoPhone,
    )

    name = column.name
    rules: list[tuple[str, Any]] = [
        (
            "type",
            ExpectColumnValuesToBeReadable(
                column=name, logical_type=column.type, description=f"values can be read as {column.type}."
            ),
        ),
    ]
    if column.required:
        rules.append(("required", gxe.ExpectColumnValuesToNotBeNull(column=name)))
    if column.allowed is not None:
        rules.append(("allowed", gxe.ExpectColumnValuesToBeInSet(column=name, value_set=list(column.allowed))))
    rules += _ranges(column)
    if column.pattern is not None:
        rules.append(("pattern", gxe.ExpectColumnValuesToMatchRegex(column=name, regex=rf"\A(?:{column.pattern})\Z")))
    if column.min_length is not None or column.max_length is not None:
        bounds = {"min_value": column.min_length, "max_value": column.max_length}
        rules.append(("length", gxe.ExpectColumnValueLengthsToBeBetween(column=name, **bounds)))
    if column.phone:
        rules.append(("phone", ExpectColumnValuesToBeValidPhones(column=name, description=_PHONE)))
    found = [Check(rule, (name,), expectation, shown=not column.personal) for rule, expectation in rules]
    if column.may_stray:
        stray = ExpectColumnValuesToHoldNoPhone(column=name, description=_STRAY)
        found.append(Check("personal", (name,), stray, shown=False))
    return found


def _ranges(column: Column) -> list[tuple[str, Any]]:
    """One expectation for the bounds as they are meant: included or not, each side by itself."""
    import great_expectations.expectations as gxe

    found = []
    for lower, upper, strict in (
        (column.minimum, column.maximum, False),
        (column.exclusive_minimum, column.exclusive_maximum, True),
    ):
        if lower is not None or upper is not None:
            bounds = {"min_value": lower, "max_value": upper, "strict_min": strict, "strict_max": strict}
            found.append(("range", gxe.ExpectColumnValuesToBeBetween(column=column.name, **bounds)))
    return found


def _time_checks(contract: Contract) -> list[Check]:
    """Nothing happens after it arrived, and nothing arrives after the batch that brings it."""
    import great_expectations.expectations as gxe

    pairs = [(contract.arrived_at or LATEST, contract.event_time), (LATEST, contract.arrived_at)]
    return [
        Check(
            "future",
            (earlier, later),
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=later,
                column_B=earlier,
                or_equal=True,
                ignore_row_if="either_value_is_missing",
                description=f"{earlier} is not in the future: it is never after {later}.",
            ),
            shown=True,
        )
        for later, earlier in pairs
        if earlier is not None
    ]


def _hand_written(contract: Contract, rule: Rule) -> Check:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    try:
        expectation = ExpectationConfiguration(
            type=rule.type, kwargs=rule.kwargs, description=rule.description or None
        ).to_domain_obj()
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ContractError(f"{contract.path}: rule '{rule.name}' is refused by Great Expectations: {reason}") from None
    shown = not any(contract.column(name).personal for name in rule.columns)
    return Check(rule.name, rule.columns, expectation, shown, unique=rule.type in UNIQUE_RULES)
