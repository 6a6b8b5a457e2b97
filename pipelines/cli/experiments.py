"""`leadwise experiments` and `leadwise compare`: what was tried, and whether it is better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import Json, Target, TenantName

if TYPE_CHECKING:
    from pipelines.train.compare import Comparison

RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="Id or its beginning, name, version (v3), champion or challenger.")
]
MOST = 20


def experiments(
    tenant: TenantName = "demo",
    target: Target = None,
    every: Annotated[bool, typer.Option("--all", help=f"All runs, not only the newest {MOST}.")] = False,
    json: Json = False,
) -> None:
    """List the runs of a tenant: trainings and experiments, newest first, with the names `compare` takes.

    `dvc exp run -S train.lightgbm.num_leaves=31` makes an experiment, `dvc exp show` tells how their parameters differ.

    - `leadwise experiments`
    - `leadwise experiments --tenant NAME --all`
    """
    from pipelines.cli import show
    from pipelines.core.tenant import Tenant
    from pipelines.registry.runs import runs

    found = runs(Tenant.load(tenant), target)
    shown = found if every or json else found[:MOST]
    if json:
        show.as_json([{**run.row(), "run_id": run.run_id, "as_of": run.as_of} for run in shown])
        return
    out = show.console()
    if not found:
        out.print(f"Nothing was trained for '{tenant}' yet: leadwise train --tenant {tenant}", markup=False)
        return
    out.print(show.records([run.row() for run in shown]))
    if len(found) > len(shown):
        out.print(f"… and {len(found) - len(shown)} older ones: --all lists them", markup=False)
    out.print("Each log loss and AUC is of the run's own holdout; `leadwise compare RUN RUN` takes one for both.")


def compare(
    first: RunName,
    second: RunName,
    tenant: TenantName = "demo",
    target: Target = None,
    draws: Annotated[int, typer.Option("--draws", min=100, help="Resamples of the bootstrap.")] = 2000,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Also draw it, as PNG.", metavar="FILE", dir_okay=False)
    ] = None,
    json: Json = False,
) -> None:
    """Compare two runs on the same holdout: paired differences with 95 % intervals, and a verdict.

    Both models score the rows that neither learnt from. All rows of an entity are drawn together; the log loss decides.

    - `leadwise compare champion challenger`
    - `leadwise compare v1 small-trees --plot difference.png`
    """
    from pipelines.cli import show
    from pipelines.core.errors import ConfigError
    from pipelines.core.report import progress
    from pipelines.core.tenant import Tenant
    from pipelines.train import compare as step

    whose = Tenant.load(tenant)
    if plot is not None and plot.suffix.lower() != ".png":
        raise ConfigError(f"the picture {plot} must be a PNG: name it {plot.with_suffix('.png')}")
    with progress("compare"):
        found = step.compare(whose, first, second, target, draws)
        if plot is not None:
            from pipelines.train.plots import draw_comparison

            draw_comparison(plot, found)
    if json:
        show.as_json(found.to_dict())
        return
    _print(found)
    if plot is not None:
        show.console().print(f"• picture: {plot}", markup=False, soft_wrap=True)


def _print(found: Comparison) -> None:
    from pipelines.cli import show

    out = show.console()
    whose = "" if found.entities is None else f" of {found.entities:,} entities"
    out.print(
        f"[bold]compare[/bold] · {len(found.labels):,} rows{whose} that neither learnt from,"
        f" {found.span[0]} to {found.span[1]}",
        soft_wrap=True,
    )
    for name, run in (("A", found.first), ("B", found.second)):
        known = ", ".join(filter(None, (f"v{run.version}" if run.version else "", *run.aliases)))
        told = f"{name}: {run.short} {run.name} (as of {run.as_of[:10]}{', ' + known if known else ''})"
        out.print(told, markup=False, soft_wrap=True)
    out.print(show.records(found.rows()))
    for note in (found.verdict, *found.notes):
        out.print(f"• {note}", markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for command in (experiments, compare):
        app.command(rich_help_panel="Results")(command)
