"""Starts processes, starts them again when they die, and leaves none behind."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import psutil

from pipelines.core.errors import LeadwiseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pipelines.cli.live.services import Service

GRACE_SECONDS = 15.0
"""What processes get to end by themselves before they are killed."""
_DEATHS, _WINDOW = 4, 120.0
_CLOCK_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1


@dataclass
class _Running:
    service: Service
    process: subprocess.Popen[bytes]
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=_DEATHS))


class Supervisor:
    """The processes of `leadwise up` or `leadwise services`.

    Each begins a session of the operating system, which its descendants stay in whoever their parent is by now (their
    environment can't tell them: Airflow's processes write their titles over it).

    Args:
        environment: of each of them.
        logs: folder that gets `<name>.log`.
        sessions: file that names the sessions, for whoever comes after a killed `leadwise up`.
    """

    def __init__(self, environment: Mapping[str, str], logs: Path, sessions: Path) -> None:
        self.environment, self.logs = dict(environment), logs
        self._record = sessions
        self._sessions: dict[int, float] = {}
        self._running: dict[str, _Running] = {}

    def start(self, service: Service) -> None:
        """Start one; its output is appended to its log."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with self._log(service).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                service.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours to pass on, in order
                user=service.user,
                preexec_fn=partial(_die_with_parent, service.ending) if sys.platform == "linux" else None,
            )
        self._sessions[process.pid] = time.time()
        self._record.write_text(json.dumps(self._sessions), encoding="utf-8")
        held = self._running.get(service.name)
        self._running[service.name] = _Running(service, process, held.deaths if held else deque(maxlen=_DEATHS))

    def revive(self) -> Iterator[str]:
        """Start again what has died, after ending what it left behind; yields a sentence for each.

        Raises:
            LeadwiseError: one that dies again and again.
        """
        for name, running in list(self._running.items()):
            code = running.process.poll()
            if code is None:
                continue
            now = time.monotonic()
            running.deaths.append(now)
            log = self._log(running.service)
            if len(running.deaths) == _DEATHS and now - running.deaths[0] < _WINDOW:
                raise LeadwiseError(
                    f"{name} ended {_DEATHS} times within {_WINDOW:.0f} s: the last lines of {log} say why"
                )
            self._end(self._orphans())
            yield f"{name} ended ({_how(code)}) and is started again; its log: {log}"
            self.start(running.service)

    def stop(self) -> None:
        """End every process and its descendants: first asking, then not."""
        family = self._family()
        for running in reversed(self._running.values()):
            with suppress(OSError):
                running.process.send_signal(running.service.ending)
        deadline = time.monotonic() + GRACE_SECONDS
        for running in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                running.process.wait(max(0.1, deadline - time.monotonic()))
        self._end({*family, *self._family(), *self._orphans()}, grace=1.0)
        self._running.clear()
        self._record.unlink(missing_ok=True)

    def end_leftovers(self) -> int:
        """End what an earlier `leadwise up` on the same folder left behind when it was killed; returns how many."""
        with suppress(OSError, ValueError):
            earlier = json.loads(self._record.read_text(encoding="utf-8"))
            self._sessions = {int(session): float(began) for session, began in earlier.items()}
        found = self._orphans()
        self._end(found)
        self._sessions.clear()
        return len(found)

    def _log(self, service: Service) -> Path:
        return self.logs / f"{service.name}.log"

    def _family(self) -> set[psutil.Process]:
        """Our processes and their descendants."""
        found: set[psutil.Process] = set()
        for running in self._running.values():
            with suppress(psutil.Error):
                head = psutil.Process(running.process.pid)
                found |= {head, *head.children(recursive=True)}
        return found

    def _orphans(self) -> set[psutil.Process]:
        """Processes of our sessions that belong to none of the living."""
        family, found = self._family(), set()
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                began = self._sessions.get(os.getsid(process.pid))
                # A number may have been given anew since: what is older than the session is not of it.
                if began is not None and process not in family and process.create_time() >= began - _CLOCK_SECONDS:
                    found.add(process)
        return found

    @staticmethod
    def _end(processes: set[psutil.Process], grace: float = 5.0) -> None:
        for process in processes:
            with suppress(psutil.Error):
                process.terminate()
        _, alive = psutil.wait_procs(processes, timeout=grace)
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=5.0)


def _die_with_parent(ending: signal.Signals) -> None:
    """In the child, before its program: let the kernel end it when its supervisor is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ending)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
