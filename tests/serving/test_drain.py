"""The endpoint ends: what was asked is answered, and what was served is recorded."""

import json
import signal
import threading
import time
import urllib.request
from typing import Any

import pytest

from pipelines.core.tenant import Tenant
from pipelines.deliver.table import TABLE
from pipelines.lake.catalog import Lake
from serving import collect
from tests.serving.live import started


@pytest.mark.slow
def test_sigterm_drains_and_what_was_served_is_recorded(demo: Tenant) -> None:
    rows = Lake(demo).read(TABLE, columns=["entity_id"])["entity_id"].to_pylist()
    leads = [{"lead_id": rows[place % len(rows)]} for place in range(1000)]
    body = json.dumps({"leads": leads, "reasons": 20}).encode()
    told: list[Any] = []

    def ask(port: int) -> None:
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/score", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            told.append((answer.headers["x-request-id"], json.load(answer)["scores"]))

    with started(signal.SIGTERM) as server:
        threads = [threading.Thread(target=ask, args=(server.port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.03)
        assert len(told) < 4  # they are under way when it is told to end
    for thread in threads:
        thread.join()

    assert [len(scores) for _, scores in told] == [1000] * 4
    table = Lake(demo).read(collect.TABLE).to_pylist()
    for number, scores in told:
        served = sorted((row for row in table if row["request_id"] == number), key=lambda row: row["position"])
        assert [row["entity_id"] for row in served] == [one["lead_id"] for one in scores]
        assert [row["prediction"] for row in served] == [one["probability"] for one in scores]
        assert [row["tier"] for row in served] == [one["tier"] for one in scores]
    assert not list(collect.folder_of(demo).iterdir())
