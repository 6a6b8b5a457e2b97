"""Seconds and peak memory of a command and all its children, measured from outside."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil


@dataclass(frozen=True)
class Row:
    """One line of a benchmark's table: `ratio` is reference / ours, so that more is better."""

    what: str
    ours: float
    reference: float | None
    unit: str
    ratio: float | None
    note: str

    @classmethod
    def of(cls, what: str, ours: float, reference: float | None, unit: str, note: str) -> "Row":
        """A row of a figure where less is better, with its ratio worked out."""
        return cls(
            what, round(ours, 3), _rounded(reference), unit, _rounded(reference / ours if reference else None), note
        )

    @classmethod
    def rate(cls, what: str, ours: float, reference: float | None, unit: str, note: str) -> "Row":
        """A row of a figure where more is better."""
        return cls(
            what, round(ours, 1), _rounded(reference), unit, _rounded(ours / reference if reference else None), note
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of the fields."""
        return asdict(self)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


@dataclass(frozen=True)
class Cost:
    """What a command took; `cpu` is of all its processes, and less moved by what else the machine does."""

    seconds: float
    peak_mb: float
    output: str
    cpu: float = 0.0


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end.

    Memory is the largest sum of resident sizes of the process and its descendants, sampled every 50 ms.

    Raises:
        RuntimeError: it failed; the message holds what it printed.
    """
    began, before = time.perf_counter(), _cpu_of_children()
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(command, env={**os.environ, **(env or {})}, stdout=printed, stderr=subprocess.STDOUT)
        peak = 0
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _resident(watched))
            time.sleep(0.05)
        seconds = time.perf_counter() - began
        printed.seek(0)
        output = printed.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output[-3000:]}")
    return Cost(seconds, peak / 1e6, output, _cpu_of_children() - before)


def run_python(code: str, env: Mapping[str, str] | None = None) -> Cost:
    """`run` a piece of Python in a fresh interpreter."""
    return run([sys.executable, "-c", code], env)


def _cpu_of_children() -> float:
    """Seconds of processor time of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident(process: psutil.Process) -> int:
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            try:
                total += one.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return total
    return total
