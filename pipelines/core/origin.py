"""Who started a step, so that what it leaves behind can point back. Steps know only that there is an origin."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """What started a step.

    Attributes:
        kind: of the thing, e.g. "airflow".
        name: what a person looks for, e.g. DAG and run.
        url: where it can be seen; None when nobody serves it.
    """

    kind: str
    name: str
    url: str | None = None

    def tags(self) -> dict[str, str]:
        """Tags for an MLflow run or version."""
        return {"origin": self.kind, "origin_name": self.name} | ({"origin_url": self.url} if self.url else {})

    def markdown(self) -> str:
        """One sentence with a link where there is one."""
        shown = f"[{self.name}]({self.url})" if self.url else f"`{self.name}`"
        return f"Started by {self.kind}: {shown}."


_CURRENT: ContextVar[Origin | None] = ContextVar("origin", default=None)


def current() -> Origin | None:
    """What started the step at work; None for a person at the command line."""
    return _CURRENT.get()


@contextmanager
def started_by(origin: Origin) -> Iterator[None]:
    """Let `current` tell of `origin` inside."""
    token = _CURRENT.set(origin)
    try:
        yield
    finally:
        _CURRENT.reset(token)
