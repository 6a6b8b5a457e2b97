"""Contracts are read from the standard's own fields, and whatever would be silently ignored is refused."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from expectations.contract import Contract, load_contracts
from pipelines.core.errors import ContractError
from pipelines.core.settings import ROOT

GOOD = """
kind: DataContract
apiVersion: v3.2.0
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    description: What was ordered.
    quality:
      - name: shipped_after_ordered
        type: custom
        engine: greatExpectations
        description: Nothing ships before it is ordered.
        implementation:
          type: expect_column_pair_values_a_to_be_greater_than_b
          kwargs: {column_A: shipped_at, column_B: ordered_at, or_equal: true}
    properties:
      - {name: order_id, logicalType: string, primaryKey: true, primaryKeyPosition: 1}
      - name: phone
        logicalType: string
        classification: restricted
        customProperties: [{property: entity, value: lead_id}, {property: phone, value: true}]
      - {name: email, logicalType: string, classification: personal}
      - name: ordered_at
        logicalType: timestamp
        logicalTypeOptions: {minimum: "2020-01-01T00:00:00-06:00"}
        customProperties: [{property: event_time, value: true}]
      - {name: shipped_at, logicalType: timestamp}
      - {name: state, logicalType: string, enum: [{value: open}, {value: done}]}
      - name: kind
        logicalType: string
        quality: [{type: library, metric: invalidValues, arguments: {validValues: [a, b]}, mustBe: 0}]
      - {name: share, logicalType: number, logicalTypeOptions: {exclusiveMinimum: 0, maximum: 1}}
      - {name: paid, logicalType: boolean, customProperties: [{property: known_after, value: P1DT12H}]}
"""


def read(folder: Path, text: str) -> Contract:
    (folder / "orders.yaml").write_text(text, encoding="utf-8")
    return load_contracts(folder)["orders"]


def test_facts_come_from_the_standard(tmp_path: Path) -> None:
    contract = read(tmp_path, GOOD)
    assert (contract.keys, contract.event_time, contract.entity) == (["order_id"], "ordered_at", "lead_id")
    assert contract.column("ordered_at").minimum == datetime(2020, 1, 1, 6), "times with a zone become UTC"
    assert contract.column("order_id").required, "a key is always required"
    assert contract.column("state").allowed == ("open", "done")
    assert contract.column("kind").allowed == ("a", "b")
    assert (contract.column("share").exclusive_minimum, contract.column("share").maximum) == (0, 1)
    assert contract.column("paid").known_after == timedelta(days=1, hours=12)
    assert contract.expectations[0].columns == ("shipped_at", "ordered_at")


def test_clean_schema_has_no_personal_data(tmp_path: Path) -> None:
    schema = read(tmp_path, GOOD).clean_schema()
    assert schema.names == ["order_id", "lead_id", "ordered_at", "shipped_at", "state", "kind", "share", "paid"]
    assert schema.field("lead_id").type == pa.string()


@pytest.mark.parametrize("use_case", ["sms", "bank_marketing"])
def test_contracts_that_ship_are_read(use_case: str) -> None:
    contracts = load_contracts(ROOT / "expectations" / use_case)
    for contract in contracts.values():
        assert contract.description
        assert all(column.description for column in contract.columns), f"{contract.name}: marketing reads these"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("property: event_time", "property: evnt_time", "column 'ordered_at'.*evnt_time.*did you mean 'event_time'"),
        ("primaryKey: true", "primaryKei: true", "column 'order_id'.*primaryKei.*did you mean 'primaryKey'"),
        ("logicalType: boolean", "logicalType: boolan", "column 'paid'.*boolan.*did you mean 'boolean'"),
        ("maximum: 1", "multipleOf: 2", "column 'share'.*multipleOf.*not checked"),
        ("logicalType: number", "logicalType: object", "column 'share'"),
        ("value: P1DT12H", "value: tomorrow", "column 'paid'.*known_after.*'tomorrow'.*ISO 8601"),
        ("classification: personal", "classification: persnal", "column 'email'.*did you mean 'personal'"),
        ("classification: restricted", "classification: public", "column 'phone'.*personal"),
        ("property: phone, value: true", "property: phone, value: 1", "column 'phone'.*true or false"),
        ("[{value: open}, {value: done}]", "[{value: no}]", "column 'state'.*False is no string.*quote"),
        ("column_A: shipped_at", "column_A: shiped_at", "names the column 'shiped_at': did you mean 'shipped_at'"),
        ("expect_column_pair_values_a_to_be_greater_than_b", "expect_table_row_count_to_equal", "judges rows"),
        ("engine: greatExpectations", "engine: soda", "engine 'soda'"),
        ("primaryKey: true, primaryKeyPosition: 1", "required: true", "no primary key"),
        ("metric: invalidValues, arguments: {validValues: [a, b]}", "metric: rowCount", "column 'kind'.*rowCount"),
        ("{name: email,", "{name: state,", "'state' stands twice"),
        ("version: 1.0.0\n", "", "not valid ODCS.*version"),
        ("kind: DataContract", "kind: [", "can't be read as YAML"),
        ("name: orders\n    desc", "name: order\n    desc", "name the file order.yaml"),
        ("id: orders\n", "id: orders\nid: again\n", "stands twice"),
    ],
)
def test_what_would_be_ignored_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(ContractError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    sentence = str(caught.value)
    assert re.search(says, sentence), sentence
    assert "orders.yaml" in sentence
    assert "\n" not in sentence


def test_table_knows_its_own_words_only(tmp_path: Path) -> None:
    text = GOOD.replace("    quality:", "    customProperties: [{property: phone, value: true}]\n    quality:", 1)
    with pytest.raises(ContractError, match="belongs to a column"):
        read(tmp_path, text)


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD).description == "What was ordered."
    assert (
        read(tmp_path, GOOD.replace("What was ordered.", "Orders of all shops.")).description == "Orders of all shops."
    )


def test_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no contract"):
        load_contracts(tmp_path)
