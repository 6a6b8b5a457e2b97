"""What Leadwise adds to Airflow: the clock of a simulated market, and links from tasks to MLflow and the reports."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.bases.operatorlink import BaseOperatorLink

from dags.market_days import MarketDays
from dags.pages import PREFIX, pages

MLFLOW = "mlflow:"


def address(report: Any, mlflow: bool) -> str:
    """The first link of a step's report that leads to MLflow (or does not), as a URL; "" where there is none.

    Args:
        report: a step's report as a dict, or whatever else a task returned.
        mlflow: whether the link to MLflow is wanted, or the one to a page under the tenant's folder.
    """
    from pipelines.core.settings import get_settings

    links = report.get("links") if isinstance(report, dict) else None
    for target in (links or {}).values():
        if mlflow and target.startswith(MLFLOW):
            ui = get_settings().mlflow_ui
            return f"{ui}{target.removeprefix(MLFLOW)}" if ui else ""
        if not mlflow and not target.startswith(MLFLOW):
            return f"{PREFIX}/{report['tenant']}/{target}"
    return ""


def _report(ti_key: Any) -> Any:
    """What the task returned, as the API server finds it in Airflow's database."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    asked = XComModel.get_many(
        run_id=ti_key.run_id, key="return_value", task_ids=ti_key.task_id, dag_ids=ti_key.dag_id, limit=1
    )
    with create_session() as session:
        found = session.scalar(asked)
        return XComModel.deserialize_value(found) if found else None


class MlflowLink(BaseOperatorLink):  # type: ignore[misc] # mypy does not follow Airflow's imports
    """A button on a task: the MLflow run or version it made."""

    name = "MLflow"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Where it is; asked by the API server when somebody looks at the task."""
        return address(_report(ti_key), mlflow=True)


class PageLink(BaseOperatorLink):  # type: ignore[misc]
    """A button on a task: the page it wrote, such as Data Docs or the drift report."""

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Where it is; asked by the API server when somebody looks at the task."""
        return address(_report(ti_key), mlflow=False)


class LeadwisePlugin(AirflowPlugin):  # type: ignore[misc]
    """Found by Airflow through the entry point `airflow.plugins`."""

    name = "leadwise"
    timetables: ClassVar[list[Any]] = [MarketDays]
    global_operator_extra_links: ClassVar[list[Any]] = [MlflowLink(), PageLink()]
    fastapi_apps: ClassVar[list[Any]] = [{"name": "leadwise", "app": pages, "url_prefix": PREFIX}]
