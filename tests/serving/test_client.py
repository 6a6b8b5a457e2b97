"""The client, against servers that answer what a test tells them to; against our own one in `test_server.py`."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from serving.client import Client, Score, ScoreRefused

GOOD = {"scores": [{"lead_id": "a", "probability": 0.25, "tier": "A", "interval": [0.1, 0.5], "model_version": "3"}]}


@contextmanager
def telling(*answers: tuple[int, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that gives these answers one after the other, and what it was asked."""
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append({"path": self.path, "key": self.headers.get("authorization"), "body": body})
            status, told = left.pop(0)
            content = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_what_is_asked_and_what_is_told() -> None:
    with telling((200, GOOD)) as (url, asked), Client(url, "lw_1_x") as client:
        found = client.score(["a", {"age": 30}], event_time=datetime(2026, 3, 31, 12), reasons=2)
    assert found == [Score("a", 0.25, "A", None, (0.1, 0.5), (), "3", None, False)]
    context = {"event_time": "2026-03-31T12:00:00"}
    leads = [{"lead_id": "a", "context": context}, {"features": {"age": 30}, "context": context}]
    body = {"leads": leads, "reasons": 2}
    assert asked == [{"path": "/v1/score", "key": "Bearer lw_1_x", "body": body}]


def test_a_busy_endpoint_is_asked_again() -> None:
    with telling((429, {}), (503, b"no json"), (200, GOOD)) as (url, asked), Client(url) as client:
        assert client.score(["a"])[0].tier == "A"
    assert len(asked) == 3


def test_one_that_stays_busy_is_given_up() -> None:
    busy = (503, {"message": "ask again in a second"})
    refusing = pytest.raises(ScoreRefused, match="ask again in a second")
    with telling(busy, busy) as (url, asked), Client(url, tries=2) as client, refusing as refused:
        client.score(["a"])
    assert (refused.value.status, len(asked)) == (503, 2)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 500])
def test_what_would_not_get_better_is_told_at_once(status: int) -> None:
    refusing = pytest.raises(ScoreRefused, match="a sentence")
    with telling((status, {"message": "a sentence"})) as (url, asked), Client(url) as client, refusing as refused:
        client.score(["a"])
    assert (refused.value.status, len(asked)) == (status, 1)


def test_nobody_there_is_one_sentence() -> None:
    with telling() as (url, _):
        pass
    with Client(url, tries=2) as client, pytest.raises(ScoreRefused, match="can't be reached: ConnectError") as refused:
        client.score(["a"])
    assert refused.value.status is None
