"""How a command that lives until Ctrl-C ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ends_on_signals() -> Iterator[None]:
    """Take the usual ways to end a process for Ctrl-C."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # What was told to be deaf stays so: `nohup leadwise up &` outlives its terminal.
    deaf = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    taken = [number for number in _ENDINGS if not (deaf and number == signal.SIGHUP)]
    before = [signal.signal(number, end) for number in taken]
    try:
        yield
    finally:
        for number, handler in zip(taken, before, strict=True):
            signal.signal(number, handler)


def let_end() -> None:
    """From here on no second Ctrl-C is heard: it would leave something behind."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
