"""Going without libraries that others use where they find them: a process of one command starts sooner."""

from __future__ import annotations

import sys
from typing import Any

_own = False


def own() -> None:
    """Say that this process belongs to one command, which knows what it needs."""
    global _own
    _own = True


def go_without(*names: str) -> bool:
    """Let this process find none of these libraries, from here on.

    Nothing happens in a process that others use too, such as a test's or a notebook's, and where one is loaded already.

    Args:
        names: of top-level packages.

    Returns:
        Whether it goes without them.
    """
    modules: dict[str, Any] = sys.modules
    if not _own or any(modules.get(name) is not None for name in names):
        return False
    modules |= dict.fromkeys(names)  # None is what the import system takes for "there is none"
    return True
