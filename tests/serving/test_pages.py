"""The typed interface: one that tools can read, and a page that needs no network."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from pipelines.core.tenant import Tenant
from pipelines.deliver.table import TABLE
from pipelines.lake.catalog import Lake
from serving.interface import openapi
from serving.requests import MOST, REASONS
from tests.serving.asgi import Answer, application, post, request

pytestmark = pytest.mark.slow
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


@pytest.fixture(scope="module")
def app(demo: Tenant, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return application(demo, tmp_path_factory.mktemp("serving"))


@pytest.fixture(scope="module")
def document(app: Any) -> Any:
    return request(app, "GET", "/openapi.json").json()


def schema_of(document: Any, name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def test_it_says_what_the_reader_takes(document: Any, app: Any) -> None:
    body = document["components"]["schemas"]["ScoreRequest"]["properties"]
    assert (body["leads"]["maxItems"], body["reasons"]["maximum"]) == (MOST, REASONS)
    lead = document["components"]["schemas"]["Lead"]["properties"]
    assert set(lead) == {"lead_id", "features", "context"}
    features = document["components"]["schemas"]["Features"]["properties"]
    assert set(app._scorer.bundle.features) <= set(features)
    assert {"type": "number"} in features["messages_7d"]["anyOf"]
    assert document["security"] == []  # nobody made a key
    wanted = openapi(app._scorer.bundle)
    assert wanted["security"] == [{"key": []}]
    assert wanted["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert [wanted["paths"][path]["get"]["security"] for path in ("/health", "/ready")] == [[], []]


def test_answers_are_of_its_kinds(document: Any, app: Any, demo: Tenant) -> None:
    name = min(Lake(demo).read(TABLE, columns=["entity_id"])["entity_id"].to_pylist())
    for leads in ([{"lead_id": name}], [{"features": {}}], [{"lead_id": name}, {"features": {}}]):
        answer = post(app, "/v1/score", {"leads": leads, "reasons": 3})
        assert answer.status == 200
        jsonschema.validate(answer.json(), schema_of(document, "Scores"))
    for body in ({}, {"leads": [{"lead_id": "nobody"}]}):
        jsonschema.validate(post(app, "/v1/score", body).json(), schema_of(document, "Error"))
    for path in ("/health", "/ready"):
        jsonschema.validate(request(app, "GET", path).json(), schema_of(document, "Health"))


def test_a_regression_says_value(demo: Tenant, tmp_path: Path) -> None:
    app = application(demo, tmp_path, "quality")
    document = request(app, "GET", "/openapi.json").json()
    assert "probability" not in document["components"]["schemas"]["Score"]["properties"]
    answer = post(app, "/v1/score", {"leads": [{"features": {}}]})
    jsonschema.validate(answer.json(), schema_of(document, "Scores"))


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("method", ["POST /v1/score", "GET /health", "GET /ready", "GET /metrics"])
def test_requests_that_tools_draw_from_it_are_answered_as_it_says(app: Any, method: str, mode: GenerationMode) -> None:
    """Schemathesis, over ASGI: no crash, no status, header or body unknown to the document, nothing bad let in."""
    if mode is GenerationMode.NEGATIVE and method.startswith("GET"):
        pytest.skip("there is nothing in such a request that could be wrong")
    verb, path = method.split()
    operation = schemathesis.openapi.from_asgi("/openapi.json", app)[path][verb]
    seen: Counter[int] = Counter()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def asked(case: Any) -> None:
        seen[case.call_and_validate(checks=CHECKS).status_code] += 1

    asked()
    if mode is GenerationMode.NEGATIVE:
        assert set(seen) <= {415, 422}
        assert seen[422] > 50
    else:
        assert seen[200] > 0
        assert set(seen) <= {200, 404, 422}  # unknown ids, and moments before 1970


def test_the_page_needs_nothing_from_elsewhere(app: Any) -> None:
    page = request(app, "GET", "/docs")
    assert page.status == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "demo.conversion" in page.text
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert named.pop(0) == "data:,"
    assert len(named) == 3
    for path in named:
        assert "//" not in path
        found: Answer = request(app, "GET", f"/{path}")
        assert (found.status, found.headers["x-content-type-options"]) == (200, "nosniff")
    assert "SwaggerUIBundle" in request(app, "GET", "/docs/swagger-ui-bundle.js").text
    assert json.dumps("openapi.json") in request(app, "GET", "/docs/start.js").text


@pytest.mark.parametrize("path", ["/docs/", "/docs/../app.py", "/docs/favicon.png", "/redoc", "/docs/oauth2-redirect"])
def test_nothing_else_is_a_page(app: Any, path: str) -> None:
    assert request(app, "GET", path).status == 404


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/metrics"])
def test_pages_are_only_read(app: Any, path: str) -> None:
    assert request(app, "POST", path).status == 405
    head = request(app, "HEAD", path)
    assert (head.status, head.text) == (200, "")
