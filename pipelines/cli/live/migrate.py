"""Bring Airflow's database up to date, in a process of its own: `python -m pipelines.cli.live.migrate HOME`."""

import sys
from pathlib import Path

from pipelines.cli.airflow_run import migrate

if __name__ == "__main__":
    migrate(Path(sys.argv[1]))
