"""How a command ends when something is wrong: one sentence on standard error, and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

INTERRUPTED = 130  # 128 + SIGINT, as shells count


def sentence(error: BaseException) -> str | None:
    """What to tell a person about `error`; None when it is none that a person can mend."""
    from pipelines.core.stores import explained

    meant = explained(error)
    return _setting(error) if meant is None else str(meant)


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
