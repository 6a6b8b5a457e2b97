"""Contracts that change: old rows keep their values, by whatever road they are read; nothing is half done."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException

from expectations.contract import Column, Contract
from pipelines.core.errors import ContractError
from pipelines.lake.ask import ask
from pipelines.lake.asof import AsOf
from pipelines.lake.catalog import Lake
from pipelines.lake.evolve import PROPERTY, evolve, pending, told
from pipelines.lake.expiry import standing, strike
from pipelines.lake.fields import columns_of
from pipelines.privacy.traces import Traces
from tests.conftest import MakeTenant

AT = datetime(2026, 1, 1)
FIXED = (
    Column("k", "string", required=True, key=True),
    Column("happened", "timestamp", required=True, event_time=True),
)
SYSTEM = pa.schema(
    [
        ("_arrived_at", pa.timestamp("us")),
        ("_batch_id", pa.string()),
        ("_source_file", pa.string()),
        ("_source_row", pa.int64()),
    ]
)
NAME = "clean.orders"
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.none() | st.integers(-(2**53), 2**53),
    "number": st.none() | st.floats(-1e9, 1e9, allow_nan=False),
    "string": st.none() | st.text("abc", max_size=3),
}
_numbers = count()


def contract(*columns: Column, version: str = "1") -> Contract:
    return Contract("orders", version, "", (*FIXED, *columns), Path("orders.yaml"))


def write(lake: Lake, today: Contract, *rows: dict[str, Any]) -> int | None:
    """One batch of rows, by names of today, as `validate` publishes them."""
    schema = pa.schema([*today.clean_schema(), *SYSTEM])
    batch = str(next(_numbers))
    full = [
        {"happened": AT, **row, "_arrived_at": AT, "_batch_id": batch, "_source_file": "f", "_source_row": number}
        for number, row in enumerate(rows)
    ]
    data = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in full], schema)
    return lake.write(NAME, schema, [data], replace=("_batch_id", [batch]), properties={PROPERTY: told(today)})


def viewed(lake: Lake, today: Contract) -> list[dict[str, Any]]:
    with AsOf(lake, {"orders": today}) as views:
        return views.query("select * exclude (happened) from orders order by k", AT).to_pylist()


def asked(lake: Lake, today: Contract) -> list[dict[str, Any]]:
    with ask(lake, {"orders": today}, "select * exclude (happened) from orders order by k", AT) as answer:
        return answer.table().to_pylist()


@pytest.fixture
def lake(make_tenant: MakeTenant) -> Lake:
    return Lake(make_tenant())


@dataclass
class Then:
    """What a snapshot was written with."""

    columns: list[str]
    rows: list[dict[str, Any]]


@dataclass
class Model:
    """What the table should hold, kept without Iceberg: values by the identity of their column."""

    columns: list[Column] = field(default_factory=lambda: [Column("a", "integer"), Column("b", "string")])
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    retired: list[Column] = field(default_factory=list)
    snapshots: dict[int, Then] = field(default_factory=dict)

    def contract(self) -> Contract:
        return contract(*self.columns)

    def expected(self, rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {"k": key} | {column.name: values.get(column.identity) for column in self.columns}
            for key, values in sorted(rows.items())
        ]

    def change(self, draw: st.DrawFn) -> None:
        """One allowed change of the contract."""
        taken = {one.name for one in (*self.columns, *self.retired)} | {one.identity for one in self.columns}
        whole = [number for number, one in enumerate(self.columns) if one.type == "integer"]
        ways = ["add", "swap", "revive"] + ["rename", "retire"] * bool(self.columns) + ["widen"] * bool(whole)
        match draw(st.sampled_from(ways)):
            case "add":
                name = next(f"n{number}" for number in count() if f"n{number}" not in taken)
                self.columns.append(Column(name, draw(st.sampled_from(sorted(VALUES)))))
            case "rename":
                number = draw(st.integers(0, len(self.columns) - 1))
                one = self.columns[number]
                name = next(f"r{number}" for number in count() if f"r{number}" not in taken)
                self.columns[number] = replace(one, name=name, id=one.identity)
            case "swap" if len(self.columns) > 1:
                one, two = self.columns[:2]
                self.columns[:2] = [
                    replace(one, name=two.name, id=one.identity),
                    replace(two, name=one.name, id=two.identity),
                ]
            case "widen":
                number = draw(st.sampled_from(whole))
                self.columns[number] = replace(self.columns[number], type="number")
            case "retire":
                one = self.columns.pop(draw(st.integers(0, len(self.columns) - 1)))
                self.retired.append(one)
                if one.identity != one.name:  # its name is not its own: it can't come back by it
                    for row in self.rows.values():
                        row.pop(one.identity, None)
            case "revive" if back := [one for one in self.retired if one.identity == one.name]:
                self.retired.remove(back[0])
                self.columns.append(back[0])


@pytest.mark.local  # every example has files of its own
@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an example takes a second: it is small as it is
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_old_rows_keep_their_values(
    make_tenant: MakeTenant, tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    """Whatever allowed changes come, views, `leadwise sql` and old snapshots give the values that were written."""
    with pytest.MonkeyPatch.context() as patch:
        tenant = make_tenant()
        patch.setenv("LEADWISE_VAR", str(tmp_path_factory.mktemp("var")))
        lake = Lake(type(tenant).load("demo"))
    model = Model()
    write(lake, model.contract())
    for _ in range(data.draw(st.integers(2, 5), label="versions")):
        for _ in range(data.draw(st.integers(0, 2), label="rows")):
            row = {one.identity: data.draw(VALUES[one.type]) for one in model.columns}
            key = f"k{next(_numbers):06}"
            model.rows[key] = row
            names = {one.name: row[one.identity] for one in model.columns}
            snapshot = write(lake, model.contract(), {"k": key, **names})
            names_then = [one.name for one in model.columns]
            model.snapshots[snapshot or 0] = Then(names_then, model.expected(model.rows))
        model.change(data.draw)
        today = model.contract()
        assert viewed(lake, today) == model.expected(model.rows)  # before it is applied
        if data.draw(st.booleans(), label="applied"):
            evolve(lake, today)
            assert pending(lake, today).changes == ()
            assert viewed(lake, today) == model.expected(model.rows)
        assert asked(lake, today) == model.expected(model.rows)
        evolve(lake, today)
    for snapshot, rows in model.snapshots.items():  # each with the columns of its time
        found = lake.read(NAME, snapshot_id=snapshot).select(["k", *rows.columns]).sort_by("k").to_pylist()
        assert found == rows.rows


A = Column("a", "integer")
BREAKING = [
    (Column("a", "string"), "changes from integer to string"),
    (Column("a", "integer", required=True), "1 stored rows are empty there"),
    (Column("a", "number"), "1 stored values are beyond 2"),
]


@pytest.mark.parametrize(("column", "says"), BREAKING)
def test_what_breaks_is_refused_and_nothing_is_written(lake: Lake, column: Column, says: str) -> None:
    write(lake, contract(A), {"k": "1", "a": 2**53 + 1}, {"k": "2"})
    before = lake.table(NAME)
    assert before is not None
    with pytest.raises(ContractError, match=says):
        evolve(lake, contract(column, version="2"))
    with pytest.raises(ContractError, match=says):
        viewed(lake, contract(column, version="2"))
    assert lake.table(NAME).metadata_location == before.metadata_location  # type: ignore[union-attr]


def test_a_required_column_needs_an_empty_table(lake: Lake) -> None:
    write(lake, contract(), {"k": "1"})
    with pytest.raises(ContractError, match="required: false first"):
        evolve(lake, contract(Column("b", "string", required=True)))


def test_an_empty_table_takes_anything(lake: Lake) -> None:
    write(lake, contract(A))
    evolve(lake, contract(Column("a", "string", required=True)))
    assert columns_of(lake.table(NAME))["a"] == pa.string()  # type: ignore[arg-type]


def test_the_name_of_a_retired_column_is_not_another_ones(lake: Lake) -> None:
    write(lake, contract(A), {"k": "1", "a": 7})
    evolve(lake, contract())
    with pytest.raises(ContractError, match="takes the name of a retired column"):
        evolve(lake, contract(Column("a", "string")))
    evolve(lake, contract(A))
    assert viewed(lake, contract(A)) == [{"k": "1", "a": 7}]


def test_a_column_that_becomes_personal_leaves_the_table(lake: Lake) -> None:
    name = Column("name", "string")
    write(lake, contract(name), {"k": "1", "name": "Ana"})
    evolve(lake, contract(replace(name, personal=True)))
    assert "name" not in columns_of(lake.table(NAME))  # type: ignore[arg-type]
    assert "Ana" not in str(lake.read(NAME).to_pylist())


def test_a_table_without_the_property_is_taken_by_its_columns(lake: Lake) -> None:
    today = contract(A)
    schema = pa.schema([*today.clean_schema(), *SYSTEM])
    row = {"k": "1", "happened": AT, "a": 7, "_arrived_at": AT, "_batch_id": "x", "_source_file": "f", "_source_row": 1}
    lake.write(NAME, schema, [pa.Table.from_pylist([row], schema)], replace=("_batch_id", ["x"]))
    renamed = contract(replace(A, name="b", id="a"), Column("c", "string"))
    evolve(lake, renamed)
    assert viewed(lake, renamed) == [{"k": "1", "b": 7, "c": None}]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_is_cut_short_is_run_again(lake: Lake, when: str) -> None:
    """The process ends just before, or just after, the catalog takes the commit."""
    write(lake, contract(A), {"k": "1", "a": 7}, {"k": "2"})
    today = contract(Column("b", "number", id="a"), Column("c", "string"))
    real = SqlCatalog.commit_table

    def commit(*args: Any) -> Any:
        if when == "after":
            real(*args)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqlCatalog, "commit_table", commit)
        with pytest.raises(KeyboardInterrupt):
            evolve(lake, today)
    rows = [{"k": "1", "b": 7.0, "c": None}, {"k": "2", "b": None, "c": None}]
    assert viewed(lake, today) == rows  # nobody sees half of it
    evolve(lake, today)
    assert viewed(lake, today) == rows
    assert pending(lake, today).changes == ()


def test_two_at_once(lake: Lake) -> None:
    write(lake, contract(A), {"k": "1", "a": 7}, {"k": "2"})
    today = contract(Column("b", "number", id="a"), Column("c", "string"))
    with ThreadPoolExecutor(4) as pool:
        outcomes = [pool.submit(evolve, Lake(lake.tenant), today) for _ in range(4)]
        for outcome in outcomes:
            outcome.result()
    assert viewed(lake, today) == [{"k": "1", "b": 7.0, "c": None}, {"k": "2", "b": None, "c": None}]


def test_a_commit_in_between_is_looked_at_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    write(lake, contract(A), {"k": "1", "a": 7})
    real, calls = SqlCatalog.commit_table, count()

    def commit(*args: Any) -> Any:
        if next(calls) == 0:
            raise CommitFailedException("somebody was faster")
        return real(*args)

    monkeypatch.setattr(SqlCatalog, "commit_table", commit)
    today = contract(A, Column("c", "string"))
    evolve(lake, today)
    assert viewed(lake, today) == [{"k": "1", "a": 7, "c": None}]


@pytest.mark.parametrize(
    "later",
    [
        contract(replace(A, name="b", id="a"), version="2"),
        contract(Column("a", "number"), version="2"),
        contract(version="2"),
        contract(A, Column("c", "string"), version="2"),
        contract(replace(A, personal=True), version="2"),
    ],
    ids=["renamed", "widened", "retired", "added", "personal"],
)
def test_a_version_that_rows_are_struck_out_of_keeps_the_columns_of_its_time(lake: Lake, later: Contract) -> None:
    """As `forget` strikes them out of what a run was trained on."""
    first = write(lake, contract(A), {"k": "1", "a": 7}, {"k": "2", "a": 8}, {"k": "3"})
    evolve(lake, later)
    write(lake, later, {"k": "4"})
    assert first is not None
    strike(lake, NAME, lambda rows: pc.equal(rows["k"], "1"), ["k"], {first})
    table = lake.table(NAME)
    assert table is not None
    then = lake.read(NAME, snapshot_id=standing(table, first)).sort_by("k")
    assert then.select(["k", "a"]).to_pylist() == [{"k": "2", "a": 8}, {"k": "3", "a": None}]
    assert then["a"].type == pa.int64()
    assert [row["k"] for row in viewed(lake, later)] == ["2", "3", "4"]
    assert lake.table(NAME).schema() == table.schema()  # type: ignore[union-attr]
    assert pending(lake, later).changes == ()


def test_a_number_in_a_column_that_is_gone_is_found_in_a_version_that_has_it(lake: Lake) -> None:
    """Of a column that became personal: versions that are kept still hold it."""
    name = Column("name", "string")
    first = write(lake, contract(name), {"k": "1", "name": "Ana 5512345678"}, {"k": "2", "name": "Eva"})
    evolve(lake, contract(replace(name, personal=True)))
    assert first is not None
    own = [one for one in columns_of(lake.table(NAME)) if not one.startswith("_")]  # type: ignore[arg-type]
    strike(lake, NAME, Traces(["+525512345678"]).rows, own, {first})
    table = lake.table(NAME)
    assert table is not None
    assert lake.read(NAME, snapshot_id=standing(table, first))["name"].to_pylist() == ["Eva"]
