"""The log of the endpoint's processes: a line for each event, in JSON where nobody watches, with nothing personal."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from structlog.typing import EventDict

_PLACES = 6
"""Lines of code that are named of an error, the innermost last."""


def configure() -> None:
    """Let every logger of this process write such lines to stderr."""
    import structlog

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        bare,
    ]
    watched = sys.stderr.isatty()
    last = structlog.dev.ConsoleRenderer() if watched else structlog.processors.JSONRenderer(ensure_ascii=False)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("leadwise").setLevel(logging.INFO)


def bare(logger: object, method: str, event: EventDict) -> EventDict:
    """Of an error its kind and where it rose: what it says may name a person, a value or a secret."""
    record = event.get("_record")
    raised = record.exc_info if record is not None else event.get("exc_info")
    event.pop("exc_info", None)
    if record is not None:
        record.exc_info = record.exc_text = None
    if isinstance(raised, tuple) and raised[1] is not None:
        event.update(described(raised[1], raised[2]))
    return event


def described(error: BaseException, trace: TracebackType | None = None) -> dict[str, Any]:
    """The kind of an error, and the lines of code through which it came."""
    frames = traceback.extract_tb(trace or error.__traceback__)[-_PLACES:]
    places = [f"{'/'.join(Path(one.filename).parts[-2:])}:{one.lineno} {one.name}" for one in frames]
    return {"error": type(error).__name__, "at": places}
