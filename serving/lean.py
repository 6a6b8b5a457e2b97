"""What a worker of the fast path does without, so that it starts in a second and stays small."""

import sys
from typing import Any

HEAVY = ("cudf", "dask", "feast", "matplotlib", "mlflow", "pandas", "pyarrow", "sklearn")
"""Libraries that no score needs. The boosters look for some of them, and go on where there are none."""


def lean() -> None:
    """Let this process find none of `HEAVY`, from here on.

    Raises:
        RuntimeError: one of them is loaded already; what is saved then is nothing.
    """
    if loaded := [name for name in HEAVY if sys.modules.get(name) is not None]:
        raise RuntimeError(f"{', '.join(loaded)} came in before the worker could do without")
    modules: dict[str, Any] = sys.modules
    modules |= dict.fromkeys(HEAVY)  # None is what the import system takes for "there is none"
