"""`leadwise doctor`: what is wrong with DAGs, use cases, parameters, machine and state, and how to mend it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.doctor.rules import Finding, Rule

OneTenant = Annotated[
    str | None, typer.Option("--tenant", "-t", help="One tenant; all of them when unset.", metavar="NAME")
]
Only = Annotated[
    list[str] | None, typer.Option("--only", help="A rule, or a group of rules; may be given again.", metavar="RULE")
]
Rules = Annotated[bool, typer.Option("--list", help="Show the rules, and why they are, instead of looking.")]
Dags = Annotated[
    Path | None,
    typer.Option("--dags", help="Another folder of DAG files.", metavar="PATH", exists=True, file_okay=False),
]


def doctor(
    tenant: OneTenant = None, only: Only = None, listed: Rules = False, dags: Dags = None, json: Json = False
) -> None:
    """Look for what is wrong, in seconds: one rule each, and each finding says how to mend it.

    Ends with 1 when there is an error; warnings alone end with 0. Nothing is changed.

    - `leadwise doctor`
    - `leadwise doctor --tenant demo --only sql --only contract-personal`
    - `leadwise doctor --list`
    """
    from pipelines.core.report import progress
    from pipelines.core.settings import ROOT
    from pipelines.doctor.facts import Facts
    from pipelines.doctor.rules import Unavailable, chosen, examine

    rules = chosen(only or ())
    if listed:
        _list(rules, json)
        return
    facts = Facts(tenant=tenant, dags=dags or ROOT / "dags")
    with suppress(Unavailable):
        _ = facts.names  # a misspelt tenant is told before anything else
    with progress("doctor", len(rules)) as advance:
        findings = examine(facts, only or (), advance)
    _tell(findings, len(rules), json)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def _list(rules: Sequence[Rule], as_json: bool) -> None:
    """The rules, group by group."""
    from pipelines.cli import show

    if as_json:
        names = ("id", "group", "level", "headline", "why", "mend")
        show.as_json([{name: getattr(rule, name) for name in names} for rule in rules])
        return
    out = show.console()
    group = ""
    for rule in rules:
        if rule.group != group:
            group = rule.group
            out.print(f"\n[bold]{group}[/bold]")
        out.print(f"  {rule.id:<20} {rule.level:<8} {rule.headline}", markup=False, soft_wrap=True)
        out.print(f"  {'':<20} {'':<8} {rule.why}", style="dim", markup=False, soft_wrap=True)


def _tell(findings: Sequence[Finding], rules: int, as_json: bool) -> None:
    """Findings for a person, errors first, or for a program."""
    from pipelines.cli import show

    errors = sum(finding.level == "error" for finding in findings)
    if as_json:
        show.as_json(
            {
                "rules": rules,
                "errors": errors,
                "warnings": len(findings) - errors,
                "findings": [finding.to_dict() for finding in findings],
            }
        )
        return
    out = show.console()
    for finding in sorted(findings, key=lambda finding: finding.level):
        colour = "red" if finding.level == "error" else "yellow"
        out.print(f"[{colour}]{finding.level}[/{colour}]  [bold]{finding.rule}[/bold]", soft_wrap=True)
        what = finding.what if finding.what.startswith(finding.where) else f"{finding.where}: {finding.what}"
        out.print(f"  {what}", markup=False, soft_wrap=True)
        out.print(f"  mend: {finding.mend}\n", markup=False, soft_wrap=True)
    figures = f"{rules} rules, {_many(errors, 'error')}, {_many(len(findings) - errors, 'warning')}"
    out.print(figures if findings else f"{figures}: all is well")


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="Help")(doctor)
