"""How the DAG files are wired: one DAG per tenant and step, the days a run works on, and how a failure ends.

Parsing a DAG file reads `params.yaml` and nothing heavier; what a task needs is imported inside the task. Airflow looks
only into files that hold the words "airflow" and "dag": their first line does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from dags.days import hand_on, intervals_of
from dags.market_days import MarketDays
from pipelines.collect.simulator.days import Calendar, calendar
from pipelines.core.connections import use
from pipelines.core.errors import Busy, LeadwiseError, SourceUnreachable, StoreUnreachable
from pipelines.core.interval import Interval, midnight
from pipelines.core.origin import Origin, started_by
from pipelines.core.stores import explained
from pipelines.core.tenant import Tenant

if TYPE_CHECKING:
    from pipelines.core.report import Report

    Step = Callable[[Tenant, Interval], Report]

# Four tries: after 1, 2 and 4 minutes. What fails for longer than that is for a person to look at.
RETRIES = {
    "owner": "leadwise",
    "retries": 3,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=30),
}

_PAGE = 100
"""Updates of an asset that are asked for at once, when days that a paused DAG missed are looked for."""

_LOG = logging.getLogger("leadwise")

_DAY = {"type": ["null", "string"], "format": "date"}


@cache
def tenants() -> tuple[Tenant, ...]:
    """Every tenant of the parameter file; read once per parse of the folder."""
    return tuple(Tenant.all())


def asset(tenant: Tenant, name: str) -> Asset:
    """What one DAG of `tenant` hands to the next, e.g. its clean tables."""
    return Asset(name=f"{tenant.name}.{name}", uri=f"leadwise://{tenant.name}/{name}", group="leadwise")


def clock(tenant: Tenant) -> CronDataIntervalTimetable | MarketDays | None:
    """When days of `tenant` are ingested by themselves.

    A simulated market has a clock of its own; sources with a file a day are read every UTC midnight, for the day that
    has just ended; None where the sources know no days.
    """
    params = tenant.params
    if params.simulate is not None:
        market = params.simulate
        drawn = Calendar(market.start, market.end, market.start + timedelta(days=market.drawn_days))
        held = calendar(tenant) or drawn
        return MarketDays(held.end, held.horizon, tenant.settings.day_seconds)
    if any(source.recurrent for source in params.sources.values()):
        return CronDataIntervalTimetable("0 0 * * *", timezone="UTC")
    return None


def workflow(tenant: Tenant, step: str, schedule: Any, doc: str | None) -> DAG:
    """The DAG of `step` for `tenant`, to be used in a `with` statement.

    Args:
        tenant: whose DAG.
        step: name of the DAG without its tenant.
        schedule: a timetable, or the assets whose update starts a run.
        doc: Markdown shown in the UI; its first line is the description.
    """
    text = (doc or "").strip()
    return DAG(
        tenant.dag_id(step),
        schedule=schedule,
        start_date=midnight(tenant.params.run.start).replace(tzinfo=UTC),
        catchup=False,
        is_paused_upon_creation=False,
        max_active_runs=1,
        default_args=RETRIES,
        description=text.partition("\n")[0],
        doc_md=text,
        tags=["leadwise", tenant.name, tenant.use_case, step],
        params={
            "from": Param(None, **_DAY, title="From", description="First UTC day. Empty: what started the run says."),
            "to": Param(None, **_DAY, title="To", description="The UTC day after the last one (excluded)."),
        },
    )


def step(
    tenant: Tenant, inlet: Asset | None = None, outlet: Asset | None = None, last: bool = False, **options: Any
) -> Callable[[Step], Any]:
    """Make a TaskFlow task of `function(tenant, interval) -> Report`.

    The task works on the days of its run, one stretch after the other, returns the last report as a small dict (XCom),
    hands the days on with the asset, and fails for good, with one sentence, on what no retry can mend.

    Args:
        tenant: whose task.
        inlet: the asset that starts its DAG.
        outlet: the asset that it updates.
        last: of several stretches the one that ends last is enough.
        options: further options of an Airflow task.
    """

    def decorate(function: Step) -> Any:
        def run() -> dict[str, Any]:
            context: Mapping[str, Any] = get_current_context()
            try:
                intervals = intervals_of(context, partial(_updates, context, inlet) if inlet else None)
                intervals = intervals[-1:] if last else intervals
                report = _work(tenant.name, function, intervals, context)
            except (Busy, SourceUnreachable, StoreUnreachable):
                raise  # somebody runs the same step, or a server is away for a while: a retry may find it otherwise
            except LeadwiseError as error:
                raise AirflowFailException(str(error)) from None
            if outlet is not None:
                context["outlet_events"][outlet].extra = hand_on(intervals)
            return report.to_dict()

        wrap = task(
            task_id=function.__name__,
            doc_md=function.__doc__,
            inlets=[inlet] if inlet else [],
            outlets=[outlet] if outlet else [],
            max_active_tis_per_dag=1,  # a backfill starts many runs at once: they take turns, step by step
            multiple_outputs=False,  # one report, not an XCom for each of its keys
            show_return_value_in_logs=False,  # `_tell` says it in lines
            on_failure_callback=[say_why],
            on_retry_callback=[say_why],
            **options,
        )
        return wrap(run)

    return decorate


def _work(tenant: str, function: Step, intervals: list[Interval], context: Mapping[str, Any]) -> Report:
    """Run a step over each stretch of days; returns the last report."""
    use(_airflow_connection)
    with started_by(_origin(context)):
        for interval in intervals:
            try:
                report = function(Tenant.load(tenant), interval)
            except Exception as error:
                meant = explained(error)
                if meant is None or meant is error:
                    raise
                raise meant from error
            _tell(report)
    return report


def _updates(context: Mapping[str, Any], inlet: Asset) -> Iterator[Any]:
    """Updates of `inlet`, the newest first, read page by page."""
    seen: set[int] = set()
    before: datetime | None = None
    while True:
        asked = context["inlet_events"][inlet].ascending(False).limit(_PAGE)
        page = [event for event in (asked.before(before.isoformat()) if before else asked) if event.id not in seen]
        if not page:
            return
        yield from page
        seen |= {event.id for event in page}
        before = page[-1].timestamp


def _tell(report: Report) -> None:
    """The report as lines of the task's log."""
    days = report.interval.to_dict() if report.interval else {}
    _LOG.info("%s of %s: %s", report.step, report.tenant, " to ".join(days.values()) or "done")
    for name, value in report.counts.items():
        _LOG.info("  %s: %s", name.replace("_", " "), value)
    for note in report.notes:
        _LOG.info("  %s", note)


def say_why(context: Mapping[str, Any]) -> None:
    """End the log of a failed task with one sentence: what a person reads first."""
    error, instance = context.get("exception"), context["ti"]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    sentence = lines[0] if lines else type(error).__name__
    if not isinstance(error, AirflowFailException | LeadwiseError):
        sentence = f"{type(error).__name__}: {sentence}; the lines above say where"
    _LOG.error("%s.%s failed: %s", instance.dag_id, instance.task_id, sentence)


def _airflow_connection(name: str) -> str | None:
    """A connection that somebody keeps in Airflow, as a URI; None where there is none of that name."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return str(Connection.get(name).get_uri())
    except AirflowNotFoundException:
        return None


def _origin(context: Mapping[str, Any]) -> Origin:
    """The DAG run at work, as what it leaves in MLflow points back to it."""
    from urllib.parse import quote

    from pipelines.core.settings import get_settings

    run, ui = context["dag_run"], get_settings().airflow_ui
    url = f"{ui}/dags/{run.dag_id}/runs/{quote(run.run_id)}" if ui else None
    return Origin("Airflow", f"{run.dag_id} / {run.run_id}", url)
