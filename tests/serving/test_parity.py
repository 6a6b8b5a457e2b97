"""Ten thousand leads over HTTP: what the endpoint says is what the night's batch said."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.collect.ingest import ingest
from pipelines.collect.simulator import simulate
from pipelines.core.tenant import Tenant
from pipelines.deliver.score import score
from pipelines.deliver.table import TABLE, of_date
from pipelines.features.step import features
from pipelines.lake.catalog import Lake
from pipelines.promotion.promote import promote
from pipelines.quality.validate import validate
from pipelines.train.step import train
from serving.client import Client
from tests.conftest import MakeTenant
from tests.gates import EASY
from tests.serving.live import started


@pytest.fixture
def market(make_tenant: MakeTenant) -> Tenant:
    """A market of fifteen thousand leads, scored."""
    few = {"num_boost_round": 60}
    tenant = make_tenant(
        params={
            "train": {"lightgbm": few, "xgboost": few},
            "promotion": {"gate": EASY},
            "tenants": {
                "demo": {
                    "run": {"start": "2026-01-01", "end": "2026-02-05", "dates": []},
                    "simulate": {"leads": 15_000, "days": 35},
                }
            },
        }
    )
    simulate(tenant)
    for step in (ingest, validate, features, train, promote, score):
        step(tenant, tenant.whole_run)
    return tenant


@pytest.mark.slow
def test_online_equals_batch_for_ten_thousand_leads(market: Tenant, tmp_path: Path) -> None:
    rows = Lake(market).read(
        TABLE, columns=["entity_id", "probability", "tier"], where=of_date(market.whole_run.label, "conversion")
    )
    names = rows["entity_id"].to_pylist()
    assert len(names) >= 10_000
    with started() as server, Client(f"http://127.0.0.1:{server.port}", timeout=30) as client:
        found = [
            one
            for start in range(0, len(names), 1000)
            for one in client.score(names[start : start + 1000], event_time=market.whole_run.as_of)
        ]
    assert [one.id for one in found] == names
    differences = np.abs(np.array([one.probability for one in found]) - rows["probability"].to_numpy())
    assert differences.max() <= 1e-6
    assert [one.tier for one in found] == rows["tier"].to_pylist()
    assert len({one.probability for one in found}) > 1000
