"""`leadwise sql`: questions to a tenant's tables."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from pipelines.cli.options import Json, TenantName

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

    from pipelines.core.tenant import Tenant
    from pipelines.lake.ask import Answer

LIMIT = 40
T = TypeVar("T")


def sql(
    query: Annotated[
        str | None, typer.Argument(help="One SELECT in DuckDB's dialect; `-` reads it from standard input.")
    ] = None,
    tenant: TenantName = "demo",
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of", help="What was known at an instant (UTC); a day is its first midnight.", metavar="DAY|INSTANT"
        ),
    ] = None,
    tables: Annotated[bool, typer.Option("--tables", help="List the tables with columns and rows.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Most rows on the terminal; files get them all.")
    ] = LIMIT,
    csv: Annotated[
        str | None, typer.Option("--csv", help="Write CSV to a file, `-` is standard output.", metavar="FILE|-")
    ] = None,
    parquet: Annotated[str | None, typer.Option("--parquet", help="Write Parquet to a file.", metavar="FILE")] = None,
    json: Json = False,
) -> None:
    """Ask the tables of a tenant, read-only; without a query, list them.

    Clean tables go by their names, each key in its newest version; then `features.<view>`, `deliver.scores`,
    `watch.drift`, and `quarantine.<table>` (which rule refused which row). Personal data is not among them: leads have
    ids, and phones come from `leadwise score --with-phone` alone.

    - `leadwise sql`
    - `leadwise sql "select tier, count(*) from deliver.scores group by tier"`
    - `leadwise sql "select * from messages" --as-of 2026-02-01 --csv messages.csv`
    - `cat question.sql | leadwise sql - --json`
    """
    from pipelines.cli import answers
    from pipelines.core.interval import parse_instant
    from pipelines.core.tenant import Tenant

    if sum((csv is not None, parquet is not None, json)) > 1:
        raise typer.BadParameter("give one of --csv, --parquet and --json", param_hint="--csv")
    for option, file in (("--csv", csv), ("--parquet", parquet)):
        if file is not None and not (option == "--csv" and file == "-"):
            answers.check_file(option, file)
    whose = Tenant.load(tenant)
    instant = None if as_of is None else parse_instant(as_of)
    if tables or query is None:
        answers.listing(whose, instant, json)
        return
    text = sys.stdin.read() if query == "-" else query
    if csv is not None:
        _ask(whose, text, instant, lambda answer: answers.to_csv(answer, csv), quiet=csv == "-")
    elif parquet is not None:
        _ask(whose, text, instant, lambda answer: answers.to_parquet(answer, Path(parquet)))
    elif json:
        _ask(whose, text, instant, lambda answer: answers.to_json(answer), quiet=True)
    else:
        answers.show_table(*_ask(whose, text, instant, lambda answer: answers.head(answer, limit)))


def _ask(tenant: Tenant, text: str, instant: datetime | None, use: Callable[[Answer], T], quiet: bool = False) -> T:
    """Run a query and hand its answer to `use`, which Ctrl-C ends too."""
    from contextlib import nullcontext

    from expectations.contract import load_contracts
    from pipelines.core.report import progress
    from pipelines.lake.ask import ask
    from pipelines.lake.catalog import Lake

    contracts = load_contracts(tenant.contracts_dir)
    with nullcontext() if quiet else progress("query"), ask(Lake(tenant), contracts, text, instant) as answer:
        return interruptible(answer.connection, lambda: use(answer))


def interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
    """Do `work` beside the main thread, which alone hears of Ctrl-C and then stops the query."""
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import suppress

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        try:
            return done.result()
        except KeyboardInterrupt:
            connection.interrupt()
            with suppress(Exception):  # what an interrupted query says is no news
                done.result()
            raise


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="Results")(sql)
