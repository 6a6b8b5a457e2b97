"""What a newer version of a contract does to the rows of the older one."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from expectations.contract import Column, Contract, load_contract
from expectations.evolution import Change, compare, contract_of, facts
from pipelines.core.errors import ContractError
from pipelines.core.settings import ROOT

KEY = Column("order_id", "string", required=True, key=True)
WHEN = Column("ordered_at", "timestamp", required=True, event_time=True)
PHONE = Column("phone", "string", required=True, personal=True, entity="lead_id", phone=True)


def contract(*columns: Column, version: str = "1.0.0", **options: Any) -> Contract:
    return Contract("orders", version, "", (KEY, WHEN, PHONE, *columns), Path("orders.yaml"), **options)


def between(old: Contract, new: Contract) -> list[Change]:
    """Through JSON, as the lake keeps it."""
    return compare(*(json.loads(json.dumps(facts(one), default=str)) for one in (old, new)))


def kinds(old: Column | None, new: Column | None) -> list[tuple[str, str]]:
    sides = (contract(*(one for one in (side,) if one)) for side in (old, new))
    return [(change.kind, change.needs) for change in between(*sides)]


A = Column("a", "integer")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (A, A, []),
        (None, A, [("added", "")]),
        (None, Column("a", "integer", required=True), [("added", "empty")]),
        (A, None, [("retired", "")]),
        (A, Column("b", "integer", id="a"), [("renamed", "")]),
        (A, Column("b", "integer"), [("added", ""), ("retired", "")]),
        (A, Column("a", "number"), [("widened", "exact")]),
        (Column("a", "date"), Column("a", "timestamp"), [("widened", "")]),
        (Column("a", "number"), A, [("breaking", "")]),
        (A, Column("a", "string"), [("breaking", "")]),
        (Column("a", "integer", required=True), A, [("loosened", "")]),
        (A, Column("a", "integer", required=True), [("tightened", "no nulls")]),
        (Column("a", "integer", minimum=5), Column("a", "integer", minimum=4), [("loosened", "")]),
        (Column("a", "integer", minimum=5), Column("a", "integer", minimum=6), [("tightened", "")]),
        (Column("a", "integer", maximum=5), Column("a", "integer", maximum=6), [("loosened", "")]),
        (Column("a", "integer", maximum=5), Column("a", "integer", maximum=4), [("tightened", "")]),
        (Column("a", "integer", maximum=5), A, [("loosened", "")]),
        (Column("a", "integer", allowed=(1, 2)), Column("a", "integer", allowed=(2, 1, 3)), [("loosened", "")]),
        (Column("a", "integer", allowed=(1, 2)), Column("a", "integer", allowed=(1, 3)), [("tightened", "")]),
        (Column("a", "string", pattern="x"), Column("a", "string", pattern="y"), [("tightened", "")]),
        (A, Column("a", "integer", known_after=timedelta(days=1)), [("changed", "")]),
        (Column("a", "string", personal=True), Column("a", "string"), [("breaking", "")]),
        (Column("a", "string"), Column("a", "string", personal=True), [("retired", "")]),
        (A, Column("a", "integer", key=True, required=True), [("breaking", ""), ("tightened", "no nulls")]),
    ],
)  # fmt: skip
def test_one_column(old: Column | None, new: Column | None, found: list[tuple[str, str]]) -> None:
    assert kinds(old, new) == found


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ((KEY, PHONE, Column("at", "timestamp", event_time=True)), "event_time changes from 'ordered_at' to 'at'"),
        ((KEY, WHEN), "entity changes from 'phone' to nothing"),
        ((WHEN, PHONE), "the key changes from 'order_id' to nothing"),
        ((KEY, WHEN, PHONE, Column("seen", "timestamp", arrived_at=True)), "arrived_at changes from nothing to 'seen'"),
    ],
)
def test_what_places_a_row_stays(columns: tuple[Column, ...], says: str) -> None:
    changed = Contract("orders", "2", "", columns, Path("orders.yaml"))
    assert any(change.kind == "breaking" and says in change.what for change in between(contract(), changed))


def test_a_renamed_place_is_still_the_place() -> None:
    renamed = Contract(
        "orders", "2", "", (KEY, Column("at", "timestamp", required=True, event_time=True, id="ordered_at"), PHONE),
        Path("orders.yaml"),
    )  # fmt: skip
    assert [change.kind for change in between(contract(), renamed)] == ["renamed"]


def test_the_delay_of_arrival_dated_the_rows() -> None:
    slower = contract(arrival_delay=timedelta(days=2))
    assert [change.kind for change in between(contract(), slower)] == ["breaking"]


def test_a_version_alone_is_no_change() -> None:
    assert between(contract(), contract(version="2.0.0")) == []


@pytest.mark.parametrize("path", sorted((ROOT / "expectations").glob("*/*.yaml")), ids=lambda path: path.stem)
def test_shipped_contracts_survive_json(path: Path) -> None:
    shipped = load_contract(path)
    told = json.loads(json.dumps(facts(shipped), default=str))
    assert compare(told, told) == []
    assert contract_of(told, shipped.name, path).clean_schema() == shipped.clean_schema()


def test_bounds_of_times_are_compared_as_times() -> None:
    old, new = (Column("a", "timestamp", minimum=datetime(year, 1, 1)) for year in (2015, 2010))
    assert kinds(old, new) == [("loosened", "")]


def test_an_id_is_one_columns(tmp_path: Path) -> None:
    text = (ROOT / "expectations" / "sms" / "campaigns.yaml").read_text(encoding="utf-8")
    first, second = [line.split("name: ")[1] for line in text.splitlines() if line.startswith("      - name: ")][:2]
    path = tmp_path / "campaigns.yaml"
    marked = f"      - name: {second}\n        id: {first}"
    path.write_text(text.replace(f"      - name: {second}", marked, 1), encoding="utf-8")
    with pytest.raises(ContractError, match=f"column '{first}'.*the id '{first}' stands for two columns"):
        load_contract(path)
