"""The model card: one page that says what a model predicts, how well, for whom, and what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.train import card_sections as sections
from pipelines.train.card_figures import Figure, compared
from pipelines.train.card_html import figure_tile, folded, note, section, table
from pipelines.train.card_sections import NAMES, told

if TYPE_CHECKING:
    from pipelines.train.card_evidence import Evidence
    from pipelines.train.card_figures import Times

STYLE = Path(__file__).with_name("card.css")


def card(evidence: Evidence) -> str:
    """The page, as HTML that loads nothing from anywhere and runs nothing.

    Every number on it is computed here from labels and predictions of the holdout.
    """
    e = evidence
    found = compared(e.y, e.predictions, e.winner, e.binary, e.clusters)
    parts = [
        _head(e, found[e.winner]),
        _leaks(e),
        sections.calibration(e),
        sections.ranking(e),
        sections.coverage(e),
        sections.time(e),
        sections.importance(e),
        sections.reasons(e),
        sections.segments(e),
        sections.candidates(e, found),
        sections.members(e),
        _lineage(e),
    ]
    style = STYLE.read_text(encoding="utf-8")
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(e.name)}: model card</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _head(e: Evidence, found: Mapping[str, Figure]) -> str:
    rows = [
        ("model", e.winner, ""),
        ("learnt from", f"{len(e.train):,} rows", _days(e.train_times)),
        ("judged on", f"{len(e.y):,} later rows", _days(e.times)),
        *((name, value, "") for name, value in e.facts.items()),
    ]
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
        for name, value, more in rows
    )
    tiles = [
        figure_tile(name, NAMES[name], told(name, one.value), f"{told(name, one.low)} to {told(name, one.high)}")
        for name, one in found.items()
        if name in NAMES
    ]
    mean = "base_rate" if e.binary else "mean"
    tiles.append(figure_tile(f"train_{mean}", f"{NAMES[mean]} in training", told(mean, float(e.train.mean()))))
    together = "" if e.clusters is None else ", rows of one entity drawn together"
    return (
        f'<header><p class="kind">Model card</p><h1>{escape(e.name)}</h1><p class="lead">{escape(e.meaning)}</p>'
        f'<dl class="facts">{facts}</dl></header>\n<div class="tiles">{"".join(tiles)}</div>'
        + note(f"On the latest rows, which no candidate learnt from. Below: 95 % bootstrap intervals{together}.")
    )


def _leaks(e: Evidence) -> str:
    if not e.leaks:
        return section("Leaks", '<p class="good">No feature seems to know the outcome.</p>')
    rows = "".join(
        f"<li>{escape(leak.sentence)}. <em>{'Accepted' if accepted else 'Not accepted'}</em></li>"
        for leak, accepted in e.leaks
    )
    wanted = "<p>It is promoted when each is accepted by name in <code>train.accept_leaks</code>, and not before.</p>"
    if all(accepted for _, accepted in e.leaks):
        wanted = ""
    return section(
        "Leaks", f'<div class="warning"><p>Features that may know the outcome:</p><ul>{rows}</ul>{wanted}</div>'
    )


def _lineage(e: Evidence) -> str:
    if not e.lineage:
        return ""
    rows = [[f"<code>{escape(name)}</code>", f"<code>{escape(value)}</code>"] for name, value in e.lineage.items()]
    return section("Made from", folded(f"{len(rows)} facts", table(["what", "which"], rows)))


def _days(times: Times) -> str:
    return f"{times.min().astype('datetime64[D]')} to {times.max().astype('datetime64[D]')}"
