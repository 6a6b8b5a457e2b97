"""Replay: after a rule was mended the tables are those of a run that had it from the start."""

import json
from copy import deepcopy
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.collect.ingest import ingest
from pipelines.core.errors import BatchRejected, ConfigError, NotReady
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.lake.identities import Identities
from pipelines.quality.replay import replay
from pipelines.quality.validate import validate
from tests.conftest import MakeTenant
from tests.pipelines.quality.conftest import make_visiting
from tests.pipelines.quality.market import COLUMNS, CONTRACT, PARAMS, visit, write_csv

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(4)]
SPAN = Interval.of_days(DAYS[0], DAYS[-1] + timedelta(days=1))

SHOPS = "enum: [{value: north}, {value: south}]"
MORE_SHOPS = "enum: [{value: north}, {value: south}, {value: west}]"
THINGS = "{minimum: 0, maximum: 99}"
FEWER_THINGS = "{minimum: 0, maximum: 3}"


def day_rows(day: date) -> list[dict[str, Any]]:
    """Twenty good rows, and three bad ones: an unknown shop, the same with a bad phone, too many things."""
    number = (day - FIRST).days * 100
    moved = {
        name: f"{day} {hour}:00:00" for name, hour in (("came_at", "10"), ("left_at", "11"), ("received_at", "12"))
    }
    rows = [visit(number + n, **moved) for n in range(20)]
    rows.append(visit(number + 50, shop="west", **moved))
    rows.append(visit(number + 51, shop="west", phone="123", **moved))
    rows.append(visit(number + 52, things="200", **moved))
    rows[4] = visit(number + 4, things="4", **moved)
    return rows


def mend(tenant: Tenant, *changes: tuple[str, str]) -> None:
    """Write the contract with some texts replaced."""
    text = CONTRACT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tenant.contracts_dir / "visits.yaml").write_text(text, encoding="utf-8")


def collect(tenant: Tenant, bad_day: date | None = None) -> None:
    for day in DAYS:
        rows = [visit(n, shop="west") for n in range(900, 930)] if day == bad_day else day_rows(day)
        write_csv(tenant.home / "in" / "visits" / f"{day}.csv", rows)
    ingest(tenant, SPAN)


def tables(tenant: Tenant) -> dict[str, list[dict[str, Any]]]:
    """Clean and quarantine without the wall clock, with phones in the place of their random ids."""
    lake = Lake(tenant)
    found = {}
    for name in ("clean.visits", "quarantine.visits"):
        rows = lake.read(name).drop_columns(["_loaded_at"]).to_pylist() if lake.exists(name) else []
        for row in rows:
            row["_source_file"] = Path(row["_source_file"]).name  # the lakes that are compared lie in two folders
            if "lead_id" in row:
                row["lead_id"] = Identities(lake).phones(pa.array([row["lead_id"]]))[0].as_py()
                assert row["lead_id"], "a published lead is one that can be found again"
        found[name] = sorted(rows, key=lambda row: (row["_batch_id"], row["_source_row"]))
    return found


