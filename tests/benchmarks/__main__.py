"""`python -m tests.benchmarks [NAME …]`: run benchmarks, print a table each, write var/bench/<name>.json."""

import importlib
import json
import pkgutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import tests.benchmarks as room
from pipelines.core.settings import get_settings
from tests.benchmarks.measure import Row


def names() -> list[str]:
    """Benchmarks of this folder: modules called bench_<name>."""
    found = (module.name for module in pkgutil.iter_modules(room.__path__))
    return sorted(name.removeprefix("bench_") for name in found if name.startswith("bench_"))


def show(console: Console, name: str, rows: list[Row]) -> None:
    """Print one benchmark's rows."""
    table = Table("what", "ours", "reference", "unit", "ratio", "note", title=name, title_justify="left")
    for row in rows:
        table.add_row(*("–" if value is None else str(value) for value in row.to_dict().values()))
    console.print(table)


def main() -> int:
    """Run the benchmarks named on the command line, all of them by default."""
    console = Console(width=160)
    folder: Path = get_settings().var / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    unknown = set(sys.argv[1:]) - set(names())
    if unknown:
        console.print(f"there is no benchmark {', '.join(sorted(unknown))}: choose from {', '.join(names())}")
        return 2
    for name in sys.argv[1:] or names():
        console.print(f"{name} …")
        rows: list[Row] = importlib.import_module(f"tests.benchmarks.bench_{name}").run()
        (folder / f"{name}.json").write_text(json.dumps([row.to_dict() for row in rows], indent=1), encoding="utf-8")
        show(console, name, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
