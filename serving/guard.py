"""What stands before MLflow's scoring app: its errors echo the input and show traces, ours are one sentence."""

from typing import TYPE_CHECKING

from serving.replies import refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST = 16 * 1024 * 1024
"""Bytes of a request's body."""

_KINDS = ("application/json", "text/csv", "application/parquet", "application/vnd.apache.parquet")


class Guard:
    """ASGI middleware: refuses what MLflow's app would stumble over, and puts one sentence for every error it gives."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, whole = await body_of(receive, LARGEST)
        if not whole:
            await refuse(scope, send, 413)
            return
        if scope["path"] == "/invocations" and scope["method"] == "POST" and not readable(scope, *_KINDS):
            await refuse(scope, send, 415)
            return
        reply = _Reply(scope, send)
        try:
            await self._app(scope, _replay(body, receive), reply)
        except Exception:
            await reply.fail()
            raise


class _Reply:
    """Passes an answer on; one with a status of 400 or more becomes a sentence."""

    def __init__(self, scope: "Scope", send: "Send") -> None:
        self._scope, self._send = scope, send
        self._started = False
        self._dropped = False

    async def __call__(self, message: "Message") -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._dropped = True
            await refuse(self._scope, self._send, int(message["status"]))
        elif not self._dropped:
            self._started = True
            await self._send(message)

    async def fail(self) -> None:
        """Answer a crash, unless an answer is on its way."""
        if not self._started and not self._dropped:
            self._dropped = True
            await refuse(self._scope, self._send, 500)


def readable(scope: "Scope", *kinds: str) -> bool:
    """Whether the Content-Type is one of these, in UTF-8."""
    given = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1").lower()
    kind, *rest = [part.strip() for part in given.split(";")]
    return kind in kinds and all(part in ("charset=utf-8", 'charset="utf-8"') for part in rest)


async def body_of(receive: "Receive", largest: int) -> tuple[bytes, bool]:
    """The body of a request, and whether that is all of it: not where it is larger, or the client went away."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"", False
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > largest:
            return b"", False
        if not message.get("more_body", False):
            return b"".join(parts), True


def _replay(body: bytes, receive: "Receive") -> "Receive":
    """A `receive` that hands out `body` once, then what comes."""
    given = False

    async def again() -> "Message":
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
