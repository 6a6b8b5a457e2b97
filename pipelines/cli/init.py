"""`leadwise init`: a use case and a tenant from somebody's own files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import Json

if TYPE_CHECKING:
    from pipelines.init import Made


def init(
    case: Annotated[str, typer.Argument(help="Name of the use case, such as gym.", metavar="CASE")],
    files: Annotated[
        list[Path],
        typer.Option("--from", help="CSV, Parquet or JSON lines; the first has those to score.", metavar="FILE"),
    ],
    entity: Annotated[
        str | None, typer.Option(help="Column that says whom a row is about.", metavar="COLUMN", show_default=False)
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Column that says when it happened.", metavar="COLUMN", show_default=False)
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="The outcome: COLUMN, COLUMN=VALUE, or TABLE[.COLUMN=VALUE] where a later row of a second file is.",
            metavar="WHAT",
            show_default=False,
        ),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(
            help="Days in which the outcome happens; a week at most when unset.", metavar="DAYS", show_default=False
        ),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", help="Name of the tenant; CASE when unset.", metavar="NAME")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a use case and a tenant of these names.")] = False,
    json: Json = False,
) -> None:
    """Make a use case of your own files: contracts, SQL and a tenant, which run at once.

    Types, keys, ranges, values and personal data are read from all rows; what had to be guessed is marked in the files
    and listed here. Correct it there, or name the column.

    - `leadwise init gym --from members.csv --from visits.csv`
    - `leadwise init shop --from customers.csv --from orders.csv --label orders --horizon 30`
    - `leadwise init calls --from calls.parquet --entity client_id --time called_at --label result=won`
    """
    from pipelines.cli import show
    from pipelines.core.settings import get_settings
    from pipelines.init import Request, Wanted
    from pipelines.init import init as make

    wanted = Wanted(entity, time, label)
    made = make(Request(case, files, tenant, wanted, horizon, force), get_settings())
    if json:
        show.as_json(asdict(made))
    else:
        _show(made)


def _show(made: Made) -> None:
    """Print what was made, what was guessed, and the next command."""
    from pipelines.cli import show

    out = show.console()
    rows = ", ".join(f"{name} ({show.figure(count)} rows)" for name, count in made.tables.items())
    out.print(f"[bold]{made.case}[/bold] · {rows}", soft_wrap=True)
    for title, lines in (("Written", [str(path) for path in made.files]), ("Guessed", made.guesses)):
        out.print(f"\n{title}:")
        for line in lines:
            out.print(f"  • {line}", markup=False, soft_wrap=True)
    out.print("\nLook at the contracts, correct what you know better, then:\n")
    out.print(f"  leadwise run --tenant {made.tenant}", markup=False)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="The whole way")(init)
