"""Rules of contracts and SQL: each plants its fault in a use case that has none, and sees that finding alone."""

from typing import Any

import pytest
import yaml

from pipelines.doctor.facts import Facts
from pipelines.doctor.rules import examine
from tests.pipelines.doctor.conftest import FEATURES, LABEL, MAPPING, VISITS, World

CONTRACT = "expectations/shop/visits.yaml"
SQL = "feature_repo/shop/"


def test_the_world_without_a_fault_has_none(world: World) -> None:
    assert world.look() == []


def test_the_repository_as_shipped_has_no_error(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_VAR", str(tmp_path / "var"))
    findings = examine(Facts(), ("contracts", "sql", "params", "settings", "machine", "state"))
    assert [one for one in findings if one.level == "error" and one.rule != "disk-full"] == []


COLUMN = "      - name: {name}\n        logicalType: string\n{more}"

CONTRACT_FAULTS = {
    "contract-odcs": [
        ("kind: DataContract", "kind: [", "can't be read as YAML"),
        ("logicalType: number", "logicalType: number\n        requierd: true", "did you mean 'required'?"),
        ("\nkind: DataContract", "\n- kind: DataContract", "can't be read as YAML"),
    ],
    "contract-meaning": [
        ("property: event_time", "property: event_tiem", "did you mean 'event_time'?"),
        ("primaryKey: true", "primaryKey: false", "primary key"),
        ("logicalType: number", "logicalType: array", "logicalType"),
    ],
}


@pytest.mark.parametrize(
    ("rule", "old", "new", "told"),
    [(rule, *fault) for rule, faults in CONTRACT_FAULTS.items() for fault in faults],
)
def test_a_broken_contract_is_one_finding(world: World, rule: str, old: str, new: str, told: str) -> None:
    assert old in VISITS
    world.write(CONTRACT, VISITS.replace(old, new))
    [finding] = world.look()
    assert (finding.rule, finding.level) == (rule, "error")
    assert "visits.yaml" in finding.where
    assert told in finding.what
    assert finding.mend


def test_a_use_case_without_contracts(world: World) -> None:
    world.remove(CONTRACT)
    assert [one.rule for one in world.look()] == ["contract-missing"]


def test_a_use_case_without_an_entity(world: World) -> None:
    world.write(CONTRACT, VISITS.replace("        customProperties: [{property: entity, value: guest_id}]\n", ""))
    assert [one.rule for one in world.look("contracts")] == ["contract-entity"]


def test_a_table_without_event_time(world: World) -> None:
    world.write(CONTRACT, VISITS.replace("        customProperties: [{property: event_time, value: true}]\n", ""))
    [finding] = world.look()
    assert (finding.rule, finding.level) == ("contract-event-time", "warning")


@pytest.mark.parametrize(
    ("name", "more", "found"),
    [
        ("mobile_number", "", True),
        ("contactEmail", "", True),
        ("telefono", "", True),
        ("contact", '        examples: ["+525512345678"]\n', True),
        ("contact", r"        logicalTypeOptions: {pattern: '[^@ ]+@[^@ ]+'}" + "\n", True),
        ("contact", r"        logicalTypeOptions: {pattern: '\+\d{10,14}'}" + "\n", True),
        ("mobile_number", "        classification: public\n", False),
        ("mobile_number", "        classification: restricted\n", False),
        ("phone_type", "", False),
        ("email", "        enum: [{value: opened}, {value: ignored}]\n", False),
        ("contact", r"        logicalTypeOptions: {pattern: '\d{2,3}'}" + "\n", False),
        ("contact", "        examples: [cellular]\n", False),
    ],
)
def test_addresses_and_phones_have_to_be_classified(world: World, name: str, more: str, found: bool) -> None:
    world.write(CONTRACT, VISITS + COLUMN.format(name=name, more=more))
    findings = world.look("contracts")
    assert [one.rule for one in findings] == (["contract-personal"] if found else [])
    assert all("5512345678" not in one.what for one in findings)


SQL_FAULTS = {
    "sql-features": ("features_guest.sql", FEATURES.replace("$as_of", "now()"), "now is not allowed"),
    "sql-labels": ("labels/spender.sql", LABEL.replace(" as label", " as lable"), "label"),
    "sql-candidates": ("candidates.sql", "select guest_id, spent from visits", "candidates have the columns"),
    "sql-mapping": ("mapping.sql", MAPPING.replace("from visits", "from visitors"), "did you mean 'visits'?"),
    "mapping-columns": ("mapping.sql", MAPPING.replace("amount as spent", "amount as spend"), "'spent'"),
    "feature-twins": ("features_more.sql", FEATURES, "features_guest.sql"),
}


@pytest.mark.parametrize("rule", SQL_FAULTS)
def test_a_fault_in_sql_is_that_finding(world: World, rule: str) -> None:
    file, text, told = SQL_FAULTS[rule]
    world.write(SQL + file, text)
    findings = world.look()
    assert {one.rule for one in findings} == {rule}
    assert all(one.level == "error" for one in findings)
    assert told in findings[0].what
    assert file in findings[0].where


def test_every_broken_query_is_told_of_and_not_the_first_alone(world: World) -> None:
    world.write(SQL + "features_a.sql", "select 1")
    world.write(SQL + "features_b.sql", "drop table visits")
    assert [one.where.rpartition("/")[2] for one in world.look()] == ["features_a.sql", "features_b.sql"]


def test_sql_that_is_no_text_is_a_finding(world: World) -> None:
    (world.home / SQL / "candidates.sql").write_bytes(b"\xff\xfe\x00")
    [finding] = world.look()
    assert finding.rule == "sql-candidates"
    assert "UTF-8" in finding.what


def test_a_mapping_of_unknown_columns_is_left_to_the_gate(world: World) -> None:
    world.write(SQL + "mapping.sql", "-- table: visits\nselect * from visits\n")
    assert world.look() == []


def test_a_use_case_without_candidates_or_features(world: World) -> None:
    world.remove(SQL + "candidates.sql")
    [finding] = world.look()
    assert (finding.rule, finding.level) == ("no-candidates", "warning")
    world.remove(SQL + "features_guest.sql")
    assert [one.rule for one in world.look()] == ["no-candidates", "no-features"]


def test_targets_and_labels_belong_together(world: World) -> None:
    world.shop({"train": {"targets": {"spendr": {"horizon_days": 7}}}})
    [finding] = world.look()
    assert finding.rule == "target-label"
    assert "did you mean 'spender'?" in finding.what
    world.remove(SQL + "labels/spender.sql")
    world.write(SQL + "labels/spendr.sql", LABEL)
    world.write(SQL + "labels/other.sql", LABEL)
    [_, finding] = world.look()
    assert "no target of tenant 'shop' is called 'other'" in finding.what


def test_candidates_need_an_entity_with_features(world: World) -> None:
    with_host = VISITS + COLUMN.format(
        name="host", more="        customProperties: [{property: entity, value: host_id}]\n"
    )
    world.write(
        "expectations/shop/hosts.yaml", with_host.replace("name: visits", "name: hosts").replace("guest", "other")
    )
    text = yaml.safe_load((world.home / "expectations/shop/hosts.yaml").read_text(encoding="utf-8"))
    text["schema"][0]["properties"] = [
        {"name": "host_id", "logicalType": "string", "primaryKey": True,
         "customProperties": [{"property": "entity", "value": "host_id"}]},
        {"name": "met_at", "logicalType": "timestamp", "customProperties": [{"property": "event_time", "value": True}]},
    ]  # fmt: skip
    world.write("expectations/shop/hosts.yaml", yaml.safe_dump(text))
    world.shop({"sources": {"hosts": {"path": "{data}/hosts/{date}.csv"}}})
    assert world.look() == []
    world.write(SQL + "candidates.sql", "select distinct host_id from hosts where met_at <= $as_of")
    [finding] = world.look()
    assert finding.rule == "entity-features"
    assert "host_id" in finding.what


def test_a_source_that_feeds_nothing(world: World) -> None:
    world.shop({"sources": {"visit": {"path": "{data}/visit/{date}.csv"}}})
    [finding] = world.look()
    assert finding.rule == "source-used"
    assert "did you mean 'visits'?" in finding.what
