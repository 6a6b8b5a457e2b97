"""A simulated SMS market: Parquet that the file collector reads like anyone's export.

`market.Market` is the pure core; `simulate` writes what it draws for a tenant.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipelines.core.errors import ConfigError
from pipelines.core.interval import Interval
from pipelines.core.locks import exclusive
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant

if TYPE_CHECKING:
    from pipelines.core.params import SimulateParams


def simulate(
    tenant: Tenant,
    *,
    leads: int | None = None,
    days: int | None = None,
    seed: int | None = None,
    start: date | None = None,
    drift: bool = False,
    fraud: bool = False,
) -> Report:
    """Draw a market and write it to `tenant.source_dir`, replacing an earlier one.

    What is not given comes from `simulate` of the tenant's parameters. The same arguments give the same files.

    Args:
        tenant: whose source it becomes.
        leads: number of leads, at least 1.
        days: simulated days, at least 1; rows that would arrive later are left out.
        seed: of all random numbers, at least 0.
        start: first day.
        drift: platforms, response times and conversions shift from two thirds of the period on.
        fraud: some leads are fraudulent; `_truth/fraud.parquet` says which.

    Raises:
        ConfigError: the tenant has no simulated market, or an argument is out of range.
        SourceError: the export can't be written.
    """
    given = {"leads": leads, "days": days, "seed": seed, "start": start}
    params = _with(tenant, {name: value for name, value in given.items() if value is not None})
    from pipelines.collect.simulator.export import export, in_one_sentence, remove_leftovers
    from pipelines.collect.simulator.market import Market

    with in_one_sentence(tenant.source_dir), exclusive(tenant, "simulate"):
        remove_leftovers(tenant.source_dir)
        drawn = Market(params, drift=drift, fraud=fraud).draw()
        counts = export(drawn, tenant.source_dir, params)
    report = Report("simulate", tenant.name, Interval.of_days(params.start, params.end))
    report.counts.update(counts)
    report.notes.append(f"{counts['files']} files under {tenant.source_dir}")
    if params.ahead_days:
        report.notes.append(f"{params.ahead_days} more days are drawn; `leadwise up` lets them come one by one")
    if fraud:
        report.notes.append(f"fraudulent leads: {drawn.truth['fraud'].num_rows}")
    return report


def _with(tenant: Tenant, changes: dict[str, Any]) -> SimulateParams:
    """The tenant's parameters of the market with `changes`, checked."""
    usual = tenant.params.simulate
    if usual is None:
        raise ConfigError(
            f"tenant '{tenant.name}' has no 'simulate' section in {tenant.settings.params}: its data is not simulated"
        )
    try:
        return type(usual).model_validate({**usual.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"the market can't be simulated with {name} = {first['input']!r}: {first['msg']}") from None
