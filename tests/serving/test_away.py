"""The online store goes away and comes back while the endpoint is asked all the time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.core.tenant import Tenant
from pipelines.deliver.table import TABLE
from pipelines.lake.catalog import Lake
from tests.serving.live import asking, started, until
from tests.serving.stores import Store, redis_store, sqlite_store


@pytest.fixture(params=["sqlite", "redis"])
def store(
    request: pytest.FixtureRequest, demo: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    kind = sqlite_store(demo) if request.param == "sqlite" else redis_store(demo, tmp_path, monkeypatch)
    with kind as found:
        yield found


@pytest.mark.slow
def test_503_meanwhile_and_back_by_itself(demo: Tenant, store: Store) -> None:
    [batch] = Lake(demo).read(TABLE, columns=["entity_id", "probability"]).slice(0, 1).to_pylist()
    moment = demo.whole_run.as_of.isoformat()
    lead = {"lead_id": batch["entity_id"], "context": {"event_time": moment}}
    with started() as server, asking(server.port, [lead]) as told:

        def only(status: int) -> bool:
            return len(told) > 50 and {one for one, _ in told[-50:]} == {status}

        for _ in range(2):
            until(lambda: only(200))
            store.away()
            until(lambda: only(503))
            store.back()
        until(lambda: only(200))
        errors = [one for one in server.said() if one.get("event") == "the online store does not answer"]
    assert {status for status, _ in told} == {200, 503}
    scores = [body["scores"][0]["probability"] for status, body in told if status == 200]
    assert scores == pytest.approx([batch["probability"]] * len(scores), abs=1e-9)
    assert {one["request_id"] for one in errors} <= {body["request_id"] for status, body in told if status == 503}
    assert errors
    assert batch["entity_id"] not in str(errors)
