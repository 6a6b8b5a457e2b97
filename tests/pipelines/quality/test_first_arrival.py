"""A file that says nothing of arrival is read anew each day: its rows keep the day on which they first came."""

import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from pipelines.collect.ingest import ingest
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.features.step import features
from pipelines.lake.catalog import Lake
from pipelines.quality.replay import replay
from pipelines.quality.validate import validate
from tests.conftest import MakeTenant
from tests.pipelines.quality.market import write_csv

FIRST = date(2026, 3, 1)
MEMBERS = """
kind: DataContract
apiVersion: v3.2.0
id: members
version: 1.0.0
status: active
schema:
  - name: members
    properties:
      - name: phone
        logicalType: string
        required: true
        primaryKey: true
        primaryKeyPosition: 1
        classification: restricted
        customProperties: [{property: entity, value: lead_id}, {property: phone, value: true}]
      - {name: town, logicalType: string, enum: [{value: north}, {value: south}]}
"""
SHOP: dict[str, Any] = {
    "use_case": "shopping",
    "sources": {"members": {"path": "{home}/in/members.csv"}},
    "run": {"start": f"{FIRST}", "end": f"{FIRST + timedelta(days=20)}", "dates": []},
}
PARAMS: dict[str, Any] = {"quality": {"max_quarantine_share": 1.0}, "tenants": {"shop": SHOP}}
SQL = {
    "features_members.sql": "select lead_id, town from members",
    "labels/conversion.sql": "select lead_id, $as_of as event_time, true as label, $as_of as known_at from members",
}
Row = dict[str, str | None]


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant("shop", PARAMS, {"members.yaml": MEMBERS}, SQL)


def at(day: int) -> datetime:
    return datetime.combine(FIRST, datetime.min.time()) + timedelta(days=day)


def members(**towns: str | None) -> list[Row]:
    """Members a, b, … and their towns."""
    return [{"phone": f"+52551234{ord(name):04d}", "town": town} for name, town in towns.items()]


def read(tenant: Tenant, rows: Sequence[Row], day: int, days: int = 1) -> None:
    """Export the file and read it as the run of some days does."""
    write_csv(tenant.home / "in" / "members.csv", rows, ["phone", "town"])
    interval = Interval(at(day), at(day + days))
    ingest(tenant, interval)
    validate(tenant, interval)


def stored(tenant: Tenant) -> list[tuple[str, str, int]]:
    """Member, town and the day of arrival, sorted."""
    lake = Lake(tenant)
    phones = {row["lead_id"]: row["phone"] for row in lake.read("identity.identities").to_pylist()}
    return sorted(
        (chr(int(phones[row["lead_id"]][-4:])), row["town"] or "", (row["_arrived_at"] - at(0)).days)
        for row in lake.read("clean.members").to_pylist()
    )


def test_rows_read_again_arrive_once(tenant: Tenant) -> None:
    for day in range(3):
        read(tenant, members(a="north", b=None), day)
    assert stored(tenant) == [("a", "north", 1), ("b", "", 1)]


def test_a_new_row_and_a_correction_arrive_when_they_are_read(tenant: Tenant) -> None:
    read(tenant, members(a="north", b="north"), 0)
    read(tenant, members(a="north", b="south", c="south"), 1)
    expected = [("a", "north", 1), ("b", "north", 1), ("b", "south", 2), ("c", "south", 2)]
    assert stored(tenant) == expected
    read(tenant, members(c="south", b="south", a="north"), 2)
    assert stored(tenant) == expected


def test_what_is_taken_back_is_news_again(tenant: Tenant) -> None:
    for day, town in enumerate(("north", "south", "north")):
        read(tenant, members(a=town), day)
    assert stored(tenant) == [("a", "north", 1), ("a", "north", 3), ("a", "south", 2)]


def test_what_is_gone_from_the_file_is_gone(tenant: Tenant) -> None:
    read(tenant, members(a="north", b="north"), 0)
    read(tenant, members(a="north"), 1)
    assert stored(tenant) == [("a", "north", 1)]


def test_the_same_days_read_again_replace_what_they_brought(tenant: Tenant) -> None:
    read(tenant, members(a="north"), 0)
    read(tenant, members(a="south"), 0)
    assert stored(tenant) == [("a", "south", 1)]


def test_an_older_day_makes_nothing_arrive_before_what_it_corrects(tenant: Tenant) -> None:
    read(tenant, members(a="north", b="north"), 5)
    read(tenant, members(a="north", b="south"), 2)
    assert stored(tenant) == [("a", "north", 6), ("b", "south", 6)]


def test_a_replay_dates_nothing_anew(tenant: Tenant) -> None:
    read(tenant, members(a="north", b="west"), 0)
    read(tenant, members(a="north", b="west"), 1)
    contract = tenant.contracts_dir / "members.yaml"
    contract.write_text(contract.read_text().replace("{value: south}", "{value: south}, {value: west}"))
    replay(tenant)
    assert stored(tenant) == [("a", "north", 1), ("b", "west", 2)]
    assert "nothing changed" in " ".join(replay(tenant).notes)


def test_the_first_feature_row_stays(tenant: Tenant) -> None:
    """Read again the next day, the members would all have come that day, and the first midnight known nobody."""
    for day in range(3):
        read(tenant, members(a="north", b="south" if day < 2 else "north"), day)
        report = features(tenant, Interval(at(day), at(day + 1)))
        assert "rows_that_differ" not in report.counts
    rows = Lake(tenant).read("features.members").to_pylist()
    assert sorted(((row["as_of"] - at(0)).days, row["town"]) for row in rows) == [
        (1, "north"),
        (1, "south"),
        (3, "north"),
    ]


def test_each_day_sees_what_was_exported_by_then(tenant: Tenant) -> None:
    """Drawn exports, in which members come and change: as of each midnight the towns are those of that day's export."""
    chance = random.Random(11)
    exports: list[dict[str, str | None]] = []
    for day in range(6):
        changed = {name: chance.choice(["north", "south", None]) for name in "abcdefgh" if chance.random() < 0.4}
        exports.append({**(exports[-1] if exports else {}), **changed})
        read(tenant, members(**exports[day]), day)
    rows = stored(tenant)
    for day, export in enumerate(exports):
        newest = {name: town for _, name, town in sorted((a, n, t) for n, t, a in rows if a <= day + 1)}
        assert newest == {name: town or "" for name, town in export.items()}


def test_what_the_file_lost_stays_in_the_first_midnight(tenant: Tenant) -> None:
    for day, rows in enumerate((members(a="north", b="south"), members(a="south"))):
        read(tenant, rows, day)
        assert "rows_that_differ" not in features(tenant, Interval(at(day), at(day + 1))).counts
    rows = Lake(tenant).read("features.members").to_pylist()
    assert sorted(((row["as_of"] - at(0)).days, row["town"]) for row in rows) == [
        (1, "north"),
        (1, "south"),
        (2, "south"),
    ]
