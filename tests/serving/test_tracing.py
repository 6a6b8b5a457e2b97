"""Spans of requests, as a collector of OpenTelemetry receives them."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pipelines.core.errors import ConfigError
from pipelines.core.tenant import Tenant
from pipelines.deliver.table import TABLE
from pipelines.lake.catalog import Lake
from serving.tracing import OFF, configured
from tests.serving.asgi import application, post


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Any]]]:
    """The address of a collector, and the resources it was sent."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            received.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


def told(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@pytest.mark.slow
def test_a_request_and_its_parts_are_spans(
    demo: Tenant, tmp_path: Path, collector: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, received = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)  # the exporter reads it too
    traces = configured("demo")
    app = application(demo, tmp_path)
    app._traces = app._scorer._traces = traces
    name = min(Lake(demo).read(TABLE, columns=["entity_id"])["entity_id"].to_pylist())
    answer = post(app, "/v1/score", {"leads": [{"lead_id": name}]})
    assert post(app, "/v1/score", {}).status == 422
    traces.close()

    [resource] = received
    about = told(resource.resource.attributes)
    assert (about["service.name"], about["leadwise.tenant"]) == ("leadwise", "demo")
    spans = [span for scope in resource.scope_spans for span in scope.spans]
    assert [span.name for span in spans] == ["features", "predict", "POST /v1/score", "POST /v1/score"]
    features, predict, whole, refused = spans
    assert features.parent_span_id == predict.parent_span_id == whole.span_id
    assert features.trace_id == whole.trace_id != refused.trace_id
    assert told(whole.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/score",
        "http.response.status_code": 200,
        "leadwise.request_id": answer.headers["x-request-id"],
        "leadwise.rows": 1,
        "leadwise.model_version": "1",
    }
    assert told(refused.attributes)["http.response.status_code"] == 422
    assert name not in str(received)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_without_an_exporter_there_are_no_spans(environment: dict[str, str]) -> None:
    assert configured("demo", environment) is OFF


def test_an_exporter_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="OTEL_TRACES_EXPORTER=zipkin"):
        configured("demo", {"OTEL_TRACES_EXPORTER": "zipkin"})
