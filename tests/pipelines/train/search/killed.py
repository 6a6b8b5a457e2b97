"""A search in a process of its own that dies by SIGKILL at a chosen instant: `python -m … WHERE NUMBER TRIALS`."""

import os
import signal
import sys
from typing import Any

from pipelines.core.tenant import Tenant
from pipelines.train.search import step, study
from pipelines.train.search.runs import Runs

PLACES: dict[str, tuple[Any, str]] = {
    "while a trial's run is made": (Runs, "begins"),
    "after a fold": (Runs, "fold"),
    "before the losses are written": (study.Study, "_save"),
    "before the end is told to MLflow": (Runs, "ended"),
    "before the study is told": (Runs, "tell"),
}


def main() -> None:
    where, number, trials = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    owner, name = PLACES[where]
    real, met = getattr(owner, name), 0

    def dying(*args: Any, **options: Any) -> Any:
        nonlocal met
        met += 1
        if met == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)

    setattr(owner, name, dying)
    step.tune(Tenant.load("demo"), model="linear", budget=step.Budget(trials=trials))


if __name__ == "__main__":
    main()
