"""Rates of keys, counted alone and in a Redis, and keys as browsers send them."""

import asyncio
import base64
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.tenant import Tenant
from serving.door import Door, Rates
from serving.keys import Keys
from tests.conftest import MakeTenant
from tests.pipelines.features.servers import RedisServer
from tests.serving.asgi import application, post, request


def waits(rates: Rates, *keys: str) -> list[int]:
    async def run() -> list[int]:
        return [await rates.wait(key) for key in keys]

    return asyncio.run(run())


def test_a_key_that_asked_too_often_is_told_how_long(caplog: pytest.LogCaptureFixture) -> None:
    first, second, third, other, again = waits(Rates("2/minute", "demo"), "a", "a", "a", "b", "a")
    assert (first, second, other) == (0, 0, 0)
    assert 1 <= third <= 60
    assert 1 <= again <= 60
    assert not caplog.records


def test_after_the_window_it_may_ask_again() -> None:
    rates = Rates("3/second", "demo")
    assert waits(rates, *"aaa") == [0, 0, 0]
    deadline = time.monotonic() + 5
    while waits(rates, "a") != [0]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_without_its_redis_each_counts_alone(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        rates = Rates("1/minute", "demo", f"redis://:secret@127.0.0.1:{free.getsockname()[1]}/0")
        assert [one > 0 for one in waits(rates, "a", "a")] == [False, True]
    [told] = caplog.records
    assert "Redis does not answer" in told.message
    assert "secret" not in told.message


@pytest.mark.slow
def test_workers_count_together_in_a_redis(redis_server: RedisServer) -> None:
    redis = redis_server.url()
    one, other = Rates("3/minute", "demo", redis), Rates("3/minute", "demo", redis)
    someone = Rates("3/minute", "bank", redis)
    assert waits(one, "a", "a") == [0, 0]
    allowed, refused = waits(other, "a", "a")
    assert allowed == 0
    assert refused >= 1
    assert waits(someone, "a") == [0]  # the same id of another tenant


def test_a_browser_sends_the_key_as_a_password(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    key = Keys(tenant).create("a person")
    door = Door(Keys(tenant).hashes())

    def scope(given: str) -> dict[str, Any]:
        return {"headers": [(b"authorization", given.encode())]}

    coded = base64.b64encode(f"anyone:{key}".encode()).decode()
    assert door.key(scope(f"Basic {coded}"), page=True) == Keys(tenant).all()[0].id
    assert door.key(scope(f"Basic {coded}")) is None
    for bad in ("Basic", "Basic !!", "Basic " + base64.b64encode(b"\xff:\xff").decode(), f"Basic {key}"):
        assert door.key(scope(bad), page=True) is None


@pytest.mark.slow
def test_requests_for_scores_count_and_others_do_not(demo: Tenant, tmp_path: Path) -> None:
    serve = demo.params.serve.model_copy(update={"rate": "2/hour"})
    app = application(replace(demo, params=demo.params.model_copy(update={"serve": serve})), tmp_path)
    assert post(app, "/v1/score", {"leads": [{"features": {}}]}).status == 200  # nobody has a key: nobody is counted

    hashes = {"5f0c9a1e": ("salt", "0" * 64)}
    app._door = Door(hashes, Rates("2/hour", "demo"))
    app._door.key = lambda scope, page=False: "5f0c9a1e"  # type: ignore[method-assign]
    assert [request(app, "GET", "/ping").status for _ in range(5)] == [200] * 5
    answers = [post(app, path, {"leads": [{"features": {}}]}) for path in ("/v1/score", "/invocations", "/v1/score")]
    assert [one.status for one in answers] == [200, 400, 429]
    assert "this key has asked as often as it may: ask again in" in answers[2].json()["message"]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 3600
