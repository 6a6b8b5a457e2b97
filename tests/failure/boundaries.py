"""The instants at which a step changes what others see: each can be the one at which its process dies.

They are found by the interpreter, not by a list of functions of ours: its audit events tell of every file that Python
opens for writing, renames or removes, and SQLite of every statement that ends a transaction or stands outside one.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FILES = {"os.rename": 1, "os.remove": 0, "os.rmdir": 0, "os.truncate": 0}
_ENDS = ("COMMIT", "CREATE", "ALTER", "DROP")
_WRITING = os.O_WRONLY | os.O_RDWR


class _Counter:
    """Counts boundaries, and ends the process at one of them."""

    def __init__(self, var: Path, stop: int, trace: Path) -> None:
        self._var, self._stop, self._trace = str(var), stop, trace.open("w", encoding="utf-8", buffering=1)
        self.on = False
        self.met = 0

    def pass_by(self, kind: str, place: str) -> None:
        """One boundary: what is about to happen has not happened yet; a file about to be written is there and empty."""
        if not self.on or not place.startswith(self._var) or place.split()[0].endswith(".lock"):
            return
        self.on = False  # what is written here is no boundary
        self.met += 1
        self._trace.write(f"{kind} {place.removeprefix(self._var)}\n")
        if self.met == self._stop:
            if kind == "open":
                Path(place).write_bytes(b"")
            os.kill(os.getpid(), signal.SIGKILL)
        self.on = True

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, _, flags = args
            if isinstance(path, str) and isinstance(flags, int) and flags & _WRITING:
                self.pass_by("open", path)
        elif event in _FILES:
            path = os.fspath(args[_FILES[event]])
            if isinstance(path, str):
                self.pass_by(event.removeprefix("os."), path)


@contextmanager
def watched(var: Path, stop: int, trace: Path) -> Iterator[None]:
    """Count the boundaries of what runs inside, below the folder `var`, and kill the process before number `stop`."""
    counter = _Counter(var, stop, trace)
    connect = sqlite3.connect

    def traced(database: Any, *args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(database, *args, **options)

        def tell(statement: str) -> None:
            if statement.lstrip().upper().startswith(_ENDS):
                counter.pass_by("sqlite", f"{database} {' '.join(statement.split()[:3])}")

        connection.set_trace_callback(tell)
        return connection

    sqlite3.connect = sqlite3.dbapi2.connect = traced  # type: ignore[assignment]
    sys.addaudithook(counter.audit)
    counter.on = True
    yield
    counter.on = False
