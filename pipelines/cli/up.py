"""`leadwise up`: a living Airflow, and MLflow's UI beside it, until Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.cli.live.api import AirflowApi
    from pipelines.cli.live.services import Plan
    from pipelines.cli.live.supervisor import Supervisor
    from pipelines.core.settings import Settings

_READY_SECONDS = 180.0
_PORTS = {"airflow": 8080, "mlflow": 5000}


def up(
    airflow_port: Annotated[
        int, typer.Option("--airflow-port", min=1, max=65_535, help="Of Airflow's UI; the next free one if taken.")
    ] = _PORTS["airflow"],
    mlflow_port: Annotated[
        int, typer.Option("--mlflow-port", min=1, max=65_535, help="Of MLflow's UI; the next free one if taken.")
    ] = _PORTS["mlflow"],
    day_seconds: Annotated[
        int | None, typer.Option("--day-seconds", min=1, help="How long a day of a simulated market takes.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the addresses as one line of JSON when all is up.")
    ] = False,
) -> None:
    """Start Airflow (scheduler, DAG processor, triggerer, API server) and MLflow's UI, on loopback, until Ctrl-C.

    Every tenant's DAGs are there. A simulated market lives: its history is run first if that was never done, then it
    yields a day every minute, which goes all the way to scores and drift by itself.

    - `leadwise up`
    - `leadwise up --day-seconds 300 --airflow-port 9090`
    """
    from pipelines.cli import show
    from pipelines.cli.live import state, talk
    from pipelines.cli.live.endings import ends_on_signals, let_end
    from pipelines.core.settings import get_settings

    settings, out = get_settings(), show.console(err=True)
    began = time.monotonic()
    with ends_on_signals(), state.alone(settings):
        plan = _plan(settings, airflow_port, mlflow_port, day_seconds)
        supervisor, api = _supervise(plan)
        try:
            fresh = _start(plan, supervisor, api, out)
            talk.greet(plan, out, time.monotonic() - began, json)
            for tenant in fresh:
                talk.line(out, f"{tenant}: its history of the simulated market is run first")
            talk.watch(supervisor, api, out, plan.began)
        except KeyboardInterrupt:
            out.print("\nstopping …")
        finally:
            let_end()
            supervisor.stop()
            api.close()
    out.print("stopped; nothing is left running")


def _plan(settings: Settings, airflow_port: int, mlflow_port: int, day_seconds: int | None) -> Plan:
    from pipelines.cli.live.ports import free
    from pipelines.cli.live.services import Plan

    first = free(airflow_port)
    return Plan(settings, first, free(mlflow_port, {first}), day_seconds or settings.day_seconds)


def _supervise(plan: Plan) -> tuple[Supervisor, AirflowApi]:
    from pipelines.cli.live.api import AirflowApi
    from pipelines.cli.live.services import USER, password
    from pipelines.cli.live.supervisor import Supervisor

    secret = password(plan.settings.airflow_dir)
    return Supervisor(plan.environment(), plan.logs, plan.settings.airflow_dir / "sessions.json"), AirflowApi(
        plan.airflow, USER, secret
    )


def _start(plan: Plan, supervisor: Supervisor, api: AirflowApi, out: Console) -> list[str]:
    """Start everything in its order and wait until it answers; returns tenants whose history is being run."""
    from pipelines.cli.live import state

    supervisor.end_leftovers()
    state.tell(plan.settings, {"airflow": plan.airflow, "mlflow": plan.mlflow})
    waiting = {service.name: service for service in plan.services()}
    with out.status("starting …") as status:
        if "mlflow" in waiting:
            plan.settings.mlflow_dir.mkdir(parents=True, exist_ok=True)
            supervisor.start(waiting.pop("mlflow"))
        status.update("preparing Airflow's database …")
        _migrate(plan, supervisor.environment)
        scheduler = waiting.pop("scheduler")
        for service in waiting.values():
            supervisor.start(service)
        fresh = _markets_without_history(plan.settings)
        status.update("starting Airflow …")
        for tenant, days in fresh.items():
            _until(lambda tenant=tenant: api.knows(f"{tenant}_ingest"), supervisor, out, f"the DAGs of {tenant}")
            # Due before the first day of the schedule, which is due since `leadwise up` began: the history comes first.
            api.trigger(f"{tenant}_ingest", days, plan.began - timedelta(minutes=1))
        supervisor.start(scheduler)
        _until(lambda: not api.waiting_for(), supervisor, out, "Airflow")
        _until(lambda: _answers(f"{plan.mlflow}/health"), supervisor, out, "MLflow")
    return list(fresh)


def _migrate(plan: Plan, environment: Mapping[str, str]) -> None:
    """Airflow's imports stay out of this process, which lives for long."""
    from pipelines.core.errors import LeadwiseError

    log = plan.logs / "migrate.log"
    plan.logs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pipelines.cli.live.migrate", str(plan.settings.airflow_dir)]
    with log.open("wb") as target:
        done = subprocess.run(command, env=environment, stdout=target, stderr=target, check=False)  # noqa: S603
    if done.returncode:
        raise LeadwiseError(f"Airflow's database under {plan.settings.airflow_dir} can't be prepared: {log} says why")


