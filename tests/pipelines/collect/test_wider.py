"""A column of a typed source that gets wider: rows read before stay as they were, and none is cut to fit."""

from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.collect.ingest import ingest
from pipelines.core.errors import LeadwiseError
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from tests.pipelines.collect.conftest import DAY, MakeSource

DAILY, GROWS = {"path": "{home}/in/{date}.parquet"}, {"path": "{home}/in/*.parquet", "grows": True, "settle_seconds": 0}


def bring(tenant: Tenant, number: int, values: list[Any], kind: pa.DataType) -> Report:
    """Read a file with these values, of day `number`."""
    day = DAY + timedelta(days=number)
    path = tenant.home / "in" / f"{day}.parquet"
    path.parent.mkdir(exist_ok=True)
    places = [f"{number}-{place}" for place in range(len(values))]
    pq.write_table(pa.table({"place": places, "n": pa.array(values, kind)}), path)
    return ingest(tenant, Interval.day(day))


def values(tenant: Tenant) -> list[Any]:
    return Lake(tenant).read("raw.market", columns=["place", "n"]).sort_by("place")["n"].to_pylist()


@pytest.mark.parametrize("source", [DAILY, GROWS], ids=["daily", "grows"])
def test_whole_numbers_become_numbers(make_source: MakeSource, source: dict[str, Any]) -> None:
    tenant = make_source(**source)
    bring(tenant, 0, [1, None, 2**53], pa.int64())
    report = bring(tenant, 1, [0.5, 7.0], pa.float64())
    assert values(tenant) == [1.0, None, float(2**53), 0.5, 7.0]
    assert ["holds numbers now" in note for note in report.notes].count(True) == 1
    assert bring(tenant, 2, [3], pa.int64()).counts["market"] == 1
    assert values(tenant)[-1] == 3.0


def test_floats_that_are_whole_stay_whole_numbers(make_source: MakeSource) -> None:
    """As pandas writes whole numbers with a gap."""
    tenant = make_source(**DAILY)
    bring(tenant, 0, [1], pa.int64())
    assert bring(tenant, 1, [2.0, None], pa.float64()).notes == []
    assert [(value, type(value)) for value in values(tenant)] == [(1, int), (2, int), (None, type(None))]


def test_days_become_times_and_lose_no_hour(make_source: MakeSource) -> None:
    tenant = make_source(**DAILY)
    bring(tenant, 0, [date(2026, 1, 1)], pa.date32())
    bring(tenant, 1, [datetime(2026, 1, 2)], pa.timestamp("us"))
    assert values(tenant) == [date(2026, 1, 1), date(2026, 1, 2)]
    bring(tenant, 2, [datetime(2026, 1, 3, 17, 30)], pa.timestamp("us"))
    assert values(tenant) == [datetime(2026, 1, 1), datetime(2026, 1, 2), datetime(2026, 1, 3, 17, 30)]


def test_digits_are_not_lost(make_source: MakeSource) -> None:
    tenant = make_source(**DAILY)
    bring(tenant, 0, [2**53 + 1], pa.int64())
    with pytest.raises(LeadwiseError, match=r"column 'n' of table raw\.market can't be widened to double"):
        bring(tenant, 1, [0.5], pa.float64())
    assert values(tenant) == [2**53 + 1]


def test_a_snapshot_keeps_the_type_of_its_time(make_source: MakeSource) -> None:
    tenant = make_source(**DAILY)
    bring(tenant, 0, [1], pa.int64())
    before = Lake(tenant).snapshot_id("raw.market")
    bring(tenant, 1, [0.5], pa.float64())
    assert Lake(tenant).read("raw.market", snapshot_id=before)["n"].to_pylist() == [1]
