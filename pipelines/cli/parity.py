"""`leadwise parity`: whether the online store holds what the lake says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import Json, TenantName

if TYPE_CHECKING:
    from pipelines.features.parity import Parity

_SHOWN = 20


def parity(
    tenant: TenantName = "demo",
    sample: Annotated[
        int | None, typer.Option("--sample", help="So many entities of each kind; all of them when unset.", min=1)
    ] = None,
    json: Json = False,
) -> None:
    """Compare what applications read online with the lake.

    A stock Feast client reads the feature service of each kind of entity, on-demand features included, and has to find
    the newest row up to the online store's watermark. Entities that are only online count as differing. The command
    ends with 1 if anything differs.

    - `leadwise parity --sample 1000`
    - `leadwise parity --json` prints `{"checked", "differing", "differing_share"}`
    """
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions
    from pipelines.cli import show
    from pipelines.core.tenant import Tenant
    from pipelines.features.parity import parity as compare

    whose = Tenant.load(tenant)
    found = compare(whose, load_definitions(whose, load_contracts(whose.contracts_dir)), sample)
    if json:
        show.as_json(found.to_dict())
    else:
        _tell(found)
    if found.differing:
        raise typer.Exit(1)


def _tell(found: Parity) -> None:
    from dataclasses import asdict

    from pipelines.cli import show

    out = show.console()
    if found.differences:
        out.print(show.records([asdict(one) for one in found.differences[:_SHOWN]]))
    if len(found.differences) > _SHOWN:
        out.print("… and others")
    out.print(f"{found.checked:,} entities checked, {found.differing:,} differ", markup=False)
    if found.differing:
        out.print("run `leadwise features` over the last days again: it writes every entity anew", markup=False)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="Results")(parity)
