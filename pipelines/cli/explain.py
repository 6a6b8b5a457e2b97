"""`leadwise explain`: from a score back to what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.options import Json, TenantName

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.deliver.explain import Told


def explain(
    score_id: Annotated[str, typer.Argument(metavar="SCORE_ID", help="From the column score_id of an audience file.")],
    tenant: TenantName = "demo",
    top: Annotated[int, typer.Option("--top", help="Reasons of each model.", min=1, max=100)] = 8,
    json: Json = False,
) -> None:
    """Show what a score rests on: features then, reasons, model, run, data, SQL, commit, and who promoted it.

    The score is computed again from the features as they were, and compared with what was stored. Nothing is written.

    - `leadwise explain 3f0c…`
    - `leadwise explain 3f0c… --json`
    """
    from pipelines.cli import show
    from pipelines.core.tenant import Tenant
    from pipelines.deliver.explain import explain as explained

    found = explained(Tenant.load(tenant), score_id, top)
    if json:
        show.as_json(found.to_dict())
        return
    out = show.console()
    score = found.score
    head = f"{score['entity_id']} · as of {score['as_of']:%Y-%m-%d %H:%M} UTC · tier {score['tier']}"
    out.print(f"[bold]score[/bold] {score['score_id']}\n{head}", soft_wrap=True)
    for told in found.models:
        _model(out, told)
    if found.features:
        out.print(f"{len(found.features)} features in all: --json prints them", markup=False)
    for note in found.notes:
        out.print(f"• {note}", markup=False, soft_wrap=True)


def _model(out: Console, told: Told) -> None:
    """One model's word, why, and where it comes from."""
    from pipelines.cli import show

    out.print()
    again = "" if told.again is None else ", the same again" if told.same else f", now {told.again:.6g}"
    unit = "log odds" if told.model["task"] == "binary" else "label's unit"
    if told.reasons:
        rows = [
            {
                f"{told.target}: {told.said:.6g}{again}": one.feature,
                "value": _value(one.value),
                f"moved ({unit})": f"{one.moved:+.3f}",
                "meaning": one.means,
            }
            for one in told.reasons
        ]
        table = show.records(rows)
        for name, column in zip(rows[0], table.columns, strict=True):
            column.justify = "left" if name == "meaning" else column.justify
        out.print(table)
    else:
        out.print(f"{told.target}: {told.said:.6g}", markup=False)
    model, run, decided = told.model, told.run, told.decision
    lines = {
        "model": f"{model['name']} v{model['version']} ({model['kind']}), trained as of {model['trained_as_of'][:16]}",
        "files": f"sha256 {model['digest']}",
        "run": run["run_id"],
        "code": f"{run['git_commit'] or 'unknown commit'}{' with changes' if run['git_dirty'] == 'true' else ''}",
        "data": ", ".join(f"{name} @ {snapshot}" for name, snapshot in told.data.items()),
        "SQL": ", ".join(f"{name} {digest[:12]}" for name, digest in told.sql.items()),
    }
    if decided is not None:
        lines["in production"] = f"since {decided['at'][:19]} UTC by {decided['by']}: {decided['why']}"
    for name, line in lines.items():
        out.print(f"  {name:<14} {line}", markup=False, soft_wrap=True)


def _value(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="Results")(explain)
