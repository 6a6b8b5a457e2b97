"""The endpoint as one ASGI application: `/v1/score` and `/health` of ours, the rest MLflow's scoring app."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from pipelines.core.errors import LeadwiseError
from pipelines.core.tenant import Tenant
from serving.guard import OURS, Guard, error_body, sentence
from serving.score import MOST, Scorer, UnknownLead, request_model

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from pipelines.registry.champion import Champion

log = logging.getLogger("leadwise.serving")

_MLFLOW_PATHS = ("/ping", "/version", "/invocations")


def create_app(tenant: Tenant, target: str | None = None) -> "ASGIApp":
    """Load the champion of `target` (None: the tenant's first) and return the application.

    Raises:
        NotReady: there is no champion, or the online store was never filled.
        ConfigError: an unknown target.
    """
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions
    from pipelines.features.online import read_online
    from pipelines.registry.champion import load_champion

    name = tenant.target(target)[0]
    champion = load_champion(tenant, name)
    label = load_definitions(tenant, load_contracts(tenant.contracts_dir)).label(name)
    scorer = Scorer(tenant, name, champion, partial(read_online, tenant, name), label.schema.field(0))
    scorer.warm_up()
    return Guard(build(scorer, mlflow_app(champion)))


def mlflow_app(champion: "Champion") -> FastAPI:
    """MLflow's own scoring app, without its open documentation pages."""
    from mlflow.pyfunc import scoring_server

    app: FastAPI = scoring_server.init(champion.model)
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") in _MLFLOW_PATHS]
    return app


def build(scorer: Scorer, mlflow: FastAPI) -> FastAPI:
    """Our routes, with MLflow's app behind them."""
    app = FastAPI(title="Leadwise", docs_url=None, redoc_url=None, openapi_url=None)
    entity = scorer.entity
    body_of = request_model(entity)
    champion = scorer.champion

    @app.get("/health")
    def health() -> dict[str, str]:
        """Whether the champion is loaded, and which."""
        return {"status": "ok", "model": champion.name, "model_version": champion.version}

    def score(body: Any) -> dict[str, list[dict[str, Any]]]:
        """Scores of leads by their id, in the order of the request."""
        scored = scorer.score([(lead.entity_id, lead.context.event_time) for lead in body.leads])
        return {"scores": [{entity: one.id, **one.model_dump(exclude={"id"}, exclude_none=True)} for one in scored]}

    score.__annotations__["body"] = body_of
    app.post("/v1/score")(score)
    app.add_exception_handler(RequestValidationError, partial(_invalid, entity))
    app.add_exception_handler(UnknownLead, partial(_unknown, entity))
    app.add_exception_handler(LeadwiseError, _failed)
    app.mount("/", mlflow)
    return app


def _answer(status: int, message: str) -> JSONResponse:
    headers = {OURS[0].decode(): OURS[1].decode()}
    return JSONResponse(error_body(status, message), status_code=status, headers=headers)


async def _unknown(entity: str, request: Request, error: UnknownLead) -> JSONResponse:
    """A lead without features."""
    message = f"nothing is known of the {entity} at position {error.position} of 'leads': it has no features online"
    return _answer(404, message)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    """An error of ours: its sentence may name rows, so it stays in the log."""
    log.error("score failed: %s", error)
    return _answer(500, sentence(500))


async def _invalid(entity: str, request: Request, error: RequestValidationError) -> JSONResponse:
    """A body that is not as it must be: where, and what it should be, without what was sent."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "the body"
    return _answer(422, f"{_problem(first, place, entity)}")


def _problem(first: Mapping[str, Any], place: str, entity: str) -> str:
    """The sentence for a validation error."""
    example = f'{{"leads": [{{"{entity}": "…", "context": {{"event_time": "2026-03-01T12:00:00Z"}}}}]}}'
    known: dict[str, Callable[[], str]] = {
        "json_invalid": lambda: f"the body is not JSON: send {example}",
        "extra_forbidden": lambda: f"the body has a key that is not known: send {example}",
        "missing": lambda: f"'{place}' is missing: send {example}",
        "too_long": lambda: f"'leads' has more than {MOST} entries: send fewer",
        "too_short": lambda: "'leads' is empty: send at least one",
    }
    kind = str(first["type"])
    return known[kind]() if kind in known else f"'{place}' is not as it must be: send {example}"
