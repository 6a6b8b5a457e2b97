"""The simulator notes what it spoilt: the gate finds exactly that."""

from collections import Counter

import pyarrow.parquet as pq

from pipelines.collect.ingest import ingest
from pipelines.collect.simulator import simulate
from pipelines.lake.catalog import Lake
from pipelines.quality.validate import validate
from tests.conftest import MakeTenant


def test_quarantine_holds_what_was_spoilt_and_nothing_else(make_tenant: MakeTenant) -> None:
    run = {"start": "2026-01-01", "end": "2026-01-31", "dates": []}
    tenant = make_tenant(params={"tenants": {"demo": {"run": run, "simulate": {"leads": 800, "days": 30}}}})
    simulate(tenant)
    ingest(tenant, tenant.whole_run)
    validate(tenant, tenant.whole_run)
    spoilt = pq.read_table(tenant.source_dir / "_truth" / "dirt.parquet").to_pylist()
    wanted = Counter(row["table"] for row in spoilt if row["received_at"] < tenant.whole_run.end)
    lake = Lake(tenant)
    found = Counter({name: lake.count(f"quarantine.{name}") for name in lake.names("quarantine")})
    assert found == wanted
    assert sum(wanted.values()) > 30
