"""How a command ends when something is wrong: one sentence on standard error, and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

INTERRUPTED = 130  # 128 + SIGINT, as shells count

_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "writing or reading is not permitted",
    errno.EPERM: "the operation is not permitted",
}
# What SQLite says, through any library, when the disk is the trouble.
_SQLITE = {
    "readonly database": "the disk is read-only",
    "unable to open database file": "the folder can't be written",
    "database or disk is full": "the disk is full",
    "disk i/o error": "the disk can't be read or written",
}


def sentence(error: BaseException) -> str | None:
    """What to tell a person about `error`; None when it is none that a person can mend."""
    from pipelines.core.errors import LeadwiseError

    for cause in _causes(error):
        if isinstance(cause, LeadwiseError):
            return str(cause)
        if isinstance(cause, OSError) and cause.errno in _DISK:
            where = f" at {cause.filename}" if cause.filename else ""
            return f"{_DISK[cause.errno]}{where}: make room or point LEADWISE_VAR at a folder that can be written"
        for words, meaning in _SQLITE.items():
            if "sqlite" in type(cause).__module__.lower() and words in str(cause).lower():
                return f"{meaning}: make room or point LEADWISE_VAR at a folder that can be written"
    return _setting(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, nearest first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _setting(error: BaseException) -> str | None:
    """A wrong `LEADWISE_*` variable as a sentence."""
    title = getattr(error, "title", None)
    if title != "Settings" or not hasattr(error, "errors"):
        return None
    first: dict[str, Any] = error.errors()[0]
    name = f"LEADWISE_{str(first['loc'][0]).upper()}"
    return f"the environment variable {name} is {first['input']!r}: {first['msg']}"


class FriendlyGroup(TyperGroup):
    """The commands, with every error a person can meet told in one sentence (exit 1; 2 for wrong usage)."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        from pipelines.core.errors import LeadwiseError

        try:
            _calm()
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say("Interrupted: what was being written is left as it was; run the same command again to go on.")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, TyperException, BrokenPipeError):
            raise  # wrong usage and endings that Typer tells itself
        except Exception as error:
            _tell(error, known=isinstance(error, LeadwiseError))
            raise typer.Exit(1) from None


def debug() -> bool:
    """Whether LEADWISE_DEBUG asks for tracebacks; read without the settings, which may be what is wrong."""
    return os.environ.get("LEADWISE_DEBUG", "").lower() in {"1", "true", "yes", "on"}


def _tell(error: Exception, known: bool) -> None:
    """Say what is wrong; with LEADWISE_DEBUG=1 also where."""
    if debug():
        traceback.print_exception(error)
    words = str(error) if known else sentence(error)
    if words is None:
        first = (str(error).strip() or "no message").splitlines()[0]
        words = f"unexpected {type(error).__name__}: {first} (LEADWISE_DEBUG=1 shows where)"
    _say(" ".join(words.split()))


def _say(words: str) -> None:
    """One line on standard error, red on a terminal."""
    line = typer.style(words, fg=typer.colors.RED) if sys.stderr.isatty() else words
    typer.echo(line, err=True)


def _calm() -> None:
    """Keep the log lines and warnings of libraries off the terminal; LEADWISE_DEBUG=1 lets them through."""
    import logging
    import warnings

    if debug():
        return
    warnings.filterwarnings("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # else logging's last resort prints warnings
    for name, value in {"MLFLOW_CONFIGURE_LOGGING": "0", "GX_ANALYTICS_ENABLED": "False"}.items():
        os.environ.setdefault(name, value)
