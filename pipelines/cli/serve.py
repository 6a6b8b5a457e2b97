"""`leadwise serve`: the champion behind HTTP, on loopback."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import Target, TenantName


def serve(
    tenant: TenantName = "demo",
    host: Annotated[str, typer.Option("--host", help="Address to listen on; loopback unless you say otherwise.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Processes that answer.")] = 1,
    target: Target = None,
) -> None:
    """Serve the champion: /invocations and /ping as MLflow has them, and POST /v1/score for a lead by its id.

    Another champion that is promoted or rolled back to meanwhile is served within seconds, without a failed request.

    - `leadwise serve --port 8080`
    - `leadwise serve --workers 2`
    """
    from pipelines.core.tenant import Tenant
    from serving.server import serve as serve_champion

    whose = Tenant.load(tenant)
    serve_champion(whose, whose.target(target)[0], host=host, port=port, workers=workers)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="Results")(serve)
