"""`python -m tests.benchmarks.models [TASK …]`: run tasks, print a table each, write var/bench/models_<task>.json."""

import importlib
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipelines.core.settings import get_settings
from tests.benchmarks.models.bank import Absent
from tests.benchmarks.models.figures import Figure

TASKS = {
    "random": "random_splits",
    "drift": "drift",
    "rolling": "rolling",
    "spend": "spend",
    "market": "market",
    "range": "demo_range",
    "fit": "fitting",
    "score": "scoring",
}
"""Name of each task, and the module that runs it."""


def show(console: Console, task: str, title: str, figures: list[Figure]) -> None:
    """Print the figures of one task."""
    table = Table("what", "model", "value", "95 % interval", "reach", "", "note", title=f"{task}: {title}")
    table.title_justify = "left"
    for figure in figures:
        within = "–" if figure.low is None else f"{figure.low:.4f} to {figure.high:.4f}"
        verdict = {None: "", True: "reached", False: "NOT reached"}[figure.reached]
        table.add_row(figure.what, figure.model, f"{figure.value:.4f}", within, figure.reach, verdict, figure.note)
    console.print(table)


def main() -> int:
    """Run the tasks named on the command line, all of them by default."""
    console = Console(width=200)
    folder: Path = get_settings().var / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    unknown = set(sys.argv[1:]) - set(TASKS)
    if unknown:
        console.print(f"there is no task {', '.join(sorted(unknown))}: choose from {', '.join(TASKS)}")
        return 2
    for task in sys.argv[1:] or TASKS:
        module = importlib.import_module(f"tests.benchmarks.models.{TASKS[task]}")
        console.print(f"{task} …")
        try:
            figures: list[Figure] = module.run()
        except Absent as reason:
            console.print(f"{task} is skipped: {reason}")
            continue
        told = json.dumps([figure.to_dict() for figure in figures], indent=1)
        (folder / f"models_{task}.json").write_text(told, encoding="utf-8")
        show(console, task, str(module.__doc__).strip().splitlines()[0], figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
