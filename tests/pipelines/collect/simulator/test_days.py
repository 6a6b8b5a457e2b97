"""A market that lives: its days are exported one by one, each the same whoever asks and however often."""

from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.collect.simulator import simulate
from pipelines.collect.simulator.days import Calendar, calendar, market
from pipelines.collect.simulator.tables import KEYS
from pipelines.core.errors import LeadwiseError
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from tests.conftest import MakeTenant

START, END = date(2026, 1, 1), date(2026, 1, 11)
MARKET = {"leads": 200, "days": 10, "ahead_days": 20}


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    made = make_tenant(params={"tenants": {"demo": {"simulate": MARKET}}})
    simulate(made)
    return made


def exported(tenant: Tenant) -> dict[str, pa.Table]:
    """Every table of the export, whole."""
    found = {name: sorted((tenant.source_dir / name).glob("*.parquet")) for name in KEYS}
    return {name: pa.concat_tables(map(pq.read_table, paths)) for name, paths in found.items() if paths}


def test_days_opened_one_by_one_are_those_of_a_market_drawn_at_once(tenant: Tenant, make_tenant: MakeTenant) -> None:
    for n in range(20):
        market(tenant, Interval.day(END + timedelta(days=n)))
    piecemeal = exported(tenant)
    at_once = make_tenant(params={"tenants": {"demo": {"simulate": {**MARKET, "days": 30, "ahead_days": 0}}}})
    simulate(at_once)
    whole = exported(at_once)
    assert piecemeal.keys() == whole.keys()
    assert all(piecemeal[name].equals(whole[name]) for name in whole)


def test_a_day_opened_twice_is_the_same_file(tenant: Tenant) -> None:
    first = market(tenant, Interval.day(END)).counts
    before = exported(tenant)
    assert market(tenant, Interval.day(END)).counts == first
    assert sum(map(int, first.values())) > 0
    assert exported(tenant) == before
    assert not list(tenant.source_dir.rglob("*.fresh"))


def test_days_of_the_history_stay_as_they_are(tenant: Tenant) -> None:
    before = exported(tenant)
    report = market(tenant, Interval.of_days(START, END))
    assert report.counts == {}
    assert exported(tenant) == before


def test_a_day_that_nobody_drew(tenant: Tenant) -> None:
    with pytest.raises(LeadwiseError, match=r"drawn up to 2026-01-31 \(excluded\), and 2026-01-31 lies beyond"):
        market(tenant, Interval.day(date(2026, 1, 31)))


def test_no_market(make_tenant: MakeTenant) -> None:
    made = make_tenant()
    assert calendar(made) is None
    assert market(made, Interval.day(END)).counts == {}


def test_calendar(tenant: Tenant) -> None:
    assert calendar(tenant) == Calendar(START, END, date(2026, 1, 31))
