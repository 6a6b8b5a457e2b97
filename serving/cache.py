"""Answers that were given, for a lead that is asked for again while nothing has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.requests import Asked

_Key = tuple[object, ...]


class Cache:
    """Answers of one champion, as many as fit; the one that was not asked for the longest leaves first.

    A lead's answer is kept for its moment and the version of the features online: each materialization makes another
    one, and so does a lead that is forgotten.
    """

    def __init__(self, entries: int, seconds: int = 0, count: Callable[[int, int], None] | None = None) -> None:
        """Begin empty.

        Args:
            entries: that fit; 0 keeps nothing.
            seconds: for which "now" stands still, so that there is something to keep; of no use without entries.
            count: is told of leads whose answer was kept, and of those for which there was none.
        """
        self.seconds = seconds if entries else 0
        self._answers: LRUCache[_Key, dict[str, Any]] | None = LRUCache(entries) if entries else None
        self._count = count

    def get(self, asked: Asked, reasons: int, version: object) -> dict[str, Any] | None:
        """The answer that was given; None where there is none."""
        if self._answers is None or asked.id is None or version is None:
            return None
        found = self._answers.get((asked.id, asked.moment, reasons, version))
        if self._count is not None:
            self._count(int(found is not None), int(found is None))
        return found

    def put(self, asked: Asked, reasons: int, version: object, answer: dict[str, Any]) -> None:
        """Keep an answer; of features that were handed over none is kept."""
        if self._answers is not None and asked.id is not None and version is not None:
            self._answers[asked.id, asked.moment, reasons, version] = answer
