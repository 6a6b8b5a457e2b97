"""`leadwise replay`: quarantined rows through the gate again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import From, Json, TenantName, To

if TYPE_CHECKING:
    from pipelines.core.interval import Interval
    from pipelines.core.report import Report
    from pipelines.core.tenant import Tenant


def replay(
    tenant: TenantName = "demo",
    table: Annotated[
        str | None, typer.Option("--table", help="Only this table's batches that were published.", metavar="NAME")
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", help="Only batches with rows that this rule refused.", metavar="NAME")
    ] = None,
    start: From = None,
    end: To = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge and show, and change nothing.")] = False,
    features: Annotated[
        bool, typer.Option("--features", help="Compute the features anew over the days that changed.")
    ] = False,
    json: Json = False,
) -> None:
    """Send quarantined rows through again, after a rule or mapping was mended.

    Batches are judged as a whole by the contracts and mapping.sql of today; what is released enters the clean tables as
    if these had been in force from the start, and what they refuse leaves them. Days that were refused as a whole are
    tried again too. Without dates: all days that were ingested.

    - `leadwise replay --dry-run` shows before and after, and changes nothing
    - `leadwise replay --table messages --rule range --from 2026-03-01 --to 2026-03-08`
    - `leadwise replay --features` also brings the features up to date
    """
    from pipelines.cli import show
    from pipelines.core.tenant import Tenant
    from pipelines.quality.replay import replay as step

    whose = Tenant.load(tenant)
    outcome = step(whose, _days(whose, start, end), table, rule, dry_run)
    if features and not dry_run:
        _features(whose, outcome)
    show.report(outcome, json)


def _days(tenant: Tenant, start: str | None, end: str | None) -> Interval | None:
    """The days of `--from` and `--to`, open where one is not given; None for all."""
    from datetime import date

    from pipelines.core.interval import Interval, parse_day

    if start is None and end is None:
        return None
    first = parse_day(start) if start else date(1900, 1, 1)
    return Interval.of_days(first, parse_day(end) if end else max(date(2200, 1, 1), first))


def _features(tenant: Tenant, outcome: Report) -> None:
    """Run the step `features` over the days that the replay names."""
    from pipelines.core.interval import Interval, parse_day
    from pipelines.features.step import features as step

    if "features_from" not in outcome.counts:
        return
    first, last = (parse_day(str(outcome.counts[name])) for name in ("features_from", "features_to"))
    done = step(tenant, Interval.of_days(first, last))
    outcome.notes = [note for note in outcome.notes if "--features" not in note]
    outcome.notes.append(f"features of {first} to {last} (excluded) were computed anew: {done.counts['rows']} rows")


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="One step, without Airflow")(replay)
