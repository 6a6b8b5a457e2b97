"""`leadwise history`, `rollback`, `approve` and `reject`: which model is in production, and a person's word on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import Json, Target, TenantName

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant
    from pipelines.registry.ledger import Entry

One = Annotated[
    str | None, typer.Option("--target", help="Target of the use case; needed where there are several.", metavar="NAME")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the ledger.", metavar="TEXT")]
Version = Annotated[
    str | None, typer.Argument(metavar="[VERSION]", help="Version that is meant; the one that waits when not given.")
]


def history(
    tenant: TenantName = "demo",
    target: Target = None,
    at: Annotated[
        str | None, typer.Option("--at", help="Only what was in production at this UTC instant.", metavar="INSTANT")
    ] = None,
    json: Json = False,
) -> None:
    """Show which model was in production when, who put it there, and why.

    - `leadwise history`
    - `leadwise history --at 2026-03-25T12:00 --json`
    """
    from pipelines.cli import show
    from pipelines.core.interval import parse_instant
    from pipelines.core.tenant import Tenant
    from pipelines.registry.history import history as found_in

    entries = found_in(Tenant.load(tenant), target, None if at is None else parse_instant(at))
    if json:
        show.as_json([entry.to_dict() for entry in entries])
        return
    out = show.console()
    if not entries:
        when = f" at {at}" if at else " yet"
        out.print(f"No model of '{tenant}' was in production{when}: leadwise promote --tenant {tenant}", markup=False)
        return
    out.print(show.records([_row(entry) for entry in entries]))


def rollback(
    reason: Reason,
    tenant: TenantName = "demo",
    target: One = None,
    to: Annotated[
        str | None,
        typer.Option("--to", help="Version to go back to; the champion before when unset.", metavar="VERSION"),
    ] = None,
    json: Json = False,
) -> None:
    """Put an earlier version back to work, at once.

    Scores from then on are those of that version. The next training's challenger has to beat it; the one taken back is
    not promoted again by itself. The present version's number puts an alias back that somebody moved by hand.

    - `leadwise rollback --reason "opt-outs doubled since Monday"`
    - `leadwise rollback --to 3 --target conversion --reason "the one we know"`
    """
    from pipelines.cli import show
    from pipelines.core.tenant import Tenant
    from pipelines.registry.history import rollback as step

    whose = Tenant.load(tenant)
    show.report(step(whose, _one(whose, target), reason, to), json)


def approve(
    reason: Reason, version: Version = None, tenant: TenantName = "demo", target: One = None, json: Json = False
) -> None:
    """Put the version to work that passed the gate and waits for a person (`promotion.review: human`).

    - `leadwise approve --reason "seen the page, segments are fine"`
    """
    _answer(True, reason, version, tenant, target, json)


def reject(
    reason: Reason, version: Version = None, tenant: TenantName = "demo", target: One = None, json: Json = False
) -> None:
    """Turn the version down that passed the gate and waits for a person.

    - `leadwise reject --reason "the state of JAL is too thin"`
    """
    _answer(False, reason, version, tenant, target, json)


def _answer(yes: bool, reason: str, version: str | None, tenant: str, target: str | None, json: bool) -> None:
    from pipelines.cli import show
    from pipelines.core.tenant import Tenant
    from pipelines.promotion.review import answer

    whose = Tenant.load(tenant)
    show.report(answer(whose, _one(whose, target), yes, reason, version), json)


def _one(tenant: Tenant, target: str | None) -> str:
    """The target that is meant: a decision on several at once is nobody's meaning."""
    from pipelines.core.errors import ConfigError

    known = tenant.target(target)
    if len(known) > 1:
        raise ConfigError(
            f"tenant '{tenant.name}' has {len(known)} targets: name one with --target: {', '.join(known)}"
        )
    return known[0]


def _row(entry: Entry) -> dict[str, object]:
    return {
        "at (UTC)": f"{entry.at:%Y-%m-%d %H:%M:%S}",
        "target": entry.target,
        "what": entry.action,
        "version": f"v{entry.version}",
        "before": f"v{entry.previous}" if entry.previous else None,
        "by": entry.by,
        "why": entry.why,
    }


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for command in (history, rollback, approve, reject):
        app.command(rich_help_panel="Models in production")(command)
