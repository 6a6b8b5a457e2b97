"""A bounded queue: who would wait too long is turned away at once, so that the others are answered soon."""

from __future__ import annotations

import time

LONGEST_SECONDS = 0.025
"""What a request may have to wait for those before it: they, and all who are refused meanwhile, are one turn of the
loop, and under load a request lives through three."""

_WEIGHT = 0.1
"""Of the newest request in the time that one takes."""


class Turns:
    """Requests that were let in and are not answered yet."""

    def __init__(self, most: int, longest: float = LONGEST_SECONDS) -> None:
        """Begin with nobody.

        Args:
            most: requests that may wait.
            longest: seconds that they may take together.
        """
        self._most, self._longest = most, longest
        self._waiting, self._pace, self._last = 0, 0.0, 0.0

    def enter(self) -> float | None:
        """Let a request in, and return when; None turns it away."""
        if self._waiting >= self._most or self._waiting * self._pace > self._longest:
            return None
        self._waiting += 1
        return time.perf_counter()

    def leave(self, entered: float) -> None:
        """Say that a request is answered, which was let in then."""
        now = time.perf_counter()
        self._waiting -= 1
        self._pace += _WEIGHT * (now - max(entered, self._last) - self._pace)
        self._last = now
