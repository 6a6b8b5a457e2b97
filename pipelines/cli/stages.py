"""The stages of `dvc.yaml`: `python -m pipelines.cli.stages STAGE`, run by DVC where the repository or a copy of it is.

DVC runs queued experiments in a temporary copy of the repository: its code and parameters are the copy's, while lake,
MLflow and all other state stay those of the repository itself (`DVC_ROOT`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.errors import FriendlyGroup
from pipelines.cli.options import TenantName

if TYPE_CHECKING:
    from pipelines.core.report import Report
    from pipelines.core.tenant import Tenant

FROZEN, MODELS = "training_set.parquet", "models"  # as dvc.yaml names them

app = typer.Typer(
    name="stages",
    cls=FriendlyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The stages of dvc.yaml; `dvc repro` and `dvc exp run` call them.",
)
TargetName = Annotated[str, typer.Option("--target", help="One target of the use case.", metavar="NAME")]
Folder = Annotated[Path, typer.Option("--folder", help="Where the files of the experiment lie.", metavar="PATH")]


@app.command()
def freeze(tenant: TenantName, target: TargetName, folder: Folder) -> None:
    """Read the training set from the lake, once."""
    from pipelines.train import freeze as step

    whose = _tenant(tenant)
    _show(step.freeze(whose, whose.whole_run, target, folder / FROZEN))


@app.command()
def fit(tenant: TenantName, target: TargetName, folder: Folder) -> None:
    """Fit every candidate on the frozen training set."""
    from pipelines.train import experiment

    _show(experiment.fit(_tenant(tenant), target, folder / FROZEN, folder / MODELS))


@app.command()
def evaluate(tenant: TenantName, target: TargetName, folder: Folder) -> None:
    """Judge the candidates on the holdout and record an MLflow run."""
    from pipelines.train import experiment

    files = folder / FROZEN, folder / MODELS, folder / "metrics.json", folder / "plots"
    _show(experiment.evaluate(_tenant(tenant), target, *files))


def _tenant(name: str) -> Tenant:
    """The tenant by the parameters of this folder, with the state of the repository that DVC was called in."""
    from pipelines.core.tenant import Tenant

    home = Path(os.environ.get("DVC_ROOT") or Path.cwd())
    os.environ["LEADWISE_VAR"] = str(home / os.environ.get("LEADWISE_VAR", "var"))
    os.environ["LEADWISE_PARAMS"] = str(Path.cwd() / "params.yaml")
    return Tenant.load(name)


def _show(report: Report) -> None:
    from pipelines.cli import show

    show.report(report, json_too=False)


if __name__ == "__main__":
    app()
