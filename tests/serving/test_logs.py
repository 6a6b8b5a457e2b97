"""The log: lines that a machine reads, and nothing in them that names somebody."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.core.errors import LeadwiseError
from pipelines.core.tenant import Tenant
from pipelines.deliver.table import TABLE
from pipelines.lake.catalog import Lake
from serving.logs import configure
from tests.serving.asgi import application, post, request

SECRET = "zz-5512345678"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    written = io.StringIO()
    root, ours = logging.getLogger(), logging.getLogger("leadwise")
    before = root.handlers[:], root.level, ours.level
    monkeypatch.setattr(sys, "stderr", written)
    configure()
    yield written
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_an_error_is_its_kind_and_its_place(log: io.StringIO) -> None:
    def failing() -> None:
        raise ValueError(f"could not convert {SECRET}")

    try:
        failing()
    except ValueError:
        logging.getLogger("a.library").exception("Exception in ASGI application")
    [line] = lines(log)
    assert (line["event"], line["level"], line["error"]) == ("Exception in ASGI application", "error", "ValueError")
    assert line["at"][-1].startswith("serving/test_logs.py:")
    assert line["at"][-1].endswith(" failing")
    assert line["timestamp"].endswith("Z")
    assert SECRET not in log.getvalue()


def test_others_say_no_more_than_warnings(log: io.StringIO) -> None:
    logging.getLogger("httpx").info("a request")
    logging.getLogger("leadwise.serving").info("one of %s", "ours")
    assert [line["event"] for line in lines(log)] == ["one of ours"]


@pytest.mark.slow
def test_what_was_refused_is_logged_by_its_id_and_names_nobody(
    demo: Tenant, tmp_path_factory: pytest.TempPathFactory, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = application(demo, tmp_path_factory.mktemp("serving"))
    log.truncate(0)
    log.seek(0)
    known = min(Lake(demo).read(TABLE, columns=["entity_id"])["entity_id"].to_pylist())
    asked = [
        post(app, "/v1/score", {"leads": [{"lead_id": SECRET}]}),
        post(app, "/v1/score", {SECRET: 1}),
        post(app, "/invocations", {SECRET: SECRET}),
        request(app, "GET", f"/{SECRET}"),
        post(app, "/v1/score", {"leads": [{"lead_id": known}]}),
    ]

    async def crash(*_: object) -> Any:
        raise LeadwiseError(f"row {SECRET}")

    monkeypatch.setattr(app._scorer, "score", crash)
    asked.append(post(app, "/v1/score", {"leads": [{"lead_id": SECRET}]}))

    assert [one.status for one in asked] == [404, 422, 400, 404, 200, 500]
    assert all(len(one.headers["x-request-id"]) == 16 for one in asked)
    told = [line for line in lines(log) if line["event"] == "refused"]
    assert [(line["request_id"], line["route"], line["status"]) for line in told] == [
        (one.headers["x-request-id"], route, one.status)
        for one, route in zip(
            asked, ["/v1/score", "/v1/score", "/invocations", "other", "/v1/score", "/v1/score"], strict=True
        )
        if one.status != 200
    ]
    assert [one.json()["request_id"] for one in asked if one.status != 200] == [line["request_id"] for line in told]
    [crashed] = [line for line in lines(log) if line["event"] == "the model can't score this"]
    assert (crashed["error"], crashed["request_id"]) == ("LeadwiseError", asked[-1].headers["x-request-id"])
    assert SECRET not in log.getvalue()
    assert known not in log.getvalue()
