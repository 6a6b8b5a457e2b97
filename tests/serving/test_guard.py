"""Whatever goes wrong, the answer is one sentence that repeats nothing of the request."""

import pytest
from fastapi import FastAPI, Request, Response

from serving.guard import LARGEST, Guard
from tests.serving.asgi import request

SECRET = "5512345678"


@pytest.fixture(scope="module")
def app() -> Guard:
    inner = FastAPI()

    @inner.post("/invocations")
    async def invocations(asked: Request) -> Response:
        body = (await asked.body()).decode()
        if "crash" in body:
            raise RuntimeError(body)
        if "bad" in body:
            return Response(f"Failed to predict {body}", status_code=400)
        return Response(body)

    return Guard(inner)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (f"bad {SECRET}", "application/json", 400),
        (f"crash {SECRET}", "application/json", 500),
        (f"fine {SECRET}", None, 415),
        (f"fine {SECRET}", "text/plain", 415),
        (f"fine {SECRET}", "application/json; charset=latin-1", 415),
        ("x" * (LARGEST + 1), "text/csv", 413),
    ],
)
def test_errors_are_sentences(app: Guard, body: str, kind: str | None, status: int) -> None:
    answer = request(app, "POST", "/invocations", body.encode(), kind)

    assert answer.status == status
    assert set(answer.json()) == {"error_code", "message", "request_id"}
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text


def test_good_answers_pass_as_they_are(app: Guard) -> None:
    answer = request(app, "POST", "/invocations", b"fine", "text/csv; charset=utf-8")

    assert (answer.status, answer.text) == (200, "fine")


def test_unknown_addresses_are_sentences(app: Guard) -> None:
    answer = request(app, "GET", f"/{SECRET}")

    assert answer.status == 404
    assert SECRET not in answer.text
