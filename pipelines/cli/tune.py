"""`leadwise tune`: better parameters, searched on the training rows."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import Json, TenantName


def tune(
    tenant: TenantName = "demo",
    target: Annotated[
        str | None, typer.Option("--target", help="What is predicted; the tenant's first when unset.", metavar="NAME")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="lightgbm, xgboost, linear or network; each when unset, the network where it is a member.",
            metavar="NAME",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option("--trials", min=1, help="Trials of each model in all, those of earlier calls included."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0, help="Time of this call; a trial that has begun is brought to its end."),
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="Read the training set from the lake anew.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Put what is better beyond chance into params.yaml, comments kept.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Put the best of each model there, whatever the interval says.")
    ] = False,
    json: Json = False,
) -> None:
    """Search better parameters of the models, and say whether they are better beyond chance.

    Each trial learns from the training rows before a stretch of time and is judged on that stretch, several times over;
    the holdout takes no part. The ranges stand in `params.yaml` under `tune.space`, the budget of a call without one is
    `tune.trials`. Every trial is an MLflow run inside the run of its search. Ctrl-C is fine: the same command goes on
    where it was, and gives what it would have given. Nothing is registered and no alias moves.

    The interval tells by how much the best is better than the present values on new rows: what it owes to being the
    best of many is taken off. `leadwise train` then fits with the new values.

    - `leadwise tune --trials 40`
    - `leadwise tune --model lightgbm --minutes 10`
    - `leadwise tune --tenant bank --write`
    """
    from pipelines.cli import show
    from pipelines.core.tenant import Tenant
    from pipelines.train.search.step import Budget
    from pipelines.train.search.step import tune as step

    budget = None
    if trials is not None or minutes is not None:
        budget = Budget(trials, None if minutes is None else minutes * 60)
    outcome = step(Tenant.load(tenant), target, model, budget, anew=freeze, write=write, force=force)
    if json:
        show.as_json(outcome.to_dict())
        return
    show.report(outcome.report, json_too=False)
    if outcome.yaml and not (write or force):
        show.console().print(f"\nFor params.yaml:\n\n{outcome.yaml}", markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="Results")(tune)
