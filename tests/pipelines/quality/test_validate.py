"""The gate: every row lands once, bad batches publish nothing, and what people see holds no phone."""

import json
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.collect.ingest import ingest
from pipelines.core.errors import BatchRejected, NotReady
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.lake.identities import Identities
from pipelines.quality.docs import index_path
from pipelines.quality.validate import validate
from tests.pipelines.quality.conftest import DAY, Visits
from tests.pipelines.quality.market import COLUMNS, visit, write_csv

GOOD = [visit(number) for number in range(20)]


def table(tenant: Tenant, name: str) -> list[dict[str, Any]]:
    """Rows of a lake table without the wall clock, sorted."""
    lake = Lake(tenant)
    if not lake.exists(name):
        return []
    rows = lake.read(name).drop_columns(["_loaded_at"]).to_pylist()
    return sorted(rows, key=lambda row: (row["_batch_id"], row["_source_row"]))


def test_good_rows_become_clean_in_their_types(tenant: Tenant, bring: Visits) -> None:
    bring([*GOOD, visit(90, came_at="2026-03-01T04:00:00-06:00", phone="+52 55 1234 0001")])
    rows = table(tenant, "clean.visits")
    assert len(rows) == 21
    assert rows[0]["member"] is True
    assert (rows[0]["spent"], rows[0]["things"]) == (12.5, 3)
    assert rows[20]["came_at"] == datetime(2026, 3, 1, 10), "a time with a zone becomes UTC"
    assert rows[20]["lead_id"] == rows[1]["lead_id"], "two ways to write a phone are one lead"
    assert "phone" not in rows[0]
    phones = Identities(Lake(tenant)).phones(pa.array([rows[1]["lead_id"]]))
    assert phones.to_pylist() == ["+525512340001"]


@pytest.mark.parametrize(
    ("change", "rule", "column", "value"),
    [
        ({"phone": "55123"}, "phone", "phone", "55123"),
        ({"phone": None}, "required", "phone", None),
        ({"things": "many"}, "type", "things", "many"),
        ({"things": "3.5"}, "type", "things", "3.5"),
        ({"things": "100"}, "range", "things", "100"),
        ({"spent": "nan"}, "type", "spent", "nan"),
        ({"spent": "-1"}, "range", "spent", "-1.0"),
        ({"shop": "west"}, "allowed", "shop", "west"),
        ({"member": "perhaps"}, "type", "member", "perhaps"),
        ({"came_at": "2026-03-32"}, "type", "came_at", "2026-03-32"),
        ({"came_at": "2026-03-01 12:00:01"}, "future", "came_at, received_at", None),
        ({"received_at": "2027-01-01"}, "future", "received_at, end_of_batch", None),
        ({"left_at": "2026-03-01 09:00:00"}, "left_after_came", "left_at, came_at", None),
    ],
)
def test_bad_row_goes_to_quarantine(
    tenant: Tenant, bring: Visits, change: dict[str, Any], rule: str, column: str, value: str | None
) -> None:
    report = bring([*GOOD, visit(90, **change)])
    assert report.counts == {"rows": 20, "quarantined": 1, "duplicates": 0}
    [row] = table(tenant, "quarantine.visits")
    assert (row["rule"], row["column"], row["_source_row"]) == (rule, column, 21)
    assert value is None or row["value"] == value
    assert json.loads(row["record"])["visit_id"] == "v90"


def test_same_key_and_content_counts_once(tenant: Tenant, bring: Visits) -> None:
    report = bring([*GOOD, visit(3), visit(4, phone="+52 55 1234 0004")])
    assert report.counts == {"rows": 20, "quarantined": 0, "duplicates": 2}
    assert [row["_source_row"] for row in table(tenant, "clean.visits")] == list(range(1, 21)), "the first stays"


def test_same_key_arriving_later_is_a_correction(tenant: Tenant, bring: Visits) -> None:
    bring([*GOOD, visit(3, things="4", ticket="t3b", received_at="2026-03-01 13:00:00")])
    versions = [row["things"] for row in table(tenant, "clean.visits") if row["visit_id"] == "v3"]
    assert versions == [3, 4], "both versions are kept; views show the newest that had arrived"


