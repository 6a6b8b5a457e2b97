"""`leadwise status`: what there is, in one look."""

from __future__ import annotations

import typer

from pipelines.cli.options import Json, TenantName


def status(tenant: TenantName = "demo", json: Json = False) -> None:
    """Show what a tenant has: tables, features, models, scores, drift.

    - `leadwise status --tenant NAME`
    - `leadwise status --json`
    """
    from pipelines.cli import show
    from pipelines.cli.status import collect
    from pipelines.cli.summary import tables
    from pipelines.core.tenant import Tenant

    state = collect(Tenant.load(tenant))
    if json:
        show.as_json(state)
        return
    out = show.console()
    for table in tables(state):
        out.print(table)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="Results")(status)
