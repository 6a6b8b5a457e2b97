"""The main job as a user runs it: both use cases, source to audience, through Airflow's runner and without it."""

import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Cost, Row
from tests.benchmarks.measure import run as command
from tests.conftest import BANK_FILE, REAL_DATA

LEADWISE = str(Path(sys.executable).with_name("leadwise"))
FIGURES = "reach: under 180 s, under 4,000 MB"


def run() -> list[Row]:
    """Seconds and memory of `leadwise run`; the reference is the same run of the bare steps (`--no-airflow`)."""
    rows = _case("demo", [[LEADWISE, "simulate"], [LEADWISE, "run"]])
    if not BANK_FILE.exists():
        raise FileNotFoundError(f"{BANK_FILE} is not there: set LEADWISE_DATA (the README says where to get it)")
    return rows + _case("bank", [[LEADWISE, "run", "--tenant", "bank"]])


def _case(name: str, commands: list[list[str]]) -> list[Row]:
    through = _spend(commands)
    bare = _spend([*commands[:-1], [*commands[-1], "--no-airflow"]])
    seconds, plain = sum(cost.seconds for cost in through), sum(cost.seconds for cost in bare)
    return [
        Row.of(f"{name}: the whole way", seconds, plain, "s", f"against the steps without Airflow; {FIGURES}"),
        Row.of(f"{name}: peak memory", _peak(through), _peak(bare), "MB", f"all processes together; {FIGURES}"),
    ]


def _spend(commands: list[list[str]]) -> list[Cost]:
    with tempfile.TemporaryDirectory() as folder:
        env = {"LEADWISE_VAR": folder, "LEADWISE_DATA": str(REAL_DATA)}
        return [command(one, env) for one in commands]


def _peak(costs: list[Cost]) -> float:
    return max(cost.peak_mb for cost in costs)
