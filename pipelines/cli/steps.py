"""The commands that run one step, without Airflow."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.options import Day, From, Json, Target, TenantName, To

if TYPE_CHECKING:
    from pipelines.core.interval import Interval
    from pipelines.core.report import Report
    from pipelines.core.tenant import Tenant

# Where each step lives; imported when it is run.
STEPS = {
    "market": "pipelines.collect.simulator.days",
    "ingest": "pipelines.collect.ingest",
    "validate": "pipelines.quality.validate",
    "features": "pipelines.features.step",
    "train": "pipelines.train.step",
    "promote": "pipelines.promotion.promote",
    "score": "pipelines.deliver.score",
    "monitor": "pipelines.watch.monitor",
    "expire": "pipelines.privacy.expire",
}


def call(name: str, tenant: Tenant, interval: Interval, **options: Any) -> Report:
    """Run the step `name` and return its report."""
    outcome: Report = getattr(import_module(STEPS[name]), name)(tenant, interval, **options)
    return outcome


def _command(
    name: str, tenant: str, date: str | None, start: str | None, end: str | None, as_json: bool, **options: Any
) -> None:
    from pipelines.cli import options as shared
    from pipelines.cli import show
    from pipelines.core.tenant import Tenant

    whose = Tenant.load(tenant)
    if "target" in options:
        whose.target(options["target"])  # a misspelt one is told before any work
    show.report(call(name, whose, shared.days(whose, date, start, end), **options), as_json)


def market(
    tenant: TenantName = "demo", date: Day = None, start: From = None, end: To = None, json: Json = False
) -> None:
    """Let a simulated market export days that were drawn ahead; `leadwise up` does so every minute.

    - `leadwise market --date 2026-04-01`
    """
    _command("market", tenant, date, start, end, json)


def ingest(
    tenant: TenantName = "demo", date: Day = None, start: From = None, end: To = None, json: Json = False
) -> None:
    """Read the sources of those days into the raw tables.

    A day that was read before is replaced, so running it again loads nothing twice.

    - `leadwise ingest --tenant NAME`
    - `leadwise ingest --from 2026-03-01 --to 2026-03-08`
    """
    _command("ingest", tenant, date, start, end, json)


def validate(
    tenant: TenantName = "demo", date: Day = None, start: From = None, end: To = None, json: Json = False
) -> None:
    """Check raw rows against the contracts: good ones to the clean tables, bad ones to quarantine.

    A batch that is bad as a whole is refused, and nothing of it is published.

    - `leadwise validate --date 2026-03-01`
    """
    _command("validate", tenant, date, start, end, json)


def features(
    tenant: TenantName = "demo",
    date: Day = None,
    start: From = None,
    end: To = None,
    rewrite: Annotated[
        bool,
        typer.Option(
            "--rewrite",
            help="Write the whole history of new and changed views anew, each in one commit; takes no days.",
        ),
    ] = False,
    without_champion: Annotated[
        bool, typer.Option("--without-champion", help="Go on although the champion reads a feature that is gone.")
    ] = False,
    json: Json = False,
) -> None:
    """Compute the features as of each midnight of those days and bring the newest to the online store.

    After the SQL of a view changed its whole history is written anew, so that no two definitions are mixed; until then
    its days are refused. `leadwise plan` shows what that takes.

    - `leadwise features --from 2026-03-01 --to 2026-04-01`
    - `leadwise features --rewrite`
    """
    if rewrite and (date or start or end):
        raise typer.BadParameter("it goes over all days that were computed: give no days", param_hint="--rewrite")
    _command("features", tenant, date, start, end, json, rewrite=rewrite, without_champion=without_champion)


def train(
    tenant: TenantName = "demo",
    date: Day = None,
    start: From = None,
    end: To = None,
    target: Target = None,
    json: Json = False,
) -> None:
    """Fit all candidates on what is known by the end of those days and register the challenger.

    - `leadwise train --tenant demo --target conversion`
    """
    _command("train", tenant, date, start, end, json, target=target)


def promote(
    tenant: TenantName = "demo",
    date: Day = None,
    start: From = None,
    end: To = None,
    target: Target = None,
    json: Json = False,
) -> None:
    """Judge the challenger by the gate, on rows that neither it nor the champion learnt from, and promote what passes.

    Where `promotion.review` is `human` a person decides then: `leadwise approve`, `leadwise reject`, or in Airflow.

    - `leadwise promote --tenant demo`
    """
    _command("promote", tenant, date, start, end, json, target=target)


def score(
    tenant: TenantName = "demo",
    date: Day = None,
    start: From = None,
    end: To = None,
    target: Target = None,
    with_phone: Annotated[
        bool, typer.Option("--with-phone", help="Write phone numbers into the audience files: personal data.")
    ] = False,
    json: Json = False,
) -> None:
    """Score the candidates as of the end of those days and write the audience (Parquet and CSV).

    - `leadwise score --date 2026-03-31`
    - `leadwise score --with-phone`
    """
    _command("score", tenant, date, start, end, json, target=target, with_phone=with_phone)


def monitor(
    tenant: TenantName = "demo",
    date: Day = None,
    start: From = None,
    end: To = None,
    target: Target = None,
    json: Json = False,
) -> None:
    """Compare features and scores with the sample the champion was trained on; writes an HTML report.

    - `leadwise monitor --date 2026-03-31`
    """
    _command("monitor", tenant, date, start, end, json, target=target)


def expire(
    tenant: TenantName = "demo", date: Day = None, start: From = None, end: To = None, json: Json = False
) -> None:
    """Delete what is due as of the end of those days: old personal rows, versions nobody needs, files nobody knows.

    `retention` in `params.yaml` says how long raw rows and quarantine stay, and which runs can be reproduced.

    - `leadwise expire --date 2026-03-31`
    """
    _command("expire", tenant, date, start, end, json)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for command in (market, ingest, validate, features, train, promote, score, monitor, expire):
        app.command(rich_help_panel="One step, without Airflow")(command)
