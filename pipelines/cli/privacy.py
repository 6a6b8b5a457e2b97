"""`leadwise forget` and `leadwise reproduce`: what goes, and what can be made again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import Json, TenantName

if TYPE_CHECKING:
    from pipelines.train.reproduce import Reproduced


def reproduce(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Id or its beginning, name, version (v3), champion or challenger.")
    ],
    tenant: TenantName = "demo",
    json: Json = False,
) -> None:
    """Make a training again: the same rows from its Iceberg snapshots, the same fit, the same predictions.

    The contracts, SQL and parameters are the run's own. Ends with 1 where something differs for another reason than
    leads that were forgotten. Nothing is written.

    - `leadwise reproduce champion`
    - `leadwise reproduce 4f1c2a9b --json`
    """
    from pipelines.cli import show
    from pipelines.core.tenant import Tenant
    from pipelines.train.reproduce import reproduce as step

    found = step(Tenant.load(tenant), run)
    if json:
        show.as_json(found.to_dict())
    else:
        _print(found)
    if not found.explained:
        raise typer.Exit(1)


def _print(found: Reproduced) -> None:
    from pipelines.cli import show

    out = show.console()
    out.print(f"[bold]reproduce[/bold] · {found.tenant} · {found.target} as of {found.as_of[:10]} · {found.run_id}")
    grid = show.table(["", ""], header=False)
    for name in ("rows", "rows_gone", "rows_added", "same_rows", "same_predictions", "largest_difference"):
        grid.add_row(name.replace("_", " "), show.figure(getattr(found, name)))
    out.print(grid)
    verdict = (
        "the training is the same" if found.same_rows and found.same_predictions else "the training is not the same"
    )
    for note in (verdict, *found.differences, *found.notes):
        out.print(f"• {note}", markup=False, soft_wrap=True)


def forget(
    lead: Annotated[list[str], typer.Option("--lead", help="Id of a lead; may be given several times.", metavar="ID")],
    tenant: TenantName = "demo",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would go, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete a lead for good: phone, salt, raw values and every row with its id, old versions and files included.

    What can't be undone is asked first. Exports that sources read are yours to correct; what is read of them again
    leaves the lead out. `leadwise reproduce` tells how many rows of a training are gone.

    - `leadwise forget --lead 0f3b62c1a9d84e5577aa01bc --dry-run`
    - `leadwise forget --lead 0f3b62c1a9d84e5577aa01bc --yes`
    """
    import sys

    from pipelines.cli import show
    from pipelines.core.errors import ConfigError
    from pipelines.core.tenant import Tenant
    from pipelines.privacy.forget import forget as step

    whose = Tenant.load(tenant)
    if not dry_run and not yes:
        if not sys.stdin.isatty():
            raise ConfigError("forgetting can't be undone: say --yes, or look with --dry-run first")
        show.report(step(whose, lead, dry_run=True), json_too=False)
        typer.confirm("Delete all of this for good?", abort=True, err=True)
    show.report(step(whose, lead, dry_run), json)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(rich_help_panel="Results")(reproduce)
    app.command(rich_help_panel="Personal data")(forget)
