"""Answers of the endpoint: each bears the id of its request; what went wrong is one sentence that repeats nothing."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Message, Scope, Send

JSON = b"application/json"

HEADER = b"x-request-id"
"""Of every answer: the id by which the log knows the request."""

_ID = "leadwise.request_id"

_SENTENCES = {
    400: "the body does not fit the model: send its features in one of MLflow's formats, such as dataframe_split",
    401: "send a key that is in force: Authorization: Bearer …, as `leadwise keys create` gave it",
    404: "there is nothing at this address: /docs says what there is",
    405: "this address does not answer that method",
    408: "the body did not come: send it at once",
    413: "the body is too large: send fewer rows",
    415: "send the body with a Content-Type of application/json or text/csv in UTF-8",
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


def request_id(scope: Scope) -> str:
    """The id of a request, made when it is first asked for: never one that the caller chose."""
    found: str | None = scope.get(_ID)
    if found is None:
        found = scope[_ID] = secrets.token_hex(8)
    return found


def error_body(scope: Scope, status: int, message: str | None = None) -> dict[str, str]:
    """An error as MLflow's protocol has it, with the id of the request."""
    code = _CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR")
    said = message or _SENTENCES.get(status, _SENTENCES[400] if status < 500 else _SENTENCES[500])
    return {"error_code": code, "message": said, "request_id": request_id(scope)}


async def answer(
    scope: Scope,
    send: Send,
    status: int,
    content: bytes,
    kind: bytes = JSON,
    more: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Send an answer.

    Args:
        scope: of the request.
        send: as ASGI has it.
        status: of HTTP.
        content: the body.
        kind: its Content-Type.
        more: headers.
    """
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(content)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content if scope["method"] != "HEAD" else b""})


async def tell(
    scope: Scope, send: Send, status: int, told: dict[str, Any], more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send an answer in JSON."""
    await answer(scope, send, status, msgspec.json.encode(told), JSON, more)


async def refuse(
    scope: Scope, send: Send, status: int, message: str | None = None, more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send one sentence for what went wrong."""
    await tell(scope, send, status, error_body(scope, status, message), more)


class Signed:
    """A `send` that puts the request's id into the head of its answer, and remembers the status.

    Attributes:
        status: of the answer; 0 before it began.
    """

    __slots__ = ("_id", "_send", "status")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._id, self._send, self.status = request_id(scope).encode(), send, 0

    async def __call__(self, message: Message) -> None:
        """Pass a part of the answer on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (HEADER, self._id)]
        await self._send(message)
