"""One million validations and what belongs to them."""

import json
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from tests.benchmarks.measure import Cost, Row, run_python
from tests.conftest import write_params

MILLION = 1_000_000

OURS = """
from pipelines.core.tenant import Tenant
from pipelines.collect.simulator import simulate
simulate(Tenant.load("demo"), leads={leads})
"""

# What one would write first: a loop with a generator from the standard library, for as many rows and with no story.
LOOP = """
import csv, datetime, random, sys
draw = random.Random(7)
start = datetime.datetime(2026, 1, 1)
with open({path!r}, "w", newline="") as file:
    out = csv.writer(file)
    for number in range({rows}):
        row = [f"V{{number}}", f"+5255{{draw.randrange(10**8):08d}}",
               start + datetime.timedelta(seconds=draw.randrange(90 * 86400))]
        for platform in range(5):
            active = draw.random() < 0.6
            row += [active, int(draw.lognormvariate(6, 0.5)) if active else None]
        out.writerow(row)
    for number in range({others}):
        out.writerow([f"M{{number}}", f"+5255{{draw.randrange(10**8):08d}}",
                      start + datetime.timedelta(seconds=draw.randrange(90 * 86400)),
                      draw.choice("ABC"), draw.randrange(1, 480), draw.random() < 0.1])
"""


def run() -> list[Row]:
    """Seconds for a market with a million validations; the reference draws as many rows in a loop."""
    with tempfile.TemporaryDirectory() as folder:
        env = {
            "LEADWISE_VAR": str(Path(folder) / "var"),
            "LEADWISE_PARAMS": str(write_params(Path(folder) / "params.yaml", {})),
        }
        leads = _leads_for(MILLION, env, folder)
        cost: Cost = run_python(OURS.format(leads=leads), env)
        rows = {table: _rows(folder, table) for table in ("validations", "messages", "conversions", "leads")}
        others = sum(rows.values()) - rows["validations"]
        loop = run_python(LOOP.format(path=str(Path(folder) / "loop.csv"), rows=rows["validations"], others=others))
    note = f"{json.dumps(rows)}; reference: a Python loop that draws as many rows, with no story; reach: under 60 s"
    return [
        Row.of("simulate a million validations", cost.seconds, loop.seconds, "s", note),
        Row.of("peak memory", cost.peak_mb, None, "MB", "all processes together"),
    ]


def _leads_for(validations: int, env: dict[str, str], folder: str) -> int:
    """How many leads give that many validations, from a small market."""
    small = 2_000
    run_python(OURS.format(leads=small), env)
    return int(small * validations / _rows(folder, "validations") * 1.01)


def _rows(folder: str, table: str) -> int:
    files = (Path(folder) / "var" / "demo" / "source" / table).glob("*.parquet")
    return sum(pq.read_metadata(file).num_rows for file in files)
