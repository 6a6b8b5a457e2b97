"""A contract that changed is applied by `validate`, or refused before anything is written."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from expectations.contract import load_contracts
from pipelines.core.errors import ContractError
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant
from pipelines.lake.asof import AsOf
from pipelines.lake.catalog import Lake
from pipelines.quality.replay import replay
from pipelines.quality.validate import validate
from tests.pipelines.quality.market import COLUMNS, CONTRACT, visit

DAY = date(2026, 3, 1)
NEXT = date(2026, 3, 2)
LATER = {"came_at": "2026-03-02 10:00:00", "left_at": "2026-03-02 11:00:00", "received_at": "2026-03-02 12:00:00"}
Edit = Callable[[str, str], None]


@pytest.fixture
def edit(tenant: Tenant) -> Edit:
    """Change a line of the contract, and its version."""
    path = tenant.contracts_dir / "visits.yaml"

    def change(old: str, new: str) -> None:
        assert old in CONTRACT
        path.write_text(CONTRACT.replace(old, new).replace("version: 1.0.0", "version: 2.0.0"), encoding="utf-8")

    return change


def write_sql(tenant: Tenant, name: str, text: str) -> Path:
    path = tenant.sql_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def visits(tenant: Tenant, columns: str) -> list[dict[str, Any]]:
    with AsOf(Lake(tenant), load_contracts(tenant.contracts_dir)) as views:
        until = Interval.day(NEXT).end
        return views.query(f"select {columns} from visits order by visit_id", until).to_pylist()


SHOP = "      - {name: shop, logicalType"
THINGS = "      - {name: things, logicalType: integer"


def test_a_version_with_everything_that_is_allowed(tenant: Tenant, bring: Callable[..., Report], edit: Edit) -> None:
    bring([visit(1), visit(2, things="4")])
    edit(THINGS, "      - {name: items, id: things, logicalType: number")
    path = tenant.contracts_dir / "visits.yaml"
    text = path.read_text(encoding="utf-8").replace("      - {name: member, logicalType: boolean}\n", "")
    path.write_text(text + "      - {name: mood, logicalType: string}\n", encoding="utf-8")
    columns = [*(("items" if name == "things" else name) for name in COLUMNS if name != "member"), "mood"]

    notes = bring([visit(3, items="1.5", mood="fine", **LATER)], NEXT, columns=columns).notes

    assert any(
        note.startswith("visits (1.0.0 → 2.0.0): column 'items' is renamed from 'things'") and "'mood' is added" in note
        for note in notes
    )
    assert visits(tenant, "visit_id, items, mood") == [
        {"visit_id": "v1", "items": 3.0, "mood": None},
        {"visit_id": "v2", "items": 4.0, "mood": None},
        {"visit_id": "v3", "items": 1.5, "mood": "fine"},
    ]
    held = Lake(tenant).read("clean.visits", columns=["visit_id", "member"]).to_pylist()
    assert {row["visit_id"]: row["member"] for row in held} == {"v1": True, "v2": True, "v3": None}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "left_at, logicalType: timestamp",
            "left_at, logicalType: date",
            "column 'left_at' changes from timestamp to date",
        ),
        ("name: ticket, logicalType: string", "name: ticket, logicalType: string, required: true", "1 stored rows are"),
        ("name: spent, logicalType: number", "name: spent, primaryKey: true, logicalType: number", "the key changes"),
        (
            "classification: restricted",
            "classification: internal",
            "column 'phone' is no longer classified as personal",
        ),
        ("customProperties: [{property: arrived_at, value: true}]}", "required: true}", "arrived_at changes from"),
    ],
)
def test_what_breaks_rows_is_refused(
    tenant: Tenant, bring: Callable[..., Report], edit: Edit, old: str, new: str, says: str
) -> None:
    bring([visit(1), visit(2, ticket=None)])
    path = tenant.contracts_dir / "visits.yaml"
    edit(old, new)
    if "phone" in says:
        path.write_text(
            path.read_text(encoding="utf-8").replace(", {property: phone, value: true}", ""), encoding="utf-8"
        )
    before = {name: Lake(tenant).snapshot_id(name) for name in ("clean.visits", "quarantine.visits")}
    for step in (lambda: validate(tenant, Interval.day(DAY)), lambda: replay(tenant)):
        with pytest.raises(ContractError, match=rf"visits.yaml \(1.0.0 → 2.0.0\) breaks .*{says}.*nothing was written"):
            step()
    assert before == {name: Lake(tenant).snapshot_id(name) for name in before}


def test_sql_that_still_reads_a_column_is_named(tenant: Tenant, bring: Callable[..., Report], edit: Edit) -> None:
    write_sql(tenant, "features_shopping.sql", "select lead_id, max(shop) as shop from visits group by lead_id")
    other = write_sql(tenant, "labels/again.sql", "nonsense that was wrong before")
    bring([visit(1)])
    edit(SHOP, "      - {name: store, id: shop, logicalType")
    with pytest.raises(ContractError, match=r"column 'store' of visits is renamed from 'shop', and the feature view"):
        validate(tenant, Interval.day(DAY))
    other.unlink()
    write_sql(tenant, "features_shopping.sql", "select lead_id, max(store) as shop from visits group by lead_id")
    replay(tenant)
    assert visits(tenant, "store") == [{"store": "north"}]


def test_a_dry_run_applies_nothing(tenant: Tenant, bring: Callable[..., Report], edit: Edit) -> None:
    bring([visit(1)])
    before = Lake(tenant).table("clean.visits")
    edit("      - {name: member, logicalType: boolean}\n", "      - {name: member, logicalType: boolean}\n"
         "      - {name: mood, logicalType: string}\n")  # fmt: skip
    write_sql(tenant, "mapping.sql", "-- table: visits\nselect *, null::varchar as mood from visits\n")
    report = replay(tenant, dry_run=True)
    after = Lake(tenant).table("clean.visits")
    assert before is not None
    assert after is not None
    assert after.metadata_location == before.metadata_location
    assert report.counts["released"] == 0
