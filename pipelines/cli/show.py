"""Reports for a person (tables) or for a program (JSON)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pipelines.core.report import Report

MOST = 30  # rows of details that a terminal is given


def console(err: bool = False) -> Console:
    """A console on standard output or error that lives on when the descriptors are sent elsewhere."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    with suppress(OSError, ValueError):  # no descriptor behind it, as in tests
        stream = os.fdopen(os.dup(stream.fileno()), "w", encoding="utf-8")
    # A file gets lines as long as they need to be: somebody will grep them.
    return Console(file=stream, highlight=False, width=None if stream.isatty() else 160)


def as_json(value: Any) -> None:
    """Print `value` as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str, allow_nan=False) + "\n")


def report(outcome: Report, json_too: bool) -> None:
    """Show what a step reports."""
    if json_too:
        as_json(outcome.to_dict())
        return
    out = console()
    days = outcome.interval.to_dict() if outcome.interval else None
    span = f" · {days['from']} to {days['to']} (excluded)" if days else ""
    out.print(f"[bold]{outcome.step}[/bold] · {outcome.tenant}{span}")
    if outcome.counts:
        grid = table(["", ""], header=False)
        for name, value in outcome.counts.items():
            grid.add_row(name.replace("_", " "), figure(value))
        out.print(grid)
    if outcome.details:
        for grid in alike(outcome.details[:MOST]):
            out.print(grid)
        if len(outcome.details) > MOST:
            out.print(f"… and {len(outcome.details) - MOST} rows more: --json prints them all\n")
    for note in outcome.notes:
        out.print(f"• {note}", markup=False, soft_wrap=True)


def table(columns: Sequence[str], title: str | None = None, header: bool = True) -> Table:
    """An empty table in the house style: first column left, the others right."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, box=box.SIMPLE_HEAD, show_header=header, pad_edge=False)
    made.title_justify, made.title_style = "left", "bold"
    for number, name in enumerate(columns):
        made.add_column(name.replace("_", " "), justify="left" if number == 0 else "right")
    return made


def records(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> Table:
    """A table of dicts; columns in the order they first appear."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    made = table(columns, title)
    for name, column in zip(columns, made.columns, strict=True):
        numbers = any(isinstance(row.get(name), int | float) for row in rows)
        column.justify = "right" if numbers else "left"
    for row in rows:
        made.add_row(*(figure(row.get(name)) for name in columns))
    return made


def alike(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> list[Table]:
    """A table for each stretch of targets with the same columns, for tasks differ in their measures; else one table."""
    stretches = [list(part) for _, part in groupby(rows, key=lambda row: ",".join(row) if "target" in row else "")]
    return [records(part, None if place else title) for place, part in enumerate(stretches)]


def figure(value: Any) -> str:
    """A value as people read it: thousands apart, four digits of a fraction, a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {figure(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(figure, value))
    return str(value)
