"""`leadwise status`: what there is, in one look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from pipelines.cli.options import Json, TenantName


def status(tenant: TenantName = "demo", json: Json = False) -> None:
    """Show what a tenant has: tables, features, models in production, scores, drift.

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
    for note in _notes(tenant, state["models"]):
        out.print(f"• {note}", markup=False, soft_wrap=True)


def _notes(tenant: str, models: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What somebody should do or know about models in production."""
    for target, model in models.items():
        if model["problem"]:
            yield str(model["problem"])
        if model["waiting"]:
            told = f"`leadwise approve --tenant {tenant} --target {target} --reason …`"
            yield f"'{target}': version {model['waiting']} waits for a person: {told}, or `leadwise reject`"
        if model["shadow"]:
            yield f"'{target}': version {model['shadow']} is scored in the champion's shadow"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="Results")(status)
