"""Memory given back between chunks, so that the peak does not grow with their number."""

import ctypes
import ctypes.util
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import pyarrow as pa


@contextmanager
def tidied() -> Iterator[None]:
    """Let `give_back` leave alone what exists now, modules mostly: looking at it costs more than all the rest."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def give_back() -> None:
    """Return what the last chunk used: pandas leaves holes that neither Python nor Arrow closes by itself."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    _trim()(0)


@cache
def _trim() -> Callable[[int], object]:
    """Glibc's malloc_trim; nothing where the C library has none."""
    name = ctypes.util.find_library("c")
    trim = getattr(ctypes.CDLL(name), "malloc_trim", None) if name else None
    return trim or (lambda pad: None)