def test_rule_that_compares_rows_flags_each_of_them(tenant: Tenant, bring: Visits) -> None:
    bring([*GOOD, visit(90, ticket="t3")])
    assert {row["rule"] for row in table(tenant, "quarantine.visits")} == {"one_visit_per_ticket"}
    assert len(table(tenant, "quarantine.visits")) == 2


def test_rows_are_compared_within_their_batch(tenant: Tenant) -> None:
    for day in (DAY, DAY + timedelta(days=1)):
        write_csv(tenant.home / "in" / "visits" / f"{day}.csv", GOOD)
    both = Interval.of_days(DAY, DAY + timedelta(days=2))
    ingest(tenant, both)
    assert validate(tenant, both).counts == {"rows": 40, "quarantined": 0, "duplicates": 0}


def test_run_twice_and_day_by_day_gives_the_same_tables(tenant: Tenant) -> None:
    days = [DAY, DAY + timedelta(days=1)]
    bad = visit(90, things="-1")
    for number, day in enumerate(days):
        stamp = {"came_at": f"{day} 10:00:00", "left_at": None, "received_at": f"{day} 12:00:00"}
        write_csv(
            tenant.home / "in" / "visits" / f"{day}.csv",
            [{**visit(i + 20 * number), **stamp} for i in range(20)] + [{**bad, **stamp}],
        )
    both = Interval.of_days(days[0], days[1] + timedelta(days=1))
    seen = []
    for intervals in ([both], [both], [Interval.day(day) for day in days]):
        for interval in intervals:
            ingest(tenant, interval)
            validate(tenant, interval)
        seen.append((table(tenant, "clean.visits"), table(tenant, "quarantine.visits")))
    assert seen[0] == seen[1] == seen[2]
    assert (len(seen[0][0]), len(seen[0][1])) == (40, 2)


def test_corrected_file_replaces_its_batch(tenant: Tenant, bring: Visits) -> None:
    bring([*GOOD, visit(90, shop="west")])
    bring([*GOOD, visit(90, shop="south")])
    assert len(table(tenant, "clean.visits")) == 21
    assert table(tenant, "quarantine.visits") == []


@pytest.mark.parametrize(
    ("rows", "columns", "says"),
    [
        (GOOD, [name for name in COLUMNS if name != "spent"], r"lacks the column 'spent'"),
        ([{**row, "shpo": "x"} for row in GOOD], [*COLUMNS, "shpo"], r"'shpo'.*did you mean 'shop'"),
        ([{**row, "things": "some"} for row in GOOD], COLUMNS, r"'things' can be read as integer"),
        ([*GOOD, *(visit(100 + i, shop="west") for i in range(6))], COLUMNS, r"6 of 26 rows.*max_quarantine_share 0.2"),
    ],
)
def test_bad_batch_publishes_nothing(
    tenant: Tenant, bring: Visits, rows: list[dict[str, Any]], columns: list[str], says: str
) -> None:
    bring(GOOD)
    before = table(tenant, "clean.visits")
    with pytest.raises(BatchRejected, match=says) as caught:
        bring(rows, columns=columns)
    assert "nothing was published" in str(caught.value)
    assert "visits" in str(caught.value)
    assert table(tenant, "clean.visits") == before
    assert table(tenant, "quarantine.visits") == []
    bring(GOOD)  # a corrected export is taken, whatever the bad one left in raw
    assert len(table(tenant, "clean.visits")) == 20


def test_few_bad_rows_do_not_stop_a_night(bring: Visits) -> None:
    assert bring([visit(1), visit(2, phone="nobody")]).counts["quarantined"] == 1


