"""Tables of Markdown, as generated documents need them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with a closing empty line; bars and line ends in cells do not break it."""
    lines = [_row(columns), _row(["---"] * len(columns))]
    return "\n".join([*lines, *(_row(row) for row in rows), ""])


def code(value: object) -> str:
    """A value as code; nothing for None."""
    return "" if value is None else f"`{value}`"


def codes(values: Iterable[object]) -> str:
    """Several values as code."""
    return ", ".join(map(code, values))


def _row(cells: Sequence[object]) -> str:
    told = (" ".join(str(cell).split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(told)} |"
