"""The page as HTML: one file that loads nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path

import numpy as np

from models.promises import Z
from pipelines.deliver.page.figures import Figures, Group, Kept
from pipelines.deliver.page.words import WORDS, Language, number, percent
from pipelines.train.card import STYLE
from pipelines.train.card_charts import gain
from pipelines.train.card_html import bar, figure, figure_tile, grid, note, section, table

_SCRIPT = Path(__file__).with_name("calculator.js")
_MORE = """
.form { display: flex; flex-wrap: wrap; gap: .7rem 1.5rem; margin: 0 0 1rem; }
.form label { display: grid; gap: .2rem; font-size: .85rem; color: var(--soft); }
.form input { font: inherit; color: var(--ink); background: var(--raised); border: 1px solid var(--soft);
  border-radius: .4rem; padding: .4rem .6rem; width: 10rem; }
.form input:focus-visible { outline: 3px solid var(--c1); outline-offset: 1px; }
"""
BUDGET, COST = 1000.0, 0.35
"""What the calculator begins with: pesos, and pesos a message."""


class Page:
    """The page of some figures, in one language."""

    def __init__(self, found: Figures, language: Language) -> None:
        self._found, self._language = found, language
        self._words: Mapping[str, str] = WORDS[language]

    def html(self) -> str:
        """The whole page."""
        style = STYLE.read_text(encoding="utf-8") + _MORE
        script = _SCRIPT.read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
        parts = [
            self._head(),
            self._tiers(),
            self._gain(),
            *self._segments(),
            self._reasons(),
            self._changed(),
            self._kept(),
            self._left_out(),
        ]
        title = escape(self._say("title", date=self._found.manifest["date"]))
        body = "\n".join(part for part in parts if part)
        return (
            f'<!doctype html>\n<html lang="{self._language}"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
            f"<style>{style}</style></head>\n<body><main>\n{body}\n</main>\n{self._reads(script)}</body></html>\n"
        )

    def _say(self, key: str, /, **given: object) -> str:
        return self._words[key].format(**given)

    def _number(self, value: float, digits: int = 0) -> str:
        return number(value, self._language, digits)

    def _percent(self, value: float, digits: int = 1) -> str:
        return percent(value, self._language, digits)

    def _head(self) -> str:
        found, told = self._found, self._found.manifest
        counts = told["counts"]
        scored = counts["audience"] + counts["suppressed"]
        sending = str(told["sending"]).replace("T", " ")[:16]
        lead = self._say(
            "lead" if counts["audience"] else "lead_nobody",
            audience=self._number(counts["audience"]),
            scored=self._number(scored),
            sending=sending,
        )
        facts = {
            "as_of": str(told["as_of"]).replace("T", " ")[:16],
            "version": found.version or "–",
            "contract": str(told["schema_version"] or "–"),
        }
        listed = "".join(f"<div><dt>{escape(self._words[k])}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
        best = next((one.leads for one in found.tiers if one.name == "A"), 0)
        conversions = found.every.conversions
        tiles = [
            figure_tile("audience", self._words["audience"], self._number(counts["audience"])),
            figure_tile("suppressed", self._words["suppressed"], self._number(counts["suppressed"])),
            figure_tile("tier_a", self._words["tier_a"], self._number(best)),
            figure_tile(
                "conversions",
                self._words["conversions"],
                self._number(conversions.value),
                self._say("range", low=self._number(conversions.low), high=self._number(conversions.high)),
            ),
        ]
        return (
            f'<header><p class="kind">{escape(self._words["kind"])} · {escape(str(told["tenant"]))}</p>'
            f"<h1>{escape(self._say('title', date=told['date']))}</h1>"
            f'<p class="lead">{escape(lead)}</p><dl class="facts">{listed}</dl></header>\n'
            f'<div class="tiles">{"".join(tiles)}</div>{note(self._correction())}'
        )

    def _correction(self) -> str:
        ratio = self._found.ratio
        if not ratio.rows:
            return self._words["uncorrected"]
        return self._say("corrected", rows=self._number(ratio.rows), ratio=self._number(ratio.value, 2))

    def _tiers(self) -> str:
        if not self._found.tiers:
            return ""
        heads = [self._words[name] for name in ("tier", "leads", "share", "mean", "expected")]
        return section(self._words["tiers"], table(heads, [self._row(one) for one in self._found.tiers]))

    def _row(self, one: Group) -> list[str]:
        whole = max(1, self._found.every.leads)
        ends = self._say("range", low=self._number(one.conversions.low), high=self._number(one.conversions.high))
        return [
            f'<b data-tier="{escape(one.name)}">{escape(one.name)}</b>',
            self._number(one.leads),
            self._percent(one.leads / whole),
            self._percent(one.mean),
            f"{self._number(one.conversions.value)}<small>{escape(ends)}</small>",
        ]

    def _gain(self) -> str:
        curve = np.array(self._found.curve, dtype=np.float64)
        if len(curve) < 2 or not curve[-1, 1] > 0:
            return ""
        taken, reached = curve[:, 0] / curve[-1, 0], curve[:, 1] / curve[-1, 1]
        caption = self._say(
            "gain_caption", ten=self._percent(0.1, 0), reach=self._percent(float(np.interp(0.1, taken, reached)), 0)
        )
        picture = gain(
            {"": (taken, reached)}, "", self._words["gain_axis"], self._words["contacted"], self._words["gain_dot"]
        )
        return section(self._words["gain"], grid([figure(picture, caption), self._calculator()]))

    def _calculator(self) -> str:
        fields = "".join(
            f'<label>{escape(self._words[name])}<input id="{name}" type="number" min="0" step="{step}"'
            f' value="{value:g}" inputmode="decimal"></label>'
            for name, value, step in (("budget", BUDGET, "1"), ("cost", COST, "0.01"))
        )
        tiles = "".join(
            f'<div class="tile"><b id="{key}">–</b><span>{escape(self._words[word])}</span>{more}</div>'
            for key, word, more in (
                ("leads", "contact", ""),
                ("conversions", "expected", '<small id="range"></small>'),
                ("each", "each", ""),
            )
        )
        return (
            f'<div><h3>{escape(self._words["calculator"])}</h3><div class="form">{fields}</div>'
            f'<div class="tiles" aria-live="polite">{tiles}</div>'
            f'<p class="note" id="whole" hidden>{escape(self._words["whole"])}</p></div>'
        )

    def _reads(self, script: str) -> str:
        """The calculator's script and what it reads; nothing where there is nobody to write to."""
        if not self._found.every.leads:
            return ""
        ratio = self._found.ratio
        told = {
            "language": self._language,
            "range": self._words["range"],
            "ratio": ratio.value,
            "error": ratio.error,
            "z": Z,
            "curve": [[n, round(p, 6), round(v, 6)] for n, p, v in self._found.curve],
        }
        text = json.dumps(told).replace("<", "\\u003c")
        return f'<script id="curve" type="application/json">{text}</script>\n<script>{script}</script>'

    def _segments(self) -> list[str]:
        parts = []
        for name, groups in self._found.segments.items():
            top = max((one.conversions.value for one in groups), default=0.0)
            bars = [
                bar(
                    one.name,
                    one.conversions.value,
                    top,
                    self._number(one.conversions.value),
                    f"{self._number(one.leads)} {self._words['leads']}, {self._percent(one.mean)}",
                )
                for one in groups
            ]
            if bars:
                caption = self._words["expected"]
                parts.append(section(self._say("segments", name=name), figure("".join(bars), caption)))
        return parts

    def _reasons(self) -> str:
        if not self._found.reasons:
            return ""
        heads = [self._words[name] for name in ("reason", "raises", "lowers")]
        rows = [[escape(phrase), self._number(up), self._number(down)] for phrase, up, down in self._found.reasons]
        return section(self._words["reasons"], table(heads, rows))

    def _changed(self) -> str:
        found = self._found.changed
        if found is None:
            return ""
        tiles = [
            figure_tile(f"changed_{name}", self._words[name], self._number(getattr(found, name)))
            for name in ("before", "came", "left", "up", "down")
        ]
        return section(self._say("changed", date=found.date), f'<div class="tiles">{"".join(tiles)}</div>')

    def _kept(self) -> str:
        rows = [self._kept_row(one) for by in ("all", "tier") for one in self._found.kept.get(by, [])]
        if not rows:
            return ""
        heads = ["", *(self._words[name] for name in ("outcomes", "said", "observed"))]
        return section(self._words["kept"], table(heads, rows))

    def _kept_row(self, one: Kept) -> list[str]:
        off = "" if one.low <= one.said <= one.high else ' class="off"'
        ends = f"{self._percent(one.low)} – {self._percent(one.high)}"
        return [
            escape(one.name or self._words["every"]),
            self._number(one.rows),
            self._percent(one.said),
            f"<span{off}>{self._percent(one.came)}</span><small>{ends}</small>",
        ]

    def _left_out(self) -> str:
        heads = [self._words[name] for name in ("rule", "leads")]
        rows = [
            [f'<span data-rule="{escape(rule)}">{escape(self._words[rule])}</span>', self._number(rows)]
            for rule, rows in self._found.manifest["suppressed_by"].items()
            if rows
        ]
        return section(self._words["left_out"], grid([table(heads, rows)])) if rows else ""
