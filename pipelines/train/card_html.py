"""Pieces of HTML that a model card is put together from; what they are given as text is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its cells are HTML, the first of each row is its name."""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def figure(svg: str, caption: str, more: str = "", legend: Sequence[tuple[str, str]] = ()) -> str:
    """A picture with what it answers, its colours and, folded away, its numbers."""
    keys = "".join(f'<span><i class="{css}"></i>{escape(name)}</span>' for css, name in legend)
    key = f'<div class="legend">{keys}</div>' if keys else ""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{key}{svg}{more}</figure>"


def section(title: str, content: str) -> str:
    """A part of the page."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def grid(parts: Sequence[str]) -> str:
    """Parts side by side where there is room."""
    return f'<div class="grid">{"".join(parts)}</div>'


def note(words: str) -> str:
    """A small sentence; nothing where there is none."""
    return f'<p class="note">{escape(words)}</p>' if words else ""


def bar(name: str, share: float, top: float, shown: str, words: str = "") -> str:
    """A name with a bar, as long as `share` is of `top` and of another colour where it is negative, and its number."""
    less = ' class="less"' if share < 0 else ""
    said = f"<small>{escape(words)}</small>" if words else ""
    return (
        f'<div class="bar-row"><div class="name"><b>{escape(name)}</b>{said}</div>'
        f'<div class="track"><i{less} style="width:{100 * abs(share) / max(top, 1e-12):.1f}%"></i></div>'
        f'<span class="n">{escape(shown)}</span></div>'
    )


def folded(summary: str, content: str) -> str:
    """What is there for those who ask."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def interval(value: str, low: str, high: str) -> str:
    """A number over its interval."""
    return f"{escape(value)}<small>{escape(low)} to {escape(high)}</small>"


def figure_tile(key: str, name: str, value: str, ends: str = "") -> str:
    """A number of the head; `key` is what a program finds it by."""
    more = f"<small>{escape(ends)}</small>" if ends else ""
    return (
        f'<div class="tile"><b data-measure="{escape(key)}">{escape(value)}</b><span>{escape(name)}</span>{more}</div>'
    )