@pytest.mark.parametrize(("rows", "refused"), [(9, False), (10, True)])
def test_small_day_is_judged_by_itself(tenant: Tenant, rows: int, refused: bool) -> None:
    days = [DAY, DAY + timedelta(days=1)]
    for day, count, bad in ((days[0], 40, 0), (days[1], rows, 3)):
        stamp = {"came_at": f"{day} 10:00:00", "left_at": None, "received_at": f"{day} 12:00:00"}
        visits = [{**visit(i), **stamp, **({"shop": "west"} if i < bad else {})} for i in range(count)]
        write_csv(tenant.home / "in" / "visits" / f"{day}.csv", visits)
    both = Interval.of_days(days[0], days[1] + timedelta(days=1))
    ingest(tenant, both)
    if refused:
        with pytest.raises(BatchRejected, match=f"3 of 10 rows of batch {days[1]}"):
            validate(tenant, both)
    else:
        assert validate(tenant, both).counts["quarantined"] == 3


def test_day_without_a_file_removes_what_was_there(tenant: Tenant, bring: Visits) -> None:
    bring(GOOD)
    (tenant.home / "in" / "visits" / f"{DAY}.csv").rename(tenant.home / "in" / "visits" / "2026-03-09.csv")
    ingest(tenant, Interval.day(DAY))
    validate(tenant, Interval.day(DAY))
    assert table(tenant, "clean.visits") == []


def test_validate_before_ingest_is_said(tenant: Tenant) -> None:
    with pytest.raises(NotReady, match="leadwise ingest"):
        validate(tenant, Interval.day(DAY))


def test_people_never_see_a_phone(tenant: Tenant, bring: Visits) -> None:
    strayed = "+52 55 9999 8888"
    numbers = visit(92, things="525512345600"), visit(93, spent="-525512345600")
    report = bring([*GOOD, visit(90, phone="+52551234777"), visit(91, shop=strayed), *numbers])
    pages = [*tenant.docs_dir.rglob("*.html"), *tenant.docs_dir.rglob("*.json")]
    assert index_path(tenant) in pages
    texts = "".join(page.read_text(encoding="utf-8") for page in pages) + json.dumps(report.to_dict())
    assert "left_after_came" in texts or "One leaves after one came" in texts
    for phone in ("+52551234777", strayed, "+525512340001", "525512345600"):
        assert phone not in texts


def test_docs_tell_of_a_refused_batch_and_forget_old_ones(tenant: Tenant, bring: Visits) -> None:
    for _ in range(6):
        bring(GOOD)
    with pytest.raises(BatchRejected):
        bring([visit(i, shop="west") for i in range(20)])
    assert len(list(tenant.docs_dir.glob("validations/visits/**/*.html"))) == 5
    assert "nothing was published" in index_path(tenant).read_text(encoding="utf-8")


CHANGES = st.sampled_from(
    [{}, {}, {}, {"things": "101"}, {"phone": "12"}, {"spent": None}, {"shop": "south"}, {"came_at": "yesterday"}]
)


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 9), CHANGES), min_size=1, max_size=25))
def test_every_row_lands_exactly_once(tenant: Tenant, bring: Visits, rows: list[tuple[int, dict[str, Any]]]) -> None:
    day = date(2026, 3, 5)
    stamp = {"came_at": f"{day} 10:00:00", "left_at": None, "ticket": None, "received_at": f"{day} 12:00:00"}
    given_rows = [{**visit(number), **stamp, **change} for number, change in rows]
    try:
        report = bring(given_rows, day)
    except BatchRejected:
        return
    places = [
        row["_source_row"]
        for name in ("clean.visits", "quarantine.visits")
        for row in table(tenant, name)
        if row["_batch_id"] == day.isoformat()
    ]
    assert len(places) == len(set(places)), "no row stands twice"
    assert len(places) + int(report.counts["duplicates"]) == len(rows), "no row is lost"
    distinct = {json.dumps(row, sort_keys=True) for row in given_rows}
    assert len(places) == len(distinct), "only repetitions are left out"


def test_results_and_pages_that_a_killed_run_cut_short_are_dropped(tenant: Tenant, bring: Visits) -> None:
    bring(GOOD)
    [result], [page] = (list(tenant.docs_dir.glob(f"**/visits/**/*.{kind}")) for kind in ("json", "html"))
    for path in (result, page):
        torn = path.with_name(f"torn{path.suffix}")
        torn.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    bring(GOOD)
    assert not list(tenant.docs_dir.rglob("torn.*"))
    assert index_path(tenant).read_text(encoding="utf-8").count("validations/visits/") == 2
