"""Hand-written expectations of a contract: ODCS quality entries of type custom, engine greatExpectations."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations.contract import Column, Rule
from pipelines.core.errors import ContractError, nearest

if TYPE_CHECKING:
    from open_data_contract_standard.model import DataQuality, SchemaObject

ROW_RULES = (
    "expect_column_pair_values_a_to_be_greater_than_b",
    "expect_column_pair_values_to_be_equal",
    "expect_column_pair_values_to_be_in_set",
    "expect_column_value_lengths_to_be_between",
    "expect_column_value_lengths_to_equal",
    "expect_column_values_to_be_between",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_unique",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_match_regex_list",
    "expect_column_values_to_not_be_in_set",
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_not_match_regex",
    "expect_column_values_to_not_match_regex_list",
    "expect_compound_columns_to_be_unique",
    "expect_multicolumn_sum_to_equal",
    "expect_select_column_values_to_be_unique_within_record",
)
"""Great Expectations that judge rows one by one: only these can tell a bad row from a bad batch."""
UNIQUE_RULES = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")
"""Those among them that compare rows with each other."""


def read_rules(path: Path, table: "SchemaObject", columns: tuple[Column, ...]) -> Iterator[Rule]:
    """The hand-written expectations, those of the table first."""
    known = [column.name for column in columns]
    for entry in table.quality or []:
        if entry.type not in ("text", "custom"):
            raise ContractError(
                f"{path}: a quality entry of type '{entry.type or 'library'}' on the table is not checked: use type"
                " custom with engine greatExpectations"
            )
        if entry.type == "custom":
            yield _rule(str(path), entry, known, {})
    for item in table.properties or []:
        for entry in item.quality or []:
            if entry.type == "custom":
                yield _rule(f"{path}, column '{item.name}'", entry, known, {"column": item.name})


def _rule(where: str, entry: "DataQuality", known: list[str], kwargs: dict[str, Any]) -> Rule:
    if re.sub(r"[^a-z]", "", (entry.engine or "").lower()) != "greatexpectations":
        raise ContractError(f"{where}: the quality engine '{entry.engine}' is unknown: use greatExpectations")
    body: Any = entry.implementation
    try:
        body = json.loads(body) if isinstance(body, str) else body
    except json.JSONDecodeError:
        body = None
    kind = (body.get("type") or body.get("expectation_type")) if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(kind, str):
        raise ContractError(f"{where}: a greatExpectations rule needs an implementation with 'type' and 'kwargs'")
    if kind not in ROW_RULES:
        raise ContractError(f"{where}: '{kind}' is no expectation that judges rows: {nearest(kind, ROW_RULES)}")
    kwargs = {**kwargs, **(body.get("kwargs") or {})}
    columns = tuple(
        name
        for key in ("column", "column_A", "column_B", "column_list")
        for name in ([kwargs[key]] if isinstance(kwargs.get(key), str) else kwargs.get(key) or [])
    )
    for name in columns:
        if name not in known:
            raise ContractError(f"{where}: '{kind}' names the column '{name}': {nearest(str(name), known)}")
    if not columns:
        raise ContractError(f"{where}: '{kind}' names no column: add column, column_A and column_B, or column_list")
    description = " ".join((entry.description or "").split())
    return Rule(entry.name or entry.id or kind, kind, kwargs, description, columns)
