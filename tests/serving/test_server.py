"""The endpoint as a process of its own, over HTTP."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from pipelines.core.errors import ConfigError
from pipelines.core.settings import ROOT
from pipelines.core.tenant import Tenant
from pipelines.deliver.table import TABLE, of_date
from pipelines.lake.catalog import Lake
from serving.server import serve
from tests.conftest import MakeTenant

START = """
import sys
from pipelines.core.tenant import Tenant
from serving.server import serve
serve(Tenant.load("demo"), port=int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def port(demo: Tenant) -> Iterator[int]:
    """The port of a server of ours; it has to end well when interrupted."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-c", START, str(number)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        _wait(process, number)
        yield number
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "serving 'demo' on http://127.0.0.1:" in said
    assert "Traceback" not in said


def _wait(process: "subprocess.Popen[str]", port: int) -> None:
    """Until the server answers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server did not start")


def _post(port: int, path: str, body: object) -> dict[str, list[dict[str, float]]]:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        found: dict[str, list[dict[str, float]]] = json.load(answer)
        return found


def _by_stock_clients(tenant: Tenant, leads: list[dict[str, Any]]) -> list[float]:
    """The same scores by Feast and MLflow as they come: features of a service through the loaded model."""
    import mlflow
    import pandas as pd
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(tenant.feast_dir))
    moment = datetime.fromisoformat(leads[0]["context"]["event_time"])
    asked = [{"lead_id": lead["lead_id"], "event_time": moment} for lead in leads]
    found = store.get_online_features(features=store.get_feature_service("conversion"), entity_rows=asked).to_dict()
    mlflow.set_tracking_uri(tenant.settings.tracking_uri)
    mlflow.set_registry_uri(tenant.settings.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{tenant.model_name('conversion')}@champion")
    frame = pd.DataFrame(found)[model.metadata.get_input_schema().input_names()]
    return [float(p) for p in model.predict(frame)]


@pytest.mark.slow
def test_scores_over_http_are_the_batch_scores(demo: Tenant, port: int) -> None:
    rows = Lake(demo).read(TABLE, columns=["entity_id", "probability", "tier"], where=of_date(demo.whole_run.label))
    moment = demo.whole_run.as_of.isoformat() + "Z"
    leads = [{"lead_id": name, "context": {"event_time": moment}} for name in rows["entity_id"].to_pylist()]

    scores = _post(port, "/v1/score", {"leads": leads})["scores"]

    assert [one["lead_id"] for one in scores] == rows["entity_id"].to_pylist()
    assert [one["probability"] for one in scores] == pytest.approx(rows["probability"].to_pylist(), abs=1e-9)
    assert [one["tier"] for one in scores] == rows["tier"].to_pylist()
    assert _by_stock_clients(demo, leads) == pytest.approx(rows["probability"].to_pylist(), abs=1e-9)


@pytest.mark.slow
def test_a_port_in_use_is_one_sentence(make_tenant: MakeTenant) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="can't listen on 127"):
            serve(make_tenant(), port=taken.getsockname()[1])