def _markets_without_history(settings: Settings) -> dict[str, dict[str, str]]:
    """Tenants with a simulated market that was never ingested, and the days of its history; makes the market."""
    from pipelines.cli import market
    from pipelines.collect.simulator.days import calendar
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake

    found = {}
    for tenant in Tenant.all(settings):
        if tenant.params.simulate is None:
            continue
        if not market.exported(tenant):
            market.make(tenant)
        days = calendar(tenant)
        if days is not None and not Lake(tenant).names("clean"):
            found[tenant.name] = {"from": days.start.isoformat(), "to": days.end.isoformat()}
    return found


def _until(done: Any, supervisor: Supervisor, out: Console, what: str) -> None:
    """Wait for `done()`, with an eye on the processes.

    Raises:
        LeadwiseError: it takes too long, or a process dies again and again.
    """
    from pipelines.core.errors import LeadwiseError

    deadline = time.monotonic() + _READY_SECONDS
    while not done():
        for sentence in supervisor.revive():
            out.print(f"[yellow]{sentence}[/yellow]", soft_wrap=True)
        if time.monotonic() > deadline:
            raise LeadwiseError(
                f"{what} did not answer within {_READY_SECONDS:.0f} s: the logs under {supervisor.logs} say why"
            )
        time.sleep(0.25)


def _answers(url: str) -> bool:
    import httpx

    try:
        return httpx.get(url, timeout=2.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def airflow(context: typer.Context) -> None:
    """Airflow's own command line, on the Airflow that `leadwise up` runs; everything after the word is Airflow's.

    - `leadwise airflow dags list`
    - `leadwise airflow dags trigger demo_ingest --conf '{"from": "2026-03-01", "to": "2026-03-02"}'`
    - `leadwise airflow backfill create --dag-id demo_ingest --from-date 2026-03-01 --to-date 2026-03-07`
    """
    import os
    from urllib.parse import urlsplit

    from pipelines.cli.live import state
    from pipelines.cli.live.services import Plan
    from pipelines.core.settings import get_settings

    settings = get_settings()
    living = state.told(settings)
    port = urlsplit(living.get("airflow", "")).port or _PORTS["airflow"]
    settings.airflow_dir.mkdir(parents=True, exist_ok=True)
    plan = Plan(settings, port, _PORTS["mlflow"], settings.day_seconds)
    own = plan.environment()
    if not living:
        _migrate(plan, own)  # there may be no database yet
    os.execve(sys.executable, [sys.executable, "-m", "airflow", *context.args], own)  # noqa: S606 - the program itself


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(rich_help_panel="The whole way")(up)
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(rich_help_panel="The whole way", context_settings=passed_on)(airflow)
