"""`leadwise simulate`: a market of one's own to try everything on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.options import Json, TenantName

if TYPE_CHECKING:
    from pipelines.core.report import Report
    from pipelines.core.tenant import Tenant


def simulate(
    tenant: TenantName = "demo",
    leads: Annotated[int | None, typer.Option("--leads", min=1, help="How many leads there are in the end.")] = None,
    days: Annotated[int | None, typer.Option("--days", min=1, help="How many days the market runs.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Same seed, same files, byte for byte.")] = None,
    drift: Annotated[bool, typer.Option("--drift", help="Let the market change in its last third.")] = False,
    fraud: Annotated[bool, typer.Option("--fraud", help="Let bots answer among the leads.")] = False,
    json: Json = False,
) -> None:
    """Simulate a market and write its exports, as Parquet files that are read like anyone's.

    What is not given comes from `simulate` in `params.yaml`. Earlier exports of the tenant are replaced.

    - `leadwise simulate`
    - `leadwise simulate --leads 2000 --days 60 --seed 1 --drift`
    """
    from pipelines.cli import show
    from pipelines.core.tenant import Tenant

    changes = {key: value for key, value in {"leads": leads, "days": days, "seed": seed}.items() if value is not None}
    show.report(make(Tenant.load(tenant), drift=drift, fraud=fraud, **changes), json)


def make(tenant: Tenant, drift: bool = False, fraud: bool = False, **changes: Any) -> Report:
    """Simulate the market of `tenant` with `changes` of its parameters.

    Raises:
        ConfigError: the tenant has no simulated market.
    """
    from pipelines.collect.simulator import simulate as simulate_market

    return simulate_market(tenant, drift=drift, fraud=fraud, **changes)


def exported(tenant: Tenant) -> bool:
    """Whether the simulated market of `tenant` was written already."""
    return any(tenant.source_dir.glob("[a-z]*/*.parquet"))


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="The whole way")(simulate)
