"""`leadwise services`: the servers of the profile `services`, until Ctrl-C."""

from __future__ import annotations

import json as _json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.cli.live.servers import Servers


def services(
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when all is up.")] = False,
) -> None:
    """Start PostgreSQL, Redis and S3 from packages, on loopback, until Ctrl-C; what they hold stays.

    Passwords are made the first time, and kept in `var/services/services.json`, which only its owner reads. Commands of
    another terminal find them there: the lake on S3, catalogs and MLflow on PostgreSQL, the online store on Redis.

    - `leadwise services`
    - `LEADWISE_PROFILE=services leadwise run`
    """
    from pipelines.cli import show
    from pipelines.cli.live.endings import ends_on_signals, let_end
    from pipelines.cli.live.servers import running
    from pipelines.cli.live.talk import line
    from pipelines.core.settings import Settings

    out = show.console(err=True)
    home = Settings(profile="local").services_dir
    with ends_on_signals():
        try:
            with out.status("starting …"), running(home) as (servers, supervisor):
                _greet(servers, out, json)
                try:
                    while True:
                        for sentence in supervisor.revive():
                            line(out, f"[yellow]{sentence}[/yellow]")
                        time.sleep(0.5)
                finally:
                    let_end()
        except KeyboardInterrupt:
            out.print("stopped; nothing is left running")


def _greet(servers: Servers, out: Console, as_json: bool) -> None:
    """Say where they answer and how they are used; no password is shown."""
    from pipelines.cli.live.servers import POSTGRES, REDIS, S3
    from pipelines.core.settings import SERVICES

    kept = servers.home / SERVICES
    uses = {POSTGRES: "catalogs, MLflow", REDIS: "online store", S3: "lake"}
    if as_json:
        told = {"settings": str(kept), **{name: servers.address(name) for name in uses}}
        sys.stdout.write(_json.dumps(told) + "\n")
        sys.stdout.flush()
    for name, use in uses.items():
        out.print(f"{name:<11} [bold]{servers.address(name)}[/bold]  {use}", soft_wrap=True)
    out.print("use them: [bold]LEADWISE_PROFILE=services leadwise …[/bold] in another terminal", soft_wrap=True)
    where = f"passwords in {kept}; logs in {servers.home / 'logs'}"
    out.print(f"[dim]{where}; Ctrl-C stops everything[/dim]", soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="The whole way")(services)
