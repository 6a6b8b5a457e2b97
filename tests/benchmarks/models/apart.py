"""A function run in a process of its own, so that its processor time and memory are its own too."""

import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Apart:
    """What a function gave and took: processor and wall seconds from its call to its return, and peak memory."""

    value: Any
    cpu: float
    seconds: float
    peak_mb: float


def apart(function: Callable[..., Any], *args: Any) -> Apart:
    """Call `function` (found by import) in a fresh process; libraries that it imports itself count for it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, function, args).result()


def _measured(function: Callable[..., Any], args: tuple[Any, ...]) -> Apart:
    before, began = _cpu(), time.perf_counter()
    value = function(*args)
    seconds, cpu = time.perf_counter() - began, _cpu() - before
    return Apart(value, cpu, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _cpu() -> float:
    """Processor seconds of this process and of its children that have ended."""
    every = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in every)
