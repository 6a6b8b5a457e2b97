"""What a step says when it is done, and how it shows that it is alive."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipelines.core.interval import Interval

log = logging.getLogger("leadwise")

Advance = Callable[[int], None]


@dataclass
class Report:
    """The outcome of a step: counts and sentences without personal data.

    Attributes:
        step: name of the step.
        tenant: name of the tenant.
        interval: what it worked on; None where a step has no dates.
        counts: figures by name, e.g. rows written.
        notes: sentences for a person.
        details: rows of a table worth showing, e.g. the candidates of a training.
        links: where to look, by what it is: `mlflow:<path of MLflow's UI>` or a file below the tenant's folder.
    """

    step: str
    tenant: str
    interval: Interval | None = None
    counts: dict[str, int | float | str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return {
            "step": self.step,
            "tenant": self.tenant,
            "interval": self.interval.to_dict() if self.interval else None,
            "counts": dict(self.counts),
            "notes": list(self.notes),
            "details": list(self.details),
            "links": dict(self.links),
        }


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Advance]:
    """Show progress on standard error: a bar on a terminal, nothing elsewhere.

    Args:
        description: what is going on, e.g. "features: messages".
        total: units to come; None when unknown.

    Yields:
        `advance(n)`, to be called with the units done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        log.debug("%s", description)
        yield lambda n: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task(description, total=total)
        yield lambda n: bar.advance(task, n)
