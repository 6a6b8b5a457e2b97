"""Options that commands share, and the days they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant

TenantName = Annotated[
    str,
    typer.Option("--tenant", "-t", help="Whose data and models; `params.yaml` lists the tenants.", metavar="NAME"),
]
Day = Annotated[
    str | None, typer.Option("--date", help="One UTC day. Without dates: all days of the tenant's run.", metavar="DAY")
]
From = Annotated[str | None, typer.Option("--from", help="First UTC day.", metavar="DAY")]
To = Annotated[str | None, typer.Option("--to", help="The UTC day after the last one (excluded).", metavar="DAY")]
Target = Annotated[
    str | None, typer.Option("--target", help="One target of the use case; all of them when unset.", metavar="NAME")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, progress on standard error.")]


def days(tenant: Tenant, date: str | None, start: str | None, end: str | None) -> Interval:
    """The days that `--date` or `--from/--to` mean; without them the tenant's whole run.

    Raises:
        ConfigError: not a day, or an empty interval.
        typer.BadParameter: `--date` together with `--from` or `--to`.
    """
    from pipelines.core.interval import Interval, parse_day

    if date is not None:
        if start is not None or end is not None:
            raise typer.BadParameter("give either --date or --from/--to, not both", param_hint="--date")
        return Interval.day(parse_day(date))
    whole = tenant.whole_run
    first = parse_day(start) if start is not None else whole.start.date()
    last = parse_day(end) if end is not None else whole.end.date()
    return Interval.of_days(first, last)
