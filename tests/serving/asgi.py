"""One request to an ASGI application, without a server."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core.tenant import Tenant
from serving.app import App
from serving.bundle import read
from serving.cache import Cache
from serving.control import Control
from serving.door import Door, Rates
from serving.guard import Guard
from serving.keeper import Keeper
from serving.metrics import Metrics
from serving.online import Mark, store_of
from serving.record import Record
from serving.scoring import Scorer


def application(tenant: Tenant, folder: Path, target: str | None = None, record: Record | None = None) -> App:
    """What a worker and its keeper are together, in one process.

    Args:
        tenant: whose champion.
        folder: that they share.
        target: None is the first.
        record: is given what was served.
    """
    keeper = Keeper(tenant, tenant.target(target)[0], Control(folder))
    serving = keeper.serving
    bundle = read(Path(serving.bundle))
    store = store_of(serving.sqlite, serving.redis, bundle.layout)
    metrics = Metrics()
    cache = Cache(serving.cache, serving.cache_seconds, metrics.cached)
    scorer = Scorer(bundle, store, Mark(Path(serving.mark)), serving.cold, cache)
    rates = Rates(serving.rate, serving.tenant, serving.redis) if serving.rate else None
    return App(
        scorer,
        Guard(keeper),
        metrics,
        door=Door(serving.keys, rates),
        queue=serving.queue,
        fresh_hours=serving.fresh_hours,
        record=record,
    )


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    text: str
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.text)


def request(
    app: Any, method: str, path: str, body: bytes = b"", kind: str | None = "application/json", key: str | None = None
) -> Answer:
    """Send one request; a crash of the application after its answer does not matter."""
    return asyncio.run(_one(app, method, path, body, kind, key))


def together(app: Any, asked: list[tuple[str, str, bytes]]) -> list[Answer]:
    """Send requests (method, path, body) all at once."""

    async def run() -> list[Answer]:
        return await asyncio.gather(*(_one(app, *one, "application/json", None) for one in asked))

    return asyncio.run(run())


async def _one(app: Any, method: str, path: str, body: bytes, kind: str | None, key: str | None) -> Answer:
    headers = [(b"host", b"test")] + ([(b"content-type", kind.encode())] if kind else [])
    headers += [(b"authorization", key.encode())] if key else []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    sent: list[dict[str, Any]] = []
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if given:
            return given.pop()
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception:
        if not sent:
            raise
    told = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:]).decode(), told)


def post(app: Any, path: str, body: Any) -> Answer:
    """POST `body` as JSON."""
    return request(app, "POST", path, json.dumps(body).encode())
