"""The endpoint as a process of its own, over HTTP."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from pipelines.core.database import transaction
from pipelines.core.errors import ConfigError, LeadwiseError
from pipelines.core.tenant import Tenant
from pipelines.deliver.table import TABLE, of_date
from pipelines.lake.catalog import Lake
from pipelines.registry.champion import load_champion
from serving.client import Client, ScoreRefused
from serving.keys import TABLE as TABLE_OF_KEYS
from serving.keys import Keys
from serving.server import serve
from tests.conftest import MakeTenant
from tests.serving.live import Running, asking, started, until


@pytest.fixture(scope="module")
def running(demo: Tenant) -> Iterator[Running]:
    with started() as server:
        yield server


@pytest.fixture
def port(running: Running) -> int:
    return running.port


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
def test_a_worker_that_is_killed_is_replaced(demo: Tenant, running: Running) -> None:
    until(lambda: len(running.workers()) == 2)
    lost, other = running.workers()
    with asking(running.port, [{"lead_id": "nobody"}]) as told:
        until(lambda: len(told) > 20)
        lost.kill()
        until(lambda: len({one.pid for one in running.workers()} - {lost.pid, other.pid}) == 1)
        seen = len(told)
        until(lambda: len(told) > seen + 50)
    assert {status for status, _ in told[seen:]} == {404}
    assert sum(status == 0 for status, _ in told) <= 4  # what was under way with it


@pytest.mark.slow
def test_metrics_are_of_all_workers(port: int) -> None:
    body = {"leads": [{"lead_id": "nobody"}]}

    def refused() -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        told = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        assert told["leadwise_model_decision"] == "1.0"
        assert float(told["leadwise_features_age_seconds"]) > 0
        assert float(told["leadwise_score_count"]) <= float(told['leadwise_rows_total{model_version="1"}'])
        return float(told.get('leadwise_request_seconds_count{route="/v1/score",status="404"}', 0))

    _post(port, "/v1/score", {"leads": [{"features": {}}]})
    before = refused()
    for _ in range(40):  # each on a connection of its own: both workers get some
        with pytest.raises(urllib.error.HTTPError):
            _post(port, "/v1/score", body)
    assert refused() == before + 40


@pytest.mark.slow
def test_the_client_gets_the_same(demo: Tenant, port: int) -> None:
    rows = Lake(demo).read(TABLE, columns=["entity_id", "probability", "tier"], where=of_date(demo.whole_run.label))
    with Client(f"http://127.0.0.1:{port}") as client:
        found = client.score(rows["entity_id"].to_pylist()[:50], event_time=demo.whole_run.as_of, reasons=1)
        with pytest.raises(ScoreRefused, match="nothing is known of the lead_id at position 0") as refused:
            client.score(["nobody"])
    assert [one.probability for one in found] == pytest.approx(rows["probability"].to_pylist()[:50], abs=1e-9)
    assert [one.tier for one in found] == rows["tier"].to_pylist()[:50]
    assert {len(one.reasons) for one in found} == {1}
    assert refused.value.status == 404


@pytest.mark.slow
def test_mlflow_answers_behind_the_workers(port: int) -> None:
    for path in ("/ping", "/version", "/ready"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        _post(port, "/invocations", {"zz-5512345678": 1})
    assert refused.value.code == 400
    assert b"zz-5512345678" not in refused.value.read()


@pytest.mark.slow
def test_a_client_of_mlflow_as_it_comes(demo: Tenant, port: int) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    model = load_champion(demo, "conversion").model
    rows = model.input_example
    assert rows is not None
    client = ScoringServerClient("127.0.0.1", port)
    client.wait_server_ready(timeout=10)
    assert client.get_version()
    found = client.invoke(rows).get_predictions()
    assert found.iloc[:, 0].tolist() == pytest.approx(list(model.predict(rows)), abs=1e-9)


@pytest.mark.slow
def test_a_worker_is_small(running: Running) -> None:
    workers = running.workers()
    assert len(workers) == 2
    for worker in workers:
        assert worker.memory_full_info().uss < 150e6


@pytest.mark.slow
def test_no_champion_is_one_sentence(make_tenant: MakeTenant) -> None:
    with pytest.raises(LeadwiseError, match="tenant 'demo' has no champion for 'conversion' yet"):
        serve(make_tenant(), port=0)


@pytest.mark.slow
def test_a_port_in_use_is_one_sentence(make_tenant: MakeTenant) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="can't listen on 127"):
            serve(make_tenant(), port=taken.getsockname()[1])


@pytest.fixture
def unkeyed(demo: Tenant) -> Iterator[None]:
    """Afterwards the market has no keys, as if there had never been any."""
    yield
    with transaction(demo, "keys", writing=True) as connection:
        connection.exec_driver_sql(f"DROP TABLE {TABLE_OF_KEYS}")


@pytest.mark.slow
@pytest.mark.usefixtures("unkeyed")
def test_a_key_counts_within_seconds_and_so_does_its_end(demo: Tenant, running: Running) -> None:
    """The last of the module's tests: from now on this endpoint wants a key."""
    assert _status(running.port, None) == 404
    keys = Keys(demo)
    key, kept = keys.create("a test"), keys.create("another")
    foreign = Keys(replace(demo, name="bank")).create("a test")
    until(lambda: {_status(running.port, None) for _ in range(20)} == {401})  # both workers know
    assert _status(running.port, key) == 404
    assert _status(running.port, foreign) == 401
    nobody = [{"lead_id": "nobody"}]
    with asking(running.port, nobody, key) as told, asking(running.port, nobody, kept) as others:
        until(lambda: len(told) > 50)
        keys.revoke(next(one.id for one in keys.all() if one.name == "a test"))
        until(lambda: {status for status, _ in told[-50:]} == {401})
    assert {status for status, _ in told} == {404, 401}
    assert {status for status, _ in others} == {404}  # whoever else asks notices nothing
    assert {body["message"] for status, body in told if status == 401} == {
        "send a key that is in force: Authorization: Bearer …, as `leadwise keys create` gave it"
    }
    with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/health", timeout=60) as answer:
        assert answer.status == 200


def _status(port: int, key: str | None) -> int:
    """Of a question for a lead that nobody knows."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/score", b'{"leads": [{"lead_id": "nobody"}]}', headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=60)
    return int(refused.value.code)
