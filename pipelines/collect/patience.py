"""A little patience with servers: what breaks for a moment is tried again before anybody is told."""

import time
from collections.abc import Callable
from typing import TypeVar

from pipelines.core.errors import SourceUnreachable

WAITS = (0.5, 2.0)
"""Seconds before the second and the third try."""

_T = TypeVar("_T")


def patiently(call: Callable[[], _T], between: Callable[[], None] = lambda: None) -> _T:
    """Call until it works, three times at most.

    Args:
        call: what to do, from its beginning each time.
        between: what to put in order before the next try.

    Raises:
        SourceUnreachable: of the last try.
    """
    for wait in WAITS:
        try:
            return call()
        except SourceUnreachable:
            between()
            time.sleep(wait)
    return call()
