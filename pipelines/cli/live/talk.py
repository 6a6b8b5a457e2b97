"""What `leadwise up` says while Airflow lives."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pipelines.cli.live.services import PASSWORDS, USER, password

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.cli.live.api import AirflowApi
    from pipelines.cli.live.services import Plan
    from pipelines.cli.live.supervisor import Supervisor


def greet(plan: Plan, out: Console, seconds: float, as_json: bool) -> None:
    """Say where to look and how to log in; the password itself only to a person at a terminal."""
    kept = plan.settings.airflow_dir / PASSWORDS
    if as_json:
        told = {"airflow": plan.airflow, "mlflow": plan.mlflow, "user": USER, "passwords": str(kept)}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    secret = password(plan.settings.airflow_dir) if out.is_terminal else f"in {kept}"
    login = f"user [bold]{USER}[/bold], password [bold]{secret}[/bold]"
    out.print(f"Airflow  [bold]{plan.airflow}[/bold]  {login}", soft_wrap=True)
    out.print(f"MLflow   [bold]{plan.mlflow}[/bold]", soft_wrap=True)
    out.print(f"[dim]up in {seconds:.0f} s; logs under {plan.logs}; Ctrl-C stops everything[/dim]", soft_wrap=True)


def watch(supervisor: Supervisor, api: AirflowApi, out: Console, since: datetime) -> None:
    """Live: revive what dies, and tell of each DAG run that ends."""
    seen, look_at = since.isoformat(), 0.0
    while True:
        for sentence in supervisor.revive():
            line(out, f"[yellow]{sentence}[/yellow]")
        if time.monotonic() >= look_at:
            for run in api.ended(seen):
                seen = run["end_date"]
                line(out, _told(run, api.address))
            look_at = time.monotonic() + 3.0
        time.sleep(0.5)


def _told(run: dict[str, Any], address: str) -> str:
    seconds = f"{run['duration']:.0f} s" if run.get("duration") else ""
    if run["state"] == "success":
        return f"{run['dag_id']:<24} [green]success[/green]  {seconds}"
    where = f"{address}/dags/{run['dag_id']}/runs/{quote(run['dag_run_id'])}"
    return f"{run['dag_id']:<24} [red]{run['state']}[/red]  {seconds}  {where}"


def line(out: Console, text: str) -> None:
    """Print `text` with the time of day before it."""
    out.print(f"[dim]{datetime.now().astimezone():%H:%M:%S}[/dim]  {text}", soft_wrap=True)
