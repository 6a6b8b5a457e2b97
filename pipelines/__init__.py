"""The steps of Leadwise, and what a notebook takes from them: `from pipelines import dataset, sql`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.lake.ask import sql
    from pipelines.train.dataset import dataset

__all__ = ["dataset", "sql"]

# Where they live; imported when they are asked for, so that every other import stays light.
_HOMES = {"dataset": "pipelines.train.dataset", "sql": "pipelines.lake.ask"}


def __getattr__(name: str) -> Any:
    """Import what a notebook asks for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
