"""What follows from the rows of a ledger: which decision holds for an instant, and what was taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.registry.ledger import Entry


def ruling(known: Sequence[Entry], as_of: datetime | None) -> Entry:
    """The decision whose version scores the instant `as_of`; see `load_champion`. At least one is known."""
    current = known[-1]
    if as_of is None or current.as_of <= as_of.isoformat():
        return current
    good = {entry.version: entry for entry in known if entry.version not in withdrawn(known)}
    found = [entry for entry in good.values() if entry.as_of <= as_of.isoformat()]
    return max(found, key=lambda entry: (entry.as_of, int(entry.version)), default=current)


def withdrawn(known: Sequence[Entry]) -> dict[str, Entry]:
    """Versions that a rollback took out of work, and nobody put back, with that decision.

    One to a version that had been in force before the other, or never: going forward again takes nothing back.
    """
    found: dict[str, Entry] = {}
    first: dict[str, int] = {}
    for entry in known:
        first.setdefault(entry.version, entry.seq)
        left = entry.previous
        earlier = left is not None and first[entry.version] < first[left]
        if entry.action == "rollback" and left is not None and (earlier or first[entry.version] == entry.seq):
            found[left] = entry
        found.pop(entry.version, None)
    return found