@pytest.fixture
def tenant(make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    """A tenant with four validated days."""
    made = make_visiting(make_tenant, monkeypatch, PARAMS)
    collect(made)
    validate(made, SPAN)
    return made


def fresh(
    tenant: Tenant, home: Path, monkeypatch: pytest.MonkeyPatch, bad_day: date | None = None, daily: bool = False
) -> Tenant:
    """The oracle: the same files through today's contract from the start, in a lake of its own."""
    monkeypatch.setenv("LEADWISE_VAR", str(home))
    other = Tenant.load(tenant.name)
    collect(other, bad_day=bad_day)
    for span in [Interval.day(day) for day in DAYS] if daily else [SPAN]:
        validate(other, span)
    return other


def by_rule(report: Report) -> dict[str, tuple[int, int, int, int]]:
    names = ("before", "still refused", "released", "newly refused")
    return {row["rule"]: tuple(row[name] for name in names) for row in report.details}


def test_replay_is_the_run_that_had_the_rule_from_the_start(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mend(tenant, (SHOPS, MORE_SHOPS), (THINGS, FEWER_THINGS))
    report = replay(tenant)
    told = by_rule(report)
    assert told["allowed"] == (4, 0, 4, 0)
    assert told["phone"] == (4, 4, 0, 0)
    assert told["range"] == (4, 4, 0, 4), "a rule that was made stricter is told too"
    assert told["in quarantine"] == (12, 8, 4, 4)
    [total] = [row for row in report.details if row["rule"] == "in quarantine"]
    assert (total["share before"], total["share now"]) == (round(12 / 92, 6), round(12 / 92, 6))
    replayed = tables(tenant)
    assert len(replayed["clean.visits"]) == 80
    assert replayed == tables(fresh(tenant, tmp_path / "fresh", monkeypatch))
    again = Lake(tenant).snapshot_id("clean.visits")
    assert "nothing changed" in " ".join(replay(tenant).notes)
    assert Lake(tenant).snapshot_id("clean.visits") == again, "what did not change is not written"


def test_nothing_mended_nothing_changed(tenant: Tenant) -> None:
    before, snapshot = tables(tenant), Lake(tenant).snapshot_id("quarantine.visits")
    report = replay(tenant)
    assert report.counts["released"] == report.counts["newly_refused"] == 0
    assert report.counts["still_refused"] == 12
    assert tables(tenant) == before
    assert Lake(tenant).snapshot_id("quarantine.visits") == snapshot


def test_dry_run_tells_the_same_and_changes_nothing(tenant: Tenant) -> None:
    mend(tenant, (SHOPS, MORE_SHOPS))
    before = {name: Lake(tenant).snapshot_id(name) for name in ("clean.visits", "quarantine.visits")}
    identities = Lake(tenant).count("identity.identities")
    pages = sorted(tenant.docs_dir.rglob("*"))
    tried = replay(tenant, dry_run=True)
    assert {name: Lake(tenant).snapshot_id(name) for name in before} == before
    assert Lake(tenant).count("identity.identities") == identities
    assert sorted(tenant.docs_dir.rglob("*")) == pages
    done = replay(tenant)
    assert tried.details == done.details
    assert tried.counts == done.counts
    assert Lake(tenant).count("identity.identities") == identities + 4, "leads of released rows alone are new"


def test_a_rule_narrows_to_the_batches_that_it_refused(tenant: Tenant) -> None:
    mend(tenant, (SHOPS, MORE_SHOPS))
    replay(tenant, Interval.of_days(DAYS[1], DAYS[2]))
    left = {row["_batch_id"] for row in tables(tenant)["quarantine.visits"] if row["rule"] == "allowed"}
    assert left == {str(day) for day in (DAYS[0], DAYS[2], DAYS[3])}
    report = replay(tenant, rule="allowed", table="visits")
    assert report.counts["released"] == 3
    assert "allowed" not in {row["rule"] for row in tables(tenant)["quarantine.visits"]}
    assert "did you mean 'range'" in " ".join(replay(tenant, rule="rang").notes)


def test_a_day_refused_as_a_whole_is_replayed(
    make_tenant: MakeTenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = make_visiting(make_tenant, monkeypatch, PARAMS)
    collect(tenant, bad_day=DAYS[2])
    for day in DAYS:
        if day == DAYS[2]:
            with pytest.raises(BatchRejected):
                validate(tenant, Interval.day(day))
        else:
            validate(tenant, Interval.day(day))
    still = replay(tenant)
    assert still.counts["batches_refused"] == 1
    assert any(str(DAYS[2]) in note and "still refused" in note for note in still.notes)
    assert len(tables(tenant)["clean.visits"]) == 60, "the others are not held up, and nothing of it is published"
    mend(tenant, (SHOPS, MORE_SHOPS))
    narrow = replay(tenant, rule="allowed")
    assert "1 days" in " ".join(narrow.notes)
    assert str(DAYS[2]) not in {row["_batch_id"] for row in tables(tenant)["clean.visits"]}
    assert replay(tenant).counts["batches_refused"] == 0
    assert tables(tenant) == tables(fresh(tenant, tmp_path / "fresh", monkeypatch, bad_day=DAYS[2]))


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize(("writes", "rule"), [(0, None), (1, "allowed"), (2, None), (2, "allowed")])
def test_killed_between_any_two_writes_and_run_again(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int, rule: str | None
) -> None:
    mend(tenant, (SHOPS, MORE_SHOPS), (THINGS, FEWER_THINGS))
    write = Lake.write
    done = 0

    def deadly(*args: Any, **options: Any) -> Any:
        nonlocal done
        if done == writes:
            raise Killed
        done += 1
        return write(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "write", deadly)
        with pytest.raises(Killed):  # before identities, clean, or quarantine are written
            replay(tenant, rule=rule)
    replay(tenant, rule=rule)
    assert tables(tenant) == tables(fresh(tenant, tmp_path / "fresh", monkeypatch))


def test_a_mended_mapping_is_replayed(tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tenant.sql_dir / "mapping.sql").write_text(
        "-- table: visits\nSELECT * REPLACE (CASE shop WHEN 'west' THEN 'south' ELSE shop END AS shop) FROM visits\n",
        encoding="utf-8",
    )
    assert replay(tenant).counts["released"] == 4
    assert tables(tenant) == tables(fresh(tenant, tmp_path / "fresh", monkeypatch))


GROUPED = f"""-- table: visits
SELECT visit_id, {", ".join(f"any_value({name}) AS {name}" for name in COLUMNS[1:])}
FROM visits GROUP BY visit_id ORDER BY visit_id
"""


def test_rows_dated_by_their_run_keep_their_dates(
    make_tenant: MakeTenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of groups arrive when the run of their day ends, here after the last day of the tenant's own run."""
    params = deepcopy(PARAMS)
    params["tenants"]["demo"]["run"] = {"start": "2026-01-01", "end": str(DAYS[1]), "dates": []}
    tenant = make_visiting(make_tenant, monkeypatch, params)
    (tenant.sql_dir / "mapping.sql").write_text(GROUPED, encoding="utf-8")
    late = (", customProperties: [{property: arrived_at, value: true}]", "")
    mend(tenant, late)
    collect(tenant)
    for day in DAYS:
        validate(tenant, Interval.day(day))
    arrived = {row["_arrived_at"].date() for row in tables(tenant)["clean.visits"]}
    assert len(arrived) == len(DAYS), "each day is dated by its own run"
    mend(tenant, late, (SHOPS, MORE_SHOPS))
    assert replay(tenant).counts["released"] == 4
    assert tables(tenant) == tables(fresh(tenant, tmp_path / "fresh", monkeypatch, daily=True))


def test_reports_hold_nothing_personal(tenant: Tenant) -> None:
    mend(tenant, (SHOPS, MORE_SHOPS))
    told = json.dumps(replay(tenant).to_dict(), default=str)
    for phone in ("5512340050", "5512340051", '"123"'):
        assert phone not in told


def test_bad_requests_are_one_sentence(make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = make_visiting(make_tenant, monkeypatch, PARAMS)
    with pytest.raises(NotReady, match="leadwise ingest"):
        replay(empty)
    with pytest.raises(ConfigError, match="did you mean 'visits'"):
        replay(empty, table="visit")
