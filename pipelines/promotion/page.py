"""The page of a verdict: what was decided, by which checks, with every number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from pipelines.promotion.chart import intervals
from pipelines.train.card import STYLE
from pipelines.train.card_html import figure, figure_tile, folded, grid, note, section, table

if TYPE_CHECKING:
    from models.gate import Check
    from pipelines.promotion.gate import Verdict

_MARKS = {"passed": "✓", "failed": "✗", "not applicable": "–"}
_SHOWN = ("auc", "logloss", "ece", "spearman", "rmse", "mae")


def page(verdict: Verdict, name: str, facts: Mapping[str, str]) -> str:
    """The page, as HTML that loads nothing from anywhere and runs nothing.

    Args:
        verdict: what is told.
        name: of the registered model.
        facts: what else the head says, by name, such as when it was judged.
    """
    parts = [_head(verdict, name, facts), _checks(verdict.checks), _gains(verdict.checks), _beside(verdict.rows)]
    parts.append(_numbers(verdict))
    style = STYLE.read_text(encoding="utf-8")
    body = "\n".join(part for part in parts if part)
    title = escape(f"{name} version {verdict.version}: verdict")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _head(verdict: Verdict, name: str, facts: Mapping[str, str]) -> str:
    told = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items())
    count = {word: sum(one.status == word for one in verdict.checks) for word in _MARKS}
    tiles = [figure_tile(word, f"checks {word}", str(number)) for word, number in count.items()]
    tiles.append(figure_tile("looks", "looks that share the level", str(verdict.looks)))
    against = f"against champion {verdict.against}" if verdict.against else "as the first one"
    word = "Passed" if verdict.passed else "Refused"
    css = "good" if verdict.passed else "warning"
    said = (
        f'<p class="{css}">{escape(verdict.reason)}</p>'
        if verdict.passed
        else (f'<div class="warning"><p>{escape(verdict.reason)}</p></div>')
    )
    return (
        f'<header><p class="kind">Verdict of the gate</p><h1>{escape(name)} version {escape(verdict.version)}</h1>'
        f'<p class="lead">{word}, judged {escape(against)}.</p>{said}'
        f'<dl class="facts">{told}</dl></header>\n<div class="tiles">{"".join(tiles)}</div>'
    )


def _checks(found: Sequence[Check]) -> str:
    rows = [
        [
            f'<b data-check="{escape(one.name)}" data-status="{one.status}">{escape(one.name)}</b>',
            f'<span class="{"off" if one.status == "failed" else ""}">{_MARKS[one.status]} {one.status}</span>',
            f'<span class="said">{escape(one.said)}</span>',
        ]
        for one in found
    ]
    words = "A check that applies and can't be computed has failed. All that apply have to be passed."
    return section("Checks", table(["check", "verdict", "why"], rows) + note(words))


def _gains(found: Sequence[Check]) -> str:
    """The gains with their bounds, one picture for each scale."""
    drawn = [one for one in found if {"gain", "lower", "upper"} <= one.figures.keys()]
    pictures = [
        figure(intervals(one), f"{one.name}: gain over {one.figures.get('over', 'the champion')}")
        for one in drawn
        if all(isinstance(one.figures[key], int | float) for key in ("gain", "lower", "upper"))
    ]
    if not pictures:
        return ""
    words = "Right of zero the challenger is better. The line is what has to lie left of the whole bar."
    return section("Gains", grid(pictures) + note(words))


def _beside(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    names = [name for name in _SHOWN if any(name in row for row in rows)]
    shown = [
        [escape(f"{row['who']} {row['version']} {row['kind']}".strip()), *(_number(row.get(name)) for name in names)]
        for row in rows
    ]
    return section("Side by side, on the rows of the window", table(["who", *names], shown))


def _numbers(verdict: Verdict) -> str:
    blocks = []
    for one in verdict.checks:
        rows = [[escape(str(name)), f"<code>{escape(_plain(value))}</code>"] for name, value in one.figures.items()]
        if rows:
            blocks.append(folded(one.name, table(["number", "value"], rows)))
    return section("Every number", "".join(blocks)) if blocks else ""


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:,.4f}" if isinstance(value, float) else escape(str(value))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
