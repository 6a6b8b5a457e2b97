"""`leadwise run`: the DAGs in order, with progress and a closing summary."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.options import Day, From, Json, TenantName, To, days

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from pipelines.cli.chain import Runner
    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant


def run(
    tenant: TenantName = "demo",
    date: Day = None,
    start: From = None,
    end: To = None,
    airflow: Annotated[
        bool, typer.Option("--airflow/--no-airflow", help="Through Airflow's own runner, or as plain steps.")
    ] = True,
    json: Json = False,
) -> None:
    """Run the five DAGs in order over the tenant's dates: from the sources to a scored audience.

    The dates stand in `params.yaml` under the tenant's `run`; `--date` or `--from/--to` is one run over those days. A
    tenant with a simulated market gets one first where there is none yet.

    - `leadwise run`
    - `leadwise run --tenant NAME`
    """
    from pipelines.cli import show
    from pipelines.core.errors import ConfigError
    from pipelines.core.locks import exclusive
    from pipelines.core.tenant import Tenant

    whose = Tenant.load(tenant)
    _refuse_beside_a_living_one(whose)
    if airflow and whose.params.promotion.review == "human":
        raise ConfigError(
            f"promotion.review of tenant '{whose.name}' is human, and nobody can be asked in this run: take"
            " `leadwise up`, or `leadwise run --no-airflow`, then `leadwise approve` and `leadwise score`"
        )
    stretches = [days(whose, date, start, end)] if date or start or end else whose.runs()
    out = show.console(err=True)
    began = time.monotonic()
    with exclusive(whose, "run"):
        _market(whose, out)
        reports, state = _walk(whose, stretches, airflow, out)
    from pipelines.cli import summary

    if json:
        show.as_json(summary.as_dict(whose, reports, state))
    else:
        summary.show(whose, reports, state, time.monotonic() - began)


def _refuse_beside_a_living_one(tenant: Tenant) -> None:
    from pipelines.cli.live import state
    from pipelines.core.errors import NotReady

    if living := state.told(tenant.settings):
        raise NotReady(
            f"Airflow is up at {living['airflow']} and runs the DAGs of tenant '{tenant.name}': start"
            f" {tenant.dag_id('ingest')} there with the days as its parameters, or stop it first (Ctrl-C where it runs)"
        )


def _market(tenant: Tenant, out: Console) -> None:
    """Simulate the market of a tenant that has one declared and nothing exported yet."""
    from pipelines.cli import market

    if tenant.params.simulate is not None and not market.exported(tenant):
        with _line(out, tenant.params.simulate.start.isoformat(), "simulate") as figures:
            figures.update(market.make(tenant).counts)


def _walk(
    tenant: Tenant, stretches: list[Interval], airflow: bool, out: Console
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run every DAG for every stretch of days; return the reports in order, and the state they led to.

    The state is looked at while output goes aside: Airflow has made libraries write their log lines to it.
    """
    from pipelines.cli.chain import CHAIN
    from pipelines.cli.quiet import aside
    from pipelines.cli.status import collect

    reports: list[dict[str, Any]] = []
    log = (tenant.settings.airflow_dir if airflow else tenant.home) / "logs" / f"{tenant.name}_run.log"
    with aside(log):
        with _line(out, "", "airflow" if airflow else "steps") as figures:
            runner = _runner(tenant, airflow, log)
            figures["log"] = str(log)
        for interval in stretches:
            for dag in CHAIN:
                with _line(out, interval.label, dag) as figures:
                    done = runner.run(dag, interval)
                    figures.update(_key_figures(done))
                reports += done
        return reports, collect(tenant)


def _key_figures(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """What fits on a line: no breakdowns (`rows.leads`), and of raw rows only what became of them."""
    told = [report for report in reports if report["step"] not in ("market", "ingest")]
    return {name: value for report in told for name, value in report["counts"].items() if "." not in name}


def _runner(tenant: Tenant, airflow: bool, log: Path) -> Runner:
    if airflow:
        from pipelines.cli.airflow_run import AirflowRunner

        return AirflowRunner(tenant, log)
    from pipelines.cli.chain import PlainRunner

    return PlainRunner(tenant)


@contextmanager
def _line(out: Console, label: str, name: str) -> Iterator[dict[str, Any]]:
    """A line per DAG run: a spinner while it works, then the seconds it took and its figures.

    Yields:
        the figures, to be filled in.
    """
    from pipelines.cli.show import figure

    figures: dict[str, Any] = {}
    began = time.monotonic()
    head = f"{label:<10}  {name:<8}"
    with _spinner(out, head):
        try:
            yield figures
        except BaseException as error:
            ending = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            out.print(f"{head}  {time.monotonic() - began:6.1f} s  [red]{ending}[/red]")
            raise
    told = " · ".join(f"{key.replace('_', ' ')} {figure(value)}" for key, value in figures.items())
    out.print(f"{head}  {time.monotonic() - began:6.1f} s  [dim]{told}[/dim]", soft_wrap=True)


@contextmanager
def _spinner(out: Console, text: str) -> Iterator[None]:
    """Show on a terminal that something is at work, and for how long."""
    if not out.is_terminal:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn(text), SpinnerColumn(), TimeElapsedColumn())
    # Not redirecting: what libraries print goes to the log, and Rich would bring it back to the terminal.
    with Progress(*columns, console=out, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        bar.add_task(text, total=None)
        yield


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="The whole way")(run)
