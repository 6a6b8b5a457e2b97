"""What stands before MLflow's scoring app: its errors echo the input and show traces, ours are one sentence."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST = 16 * 1024 * 1024
"""Bytes of a request's body."""

_KINDS = ("application/json", "text/csv", "application/parquet", "application/vnd.apache.parquet")
_SENTENCES = {
    400: "the body does not fit the model: send its features in one of MLflow's formats, such as dataframe_split",
    401: "send a key that is in force: Authorization: Bearer …, as `leadwise keys create` gave it",
    404: "there is nothing at this address: use /v1/score, /invocations, /ping, /version or /health",
    405: "this address does not answer that method",
    408: "the body did not come: send it at once",
    413: f"the body is larger than {LARGEST // 1024 // 1024} MB: send fewer rows",
    415: f"send the body with a Content-Type of {' or '.join(_KINDS[:2])} in UTF-8",
    429: "too many requests wait already: ask again in a second",
    500: "the score could not be computed: look at the server's log",
    503: "this can't be answered just now: ask again in a second",
    504: "the request took too long: send fewer rows",
}
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}


def sentence(status: int) -> str:
    """What is said for an HTTP status, without anything of the request."""
    return _SENTENCES.get(status, _SENTENCES[400] if status < 500 else _SENTENCES[500])


def error_body(status: int, message: str | None = None) -> dict[str, str]:
    """An error as MLflow's protocol has it."""
    code = _CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR")
    return {"error_code": code, "message": message or sentence(status)}


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
            await _refuse(send, 413)
            return
        if scope["path"] == "/invocations" and scope["method"] == "POST" and not readable(scope, *_KINDS):
            await _refuse(send, 415)
            return
        reply = _Reply(send)
        try:
            await self._app(scope, _replay(body, receive), reply)
        except Exception:
            await reply.fail()
            raise


class _Reply:
    """Passes an answer on; one with a status of 400 or more becomes a sentence."""

    def __init__(self, send: "Send") -> None:
        self._send = send
        self._started = False
        self._dropped = False

    async def __call__(self, message: "Message") -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._dropped = True
            await _refuse(self._send, int(message["status"]))
        elif not self._dropped:
            self._started = True
            await self._send(message)

    async def fail(self) -> None:
        """Answer a crash, unless an answer is on its way."""
        if not self._started and not self._dropped:
            self._dropped = True
            await _refuse(self._send, 500)


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


async def _refuse(send: "Send", status: int) -> None:
    content = json.dumps(error_body(status)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
