"""`leadwise plan`: what a change of contracts, SQL or parameters would do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from pipelines.cli.options import Json, TenantName

if TYPE_CHECKING:
    from pipelines.plan.plan import ChampionPlan, Plan, QueryPlan, TablePlan

_SIGNS = {"added": "+", "retired": "-", "breaking": "!", "new": "+", "changed": "~", "gone": "-"}
_COLOURS = {"+": "green", "-": "red", "!": "bold red", "~": "yellow"}
_KINDS = {"features": "view", "label": "label"}


def plan(tenant: TenantName = "demo", json: Json = False) -> None:
    """Show what contracts, SQL and parameters as they stand now would change, before anything is applied.

    Per contract: columns added, widened, renamed and retired. Per query: whether stored rows are of another definition,
    what is computed anew, and which models and runs used the old one. Then champions, Feast's objects, and parameters
    that change no data. Nothing is written. Ends with 1 where a change would break something, and says what.

    `validate` applies contracts; `leadwise features --rewrite` applies changed views.

    - `leadwise plan`
    - `leadwise plan --tenant demo --json`
    """
    from pipelines.cli import show
    from pipelines.core.tenant import Tenant
    from pipelines.plan.plan import plan as made

    found = made(Tenant.load(tenant))
    if json:
        show.as_json(found.to_dict())
    else:
        out = show.console()
        out.print(f"[bold]plan[/bold] · {found.tenant}")
        for line in lines(found):
            sign = line.lstrip()[:1]
            style = _COLOURS.get(sign, "") if line.startswith("  ") else "bold"
            out.print(line, style=style, markup=False, soft_wrap=True)
    if found.breaking:
        raise typer.Exit(1)


def lines(found: Plan) -> Iterator[str]:
    """The plan as a person reads it; a line that begins with `!` is refused."""
    for table in found.tables:
        yield from _table(table)
    for query in found.queries:
        yield from _query(query, found.tenant)
    for champion in found.champions:
        yield from _champion(champion)
    objects = [*(f"  + {name}" for name in found.feast["apply"]), *(f"  - {name}" for name in found.feast["remove"])]
    if objects:
        yield "Feast"
        yield from objects
    if found.breaking:
        yield "refused"
        yield from (f"  ! {sentence}" for sentence in found.breaking)
    if not found.changes:
        yield "nothing to do: tables, features, models and Feast are as contracts, SQL and parameters say"


def _table(table: TablePlan) -> Iterator[str]:
    yield f"contract {table.table} {table.versions} ({table.rows:,} rows)"
    for change in table.changes:
        subject = f"{change['column']} " if change["column"] else ""
        yield f"  {_SIGNS.get(change['kind'], '~')} {subject}{change['what']}"
    if table.versions.partition(" → ")[0] == table.versions.partition(" → ")[2]:
        yield "  ~ the version is the same: raise it, so that people can tell the two apart"
    if any(change["kind"] == "loosened" for change in table.changes):
        yield "  ~ rows in quarantine may keep it now: `leadwise replay --dry-run` shows which"


def _query(query: QueryPlan, tenant: str) -> Iterator[str]:
    if query.state == "current":
        return
    kind, _, name = query.name.partition(".")
    yield f"{_KINDS.get(kind, kind)} {name}".strip() + (f" ({query.file})" if query.file else "")
    yield f"  {_SIGNS[query.state]} {_state(query, tenant)}"
    for sign, names, what in (
        ("+", query.added, "is a new feature"),
        ("-", query.gone, "is no feature any more"),
        ("~", query.retyped, "is of another type"),
    ):
        yield from (f"  {sign} {one} {what}" for one in names)
    if query.runs:
        yield f"  ~ trained on another definition: {', '.join(query.runs)}"


def _state(query: QueryPlan, tenant: str) -> str:
    """What a query that is not as before means."""
    anew = (
        f"`leadwise features --tenant {tenant} --rewrite` computes {query.instants} instants,"
        f" {query.first} to {query.last}, in one commit"
    )
    if query.name.startswith("features."):
        if query.state == "gone":
            return f"gone: its {query.rows:,} rows stay, and nothing reads them"
        if query.state == "new":
            return f"new: {anew}" if query.instants else "new: the first run computes it"
        if query.every_days and not query.older:
            before, now = query.every_days
            return (
                f"other midnights: computed every {before} days, and by features.every_days every {now} days from now"
                f" on; stored rows stay as they are until {anew}"
            )
        return f"changed: {query.older:,} of {query.rows:,} stored rows are of another definition: {anew}"
    if query.name == "candidates":
        return "gone" if query.state == "gone" else "changed: the next `leadwise score` asks the new one"
    return "changed: models were trained on other labels: train and promote again"


def _champion(champion: ChampionPlan) -> Iterator[str]:
    if not (champion.missing or champion.older or champion.parameters):
        return
    yield f"champion {champion.model} v{champion.version}"
    for name in champion.missing:
        yield f"  ! reads the feature {name}, which is gone or of another kind"
    if not champion.missing:
        yield "  ~ keeps working: every feature that it reads is there"
    if champion.older:
        yield f"  ~ was trained on an older definition of {', '.join(champion.older)}: train and promote again"
    for name, (before, now) in champion.parameters.items():
        yield f"  ~ {name}: {before} → {now} (changes no data; the next training takes it)"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="One step, without Airflow")(plan)
