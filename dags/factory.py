"""How the DAG files are wired: one DAG per tenant and step, the days a run works on, and how a failure ends.

Parsing a DAG file reads `params.yaml` and nothing heavier; what a task needs is imported inside the task. Airflow looks
only into files that hold the words "airflow" and "dag": their first line does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from dags.days import interval_of
from pipelines.core.errors import LeadwiseError
from pipelines.core.interval import Interval, midnight
from pipelines.core.tenant import Tenant

if TYPE_CHECKING:
    from pipelines.core.report import Report

    Step = Callable[[Tenant, Interval], Report]

# Four tries: after 1, 2 and 4 minutes. What fails for longer than that is for a person to look at.
RETRIES = {
    "retries": 3,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=30),
}

_DAY = {"type": ["null", "string"], "format": "date"}


@cache
def tenants() -> tuple[Tenant, ...]:
    """Every tenant of the parameter file; read once per parse of the folder."""
    return tuple(Tenant.all())


def asset(tenant: Tenant, name: str) -> Asset:
    """What one DAG of `tenant` hands to the next, e.g. its clean tables."""
    return Asset(name=f"{tenant.name}.{name}", uri=f"leadwise://{tenant.name}/{name}", group="leadwise")


def daily() -> CronDataIntervalTimetable:
    """Every UTC midnight, with the day that has just ended as data interval."""
    return CronDataIntervalTimetable("0 0 * * *", timezone="UTC")


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


def step(tenant: Tenant, outlet: Asset | None = None, **options: Any) -> Callable[[Step], Any]:
    """Make a TaskFlow task of `function(tenant, interval) -> Report`.

    The task works on the days of its run, returns the report as a small dict (XCom), hands the days on with the
    asset, and fails for good, with one sentence, on what no retry can mend.

    Args:
        tenant: whose task.
        outlet: the asset that it updates.
        options: further options of an Airflow task.
    """

    def decorate(function: Step) -> Any:
        def run() -> dict[str, Any]:
            context: Mapping[str, Any] = get_current_context()
            try:
                interval = interval_of(context)
                report = function(Tenant.load(tenant.name), interval)
            except LeadwiseError as error:
                raise AirflowFailException(str(error)) from None
            if outlet is not None:
                context["outlet_events"][outlet].extra = interval.to_dict()
            return report.to_dict()

        wrap = task(
            task_id=function.__name__,
            doc_md=function.__doc__,
            outlets=[outlet] if outlet else [],
            multiple_outputs=False,  # one report, not an XCom for each of its keys
            **options,
        )
        return wrap(run)

    return decorate
