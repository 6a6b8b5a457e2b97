"""The endpoint's interface in OpenAPI 3.1, for one champion: its body from what reads it, its features by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from serving.requests import Reader

if TYPE_CHECKING:
    from serving.bundle import Bundle

_TEMPLATE = "#/components/schemas/{name}"

_TEXT = {"description": "text", "content": {"text/plain": {"schema": {"type": "string"}}}}
_REFUSALS = {
    "401": "no key, or one that is not in force",
    "404": "nothing is known of an id, and cold scores are not wanted; the message says at which position",
    "405": "another method",
    "408": "the body did not come",
    "413": "too large",
    "415": "not JSON in UTF-8",
    "422": "the body is not as it must be; the message says where",
    "429": "too many requests wait, or the key has asked as often as it may: see Retry-After",
    "500": "the score could not be computed; the server's log knows the request's id",
    "503": "the online store does not answer: see Retry-After",
}


class Reason(Struct, forbid_unknown_fields=True):
    """A feature that moved a score."""

    feature: Annotated[str, Meta(description="name of the feature")]
    moved: Annotated[float, Meta(description="by how much, on the raw scale (log odds of a probability)")]


class Error(Struct, forbid_unknown_fields=True):
    """What went wrong, in one sentence that repeats nothing of the request."""

    error_code: str
    message: str
    request_id: Annotated[str, Meta(description="by which the server's log knows the request")]


class Health(Struct, forbid_unknown_fields=True):
    """That the endpoint answers, and with which model."""

    status: str
    model: str
    model_version: str
    features_age: Annotated[float | UnsetType | None, Meta(description="seconds; of /ready")] = UNSET


def _score(entity: str, task: str) -> type[Struct]:
    """The answer for one lead."""
    share = Annotated[float, Meta(ge=0, le=1)]
    said: list[Any] = (
        [("probability", share), ("tier", Annotated[str, Meta(pattern="^[A-D]$")])]
        if task == "binary"
        else [("value", float)]
    )
    ends = Annotated[list[float], Meta(min_length=2, max_length=2, description="90 % range, where the model knows one")]
    return defstruct(
        "Score",
        [
            *said,
            ("model_version", str),
            (entity, str | UnsetType, UNSET),
            ("interval", ends | UnsetType, UNSET),
            ("reasons", list[Reason] | UnsetType, UNSET),
            ("features_age", Annotated[float, Meta(ge=0, description="seconds")] | UnsetType, UNSET),
            ("cold", Annotated[bool, Meta(description="nothing is known of this lead")] | UnsetType, UNSET),
        ],
        forbid_unknown_fields=True,
    )


def openapi(bundle: Bundle, keyed: bool = True) -> dict[str, Any]:
    """The document, as plain values.

    Args:
        bundle: the champion.
        keyed: whether a key is wanted.
    """
    reader = Reader(bundle.layout.entity, bundle.given)
    scores = defstruct(
        "Scores",
        [("scores", list[_score(bundle.layout.entity, bundle.task)])],  # type: ignore[misc]
        forbid_unknown_fields=True,
    )
    (body, answer, error, health), parts = msgspec.json.schema_components(
        [reader.body, scores, Error, Health], ref_template=_TEMPLATE
    )
    names = reader.names
    parts["Lead"]["oneOf"] = [{"required": [name]} for name in (*names, "features")]
    for name in names:
        parts["Lead"]["properties"][name] |= {"description": "looked up in the online store"}
    refused = {status: _answer(said, error) for status, said in _REFUSALS.items()}
    about = {
        "title": f"Leadwise: {bundle.name}",
        "version": bundle.version,
        "description": f"Scores of '{bundle.target}' by version {bundle.version} of {bundle.name}.",
    }
    keys = {"key": {"type": "http", "scheme": "bearer", "description": "as `leadwise keys create` gave it"}}
    return {
        "openapi": "3.1.0",
        "info": about,
        "security": [{"key": []}] if keyed else [],
        "paths": _ours(bundle, body, answer, refused) | _watched(health, refused) | _mlflow(refused),
        "components": {"schemas": parts, **({"securitySchemes": keys} if keyed else {})},
    }


def _ours(
    bundle: Bundle, body: dict[str, Any], answer: dict[str, Any], refused: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The path for scores."""
    known = list(bundle.features)[:2]
    by_id = {"leads": [{bundle.layout.entity: "an id of an audience"}], "reasons": 3}
    by_hand = {"leads": [{"features": dict.fromkeys(known)}], "reasons": 3}
    examples = {
        "by id": {"summary": "features from the online store", "value": by_id},
        "by features": {"summary": "features handed over, as far as they are known", "value": by_hand},
    }
    asked = {"required": True, "content": {"application/json": {"schema": body, "examples": examples}}}
    responses = {"200": _answer("a score for each lead, in order", answer), **refused}
    return {"/v1/score": {"post": _operation("score", "Scores of up to 1,000 leads", responses, "scores", asked)}}


def _watched(health: dict[str, Any], refused: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What watches over the endpoint."""
    alive = {"200": _answer("it is", health), "405": refused["405"]}
    ready = alive | {"503": refused["503"]}
    figures = {"200": _TEXT, "401": refused["401"], "405": refused["405"]}
    free: dict[str, Any] = {"security": []}
    return {
        "/health": {"get": _operation("health", "Whether it is alive", alive, "watching") | free},
        "/ready": {
            "get": _operation("ready", "Whether model and store answer, and features are fresh", ready, "watching")
            | free
        },
        "/metrics": {"get": _operation("metrics", "Figures for Prometheus", figures, "watching")},
    }


def _mlflow(refused: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """MLflow's own paths, as MLflow describes them."""
    split = {"dataframe_split": {"columns": ["…"], "data": [[None]]}}
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}, "example": split}}}
    predicted = {"200": _answer("predictions", {"type": "object"})}
    predicted |= {status: refused[status] for status in ("401", "413", "415", "429", "500", "503")}
    predicted |= {"400": refused["422"]}
    told = {"200": _TEXT, "401": refused["401"], "503": refused["503"]}
    return {
        "/invocations": {"post": _operation("invocations", "MLflow's protocol", predicted, "MLflow", body)},
        "/ping": {"get": _operation("ping", "Whether MLflow's app is alive", told, "MLflow")},
        "/version": {"get": _operation("version", "MLflow's version", told, "MLflow")},
    }


def _operation(
    name: str, summary: str, responses: dict[str, Any], tag: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    more = {} if body is None else {"requestBody": body}
    return {"operationId": name, "summary": summary, "tags": [tag], **more, "responses": responses}


def _answer(said: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": said, "content": {"application/json": {"schema": schema}}}
