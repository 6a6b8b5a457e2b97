"""Clocks that go wrong, times with and without a zone beside each other, and a source that changes under the gate."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.collect.ingest import ingest
from pipelines.core.errors import BatchRejected
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.quality.mapped import Mapped
from pipelines.quality.validate import validate
from tests.conftest import MakeTenant
from tests.pipelines.quality.conftest import DAY, Visits, make_visiting
from tests.pipelines.quality.market import PARAMS, visit, write_csv

GOOD = [visit(number) for number in range(20)]
INDIA, MEXICO = timezone(timedelta(hours=5, minutes=30)), ZoneInfo("America/Mexico_City")

FORMS: dict[str, Callable[[datetime], str]] = {
    "naive": lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S"),
    "naive with T": lambda moment: moment.isoformat(),
    "Z": lambda moment: f"{moment.isoformat()}Z",
    "fraction and Z": lambda moment: f"{moment.isoformat()}.000Z",
    "India": lambda moment: moment.replace(tzinfo=UTC).astimezone(INDIA).isoformat(),
    "Mexico": lambda moment: moment.replace(tzinfo=UTC).astimezone(MEXICO).isoformat(sep=" "),
    "short offset": lambda moment: (moment + timedelta(hours=2)).strftime("%Y-%m-%d %H:%M:%S+02"),
}


def came_at(tenant: Tenant) -> dict[str, datetime]:
    rows = Lake(tenant).read("clean.visits", columns=["visit_id", "came_at"]).to_pylist()
    return {row["visit_id"]: row["came_at"] for row in rows}


def rules(tenant: Tenant) -> dict[tuple[str, str], int]:
    rows = Lake(tenant).read("quarantine.visits").to_pylist() if Lake(tenant).exists("quarantine.visits") else []
    found = [(row["rule"], row["column"]) for row in rows]
    return {one: found.count(one) for one in found}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=st.lists(st.tuples(st.integers(0, 11 * 3600), st.sampled_from(sorted(FORMS))), min_size=1, max_size=20))
def test_one_column_may_mix_times_with_and_without_a_zone(
    tenant: Tenant, bring: Visits, given: list[tuple[int, str]]
) -> None:
    """Python's own arithmetic is the oracle: a time without a zone is UTC."""
    moments = {f"v{number}": datetime(2026, 3, 1) + timedelta(seconds=after) for number, (after, _) in enumerate(given)}
    rows = [
        visit(number, came_at=FORMS[form](moments[f"v{number}"]), left_at=None)
        for number, (_, form) in enumerate(given)
    ]
    bring(rows)
    assert came_at(tenant) == moments
    assert rules(tenant) == {}


def test_one_instant_written_in_two_ways_is_one_row(tenant: Tenant, bring: Visits) -> None:
    again = visit(3, came_at="2026-03-01T04:00:00-06:00", received_at="2026-03-01T12:00:00Z")
    assert bring([*GOOD, again]).counts == {"rows": 20, "quarantined": 0, "duplicates": 1}


def test_typed_files_with_and_without_a_zone_meet_in_utc(
    make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = deepcopy(PARAMS)
    params["tenants"]["demo"]["sources"]["visits"]["path"] = "{home}/in/{date}/*.parquet"
    tenant = make_visiting(make_tenant, monkeypatch, params)
    kinds = [
        pa.timestamp("us"),
        pa.timestamp("ns"),
        pa.timestamp("ms", "UTC"),
        pa.timestamp("us", "America/Mexico_City"),
    ]
    moment = datetime(2026, 3, 1, 10)
    for number, kind in enumerate(kinds):
        row = visit(number, came_at=moment, left_at=None, received_at=moment, spent=1.0, things=1, member=True)
        schema = pa.schema(
            [(name, pa.infer_type([value]) if value is not None else pa.null()) for name, value in row.items()]
        )
        table = pa.Table.from_pylist([row], schema)
        for name in ("came_at", "received_at"):
            place = table.column_names.index(name)
            table = table.set_column(place, name, table[name].cast(pa.timestamp(kind.unit)).cast(kind))
        path = tenant.home / "in" / f"{DAY}" / f"{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
    ingest(tenant, Interval.day(DAY))
    validate(tenant, Interval.day(DAY))
    assert came_at(tenant) == {f"v{number}": moment for number in range(len(kinds))}


def test_a_clock_that_is_wrong_for_some_rows_sends_them_to_quarantine(tenant: Tenant, bring: Visits) -> None:
    """An event after its own arrival, and an arrival beyond the days of the batch, would let others see the future."""
    skewed = [visit(50, came_at="2026-03-01 12:00:02", left_at=None), visit(51, received_at="2026-03-09 00:00:00")]
    assert bring([*GOOD, *skewed]).counts == {"rows": 20, "quarantined": 2, "duplicates": 0}
    assert rules(tenant) == {("future", "came_at, received_at"): 1, ("future", "received_at, end_of_batch"): 1}
    mended = [visit(50, came_at="2026-03-01 11:59:58", left_at=None), visit(51)]
    assert bring([*GOOD, *mended]).counts == {"rows": 22, "quarantined": 0, "duplicates": 0}


def test_a_clock_that_is_wrong_for_all_rows_refuses_the_batch_in_one_sentence(bring: Visits) -> None:
    ahead = [visit(number, came_at="2026-03-01 18:00:00", left_at=None) for number in range(20)]
    with pytest.raises(BatchRejected, match=r"20 of 20 rows .* by rule 'future' on 'came_at, received_at'"):
        bring(ahead)


def test_what_is_ingested_while_the_gate_is_at_work_waits_for_the_next_run(
    tenant: Tenant, bring: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate reads raw twice: first it looks for repetitions. Both times it sees the same rows."""
    repeated, file = Mapped.repeated, tenant.home / "in" / "visits" / f"{DAY}.csv"

    def interrupted(self: Mapped, *args: object) -> object:
        found = repeated(self, *args)  # type: ignore[arg-type]
        write_csv(file, [visit(1, shop="south"), visit(1, shop="south")])
        ingest(tenant, Interval.day(DAY))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Mapped, "repeated", interrupted)
        assert bring(GOOD).counts == {"rows": 20, "quarantined": 0, "duplicates": 0}
    assert validate(tenant, Interval.day(DAY)).counts == {"rows": 1, "quarantined": 0, "duplicates": 1}
