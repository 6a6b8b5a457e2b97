"""The parts of a model card that rest on pictures and tables of the holdout."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from pipelines.train import card_charts as charts
from pipelines.train import card_figures as figures
from pipelines.train.card_html import bar, figure, folded, grid, interval, note, section, table

if TYPE_CHECKING:
    from pipelines.train.card_evidence import Evidence
    from pipelines.train.card_figures import Figure, Group

_MOST = 15  # features shown at once; the others fold away
NAMES = {
    "auc": "AUC",
    "logloss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error",
    "base_rate": "base rate",
    "spearman": "rank correlation",
    "rmse": "RMSE",
    "mae": "mean absolute error",
    "mean": "mean",
}
"""The measures, as the card calls them."""


def told(name: str, value: float) -> str:
    """A measure as the card writes it."""
    if not np.isfinite(value):
        return "–"
    if name == "base_rate":
        return f"{value:.2%}"
    return f"{value:,.4g}" if name in ("rmse", "mae", "mean") else f"{value:.4f}"


def calibration(e: Evidence) -> str:
    """Whether what is predicted happens, and how far the outcomes are apart."""
    bins = figures.bins_of(e.y, e.p, e.binary)
    each = f"{bins[0].rows:,}" if bins[0].rows == bins[-1].rows else f"{bins[-1].rows:,} to {bins[0].rows:,}"
    names = ("0", "1") if e.binary else ("up to the median", "above the median")
    middle = 0.5 if e.binary else float(np.median(e.y))
    parts = [(f"{'label ' if e.binary else ''}{names[1]}", e.p[e.y > middle])]
    parts.append((f"{'label ' if e.binary else ''}{names[0]}", e.p[e.y <= middle]))
    pictures = [
        figure(
            charts.reliability(bins, e.number, e.tick),
            f"Does what is predicted happen? {len(bins)} bins of {each} rows, bars are 95 % intervals.",
            folded("numbers", _groups(e, bins, "prediction")),
        ),
        figure(
            charts.scores([(f"{n} ({len(part):,})", part) for n, part in parts if len(part)], e.number, e.tick),
            "How far are the outcomes apart?",
            legend=[
                ("c1", f"{parts[0][0]} ({len(parts[0][1]):,} rows)"),
                ("c2", f"{parts[1][0]} ({len(parts[1][1]):,} rows)"),
            ],
        ),
    ]
    return section("Calibration and scores", grid(pictures))


def ranking(e: Evidence) -> str:
    """Gain and lift; nothing where values may be negative."""
    pictures = []
    if e.y.min() >= 0 and e.y.sum() > 0:
        curves = {kind: figures.gain_of(e.y, p) for kind, p in e.predictions.items()}
        what = "share of outcomes reached" if e.binary else "share of the sum reached"
        legend = [("c1", e.winner), *([("c0", "other candidates")] if len(curves) > 1 else [])]
        pictures.append(
            figure(charts.gain(curves, e.winner, what), "How much is reached with how many?", legend=legend)
        )
        tenths = figures.bins_of(e.y, e.p, e.binary, 10)
        lift = charts.lift(tenths, float(e.y.mean()))
        pictures.append(
            figure(
                lift,
                "How much better than anybody is each tenth?",
                folded("numbers", _groups(e, tenths, "tenth, lowest first")),
            )
        )
    return section("Gain and lift", grid(pictures)) if pictures else ""


def coverage(e: Evidence) -> str:
    """How often intervals hold, where the model gives any."""
    if not e.intervals:
        return ""
    found = figures.coverage_of(e.y, e.p, e.intervals, e.binary)
    rows = [
        [f"{one.level:.0%}", f"{one.held.value:.1%}", f"{one.held.low:.1%} to {one.held.high:.1%}", e.number(one.width)]
        for one in found
    ]
    what = "rows whose value lies inside"
    if e.binary:
        what = (
            "bins of rows whose share of ones lies inside, which is more often than promised where a range is meant for"
            " each row's own probability: the mean of many strays less"
        )
    return section(
        "Intervals",
        table(["promised", "held", "95 % interval", "mean width"], rows) + note(f"Held: {what}."),
    )


def time(e: Evidence) -> str:
    """Observed, predicted and ranking from period to period of the holdout."""
    word, periods = figures.periods_of(e.times, e.y, e.p, e.binary)
    measure = NAMES[e.measure[0]]
    pictures = [
        figure(
            charts.over_time(periods, word, e.number, e.tick),
            f"Observed and predicted, by {word}.",
            folded("numbers", _groups(e, periods, word)),
            [("c2", "observed"), ("c1", "predicted")],
        )
    ]
    if any(np.isfinite(one.ranking) for one in periods):
        pictures.append(
            figure(
                charts.ranking_over_time(periods, word, measure, 0.5 if e.binary else 0.0),
                f"Does it rank as well later? {measure[0].upper()}{measure[1:]} by {word}; dotted is chance.",
            )
        )
    return section("Over time", grid(pictures))


def importance(e: Evidence) -> str:
    """What the model goes by, in the words of contracts and SQL."""
    if not any(e.importance.values()):
        return ""
    ordered = sorted(e.importance.items(), key=lambda item: -item[1])
    rows = [bar(name, share, ordered[0][1], f"{share:.1%}", e.words.get(name, "")) for name, share in ordered]
    rest = folded(f"{len(rows) - _MOST} more", "".join(rows[_MOST:])) if len(rows) > _MOST else ""
    shown = f'<div class="bars">{"".join(rows[:_MOST])}{rest}</div>'
    return section("What it goes by", shown + note("Share of each feature in what the model learnt."))


def reasons(e: Evidence) -> str:
    """Why a few rows got what they got."""
    if not e.examples:
        return ""
    unit = "log odds" if e.binary else "the label's unit"
    parts = []
    for one in e.examples:
        top = max(abs(one.rest), *(abs(part) for _, _, part in one.reasons))
        rows = [
            bar(f"{name} = {_cell(value)}", part, top, f"{part:+.3g}", e.words.get(name, ""))
            for name, value, part in one.reasons
        ]
        rows.append(bar("everything else", one.rest, top, f"{one.rest:+.3g}"))
        title = f"<h3>{escape(one.place.capitalize())}: {escape(e.number(one.prediction))}</h3>"
        parts.append(f'<div>{title}<div class="bars">{"".join(rows)}</div></div>')
    told_below = f"What each feature added to {e.examples[0].base:+.3g}, where every row starts, in {unit}."
    return section("Why: four rows of the holdout", grid(parts) + note(told_below))


def _cell(value: object) -> str:
    """A feature's value as people read it."""
    if value is None or value != value:
        return "missing"
    return f"{value:,.4g}" if isinstance(value, (float, np.floating)) else str(value)


def segments(e: Evidence) -> str:
    """The same numbers for each group that a contract declares."""
    found = figures.segments_of(e.segments, e.y, e.p, e.binary)
    if not found:
        return ""
    parts = [
        f"<h3>{escape(column)}</h3>{note(e.words.get(column, ''))}{_groups(e, groups, column)}"
        for column, groups in found.items()
    ]
    told_below = (
        f"Groups of fewer than {figures.LEAST} rows, or of fewer than one in a hundred, stand together as others. A"
        " mark says that what is predicted lies outside of the interval of what was observed."
    )
    return section("For whom", "".join(parts) + note(told_below))


def candidates(e: Evidence, found: Mapping[str, Mapping[str, Figure]]) -> str:
    """All candidates side by side, and a constant guess."""
    names = [name for name in found[e.winner] if name in NAMES and name not in ("base_rate", "mean")]
    loss = e.measure[1]
    rows = []
    for kind, one in found.items():
        cells = [interval(*(told(n, v) for v in (one[n].value, one[n].low, one[n].high))) for n in names]
        gap = one[figures.GAP]
        won = kind == e.winner
        ends = ("+.4f" if e.binary else "+,.4g",) * 3
        shown = (
            "" if won else interval(*(f"{v:{f}}" for v, f in zip((gap.value, gap.low, gap.high), ends, strict=True)))
        )
        rows.append([f"<b>{escape(kind)}</b> ✓" if won else escape(kind), *cells, shown])
    constant = figures.group("", e.y, np.full(len(e.y), float(e.train.mean())), e.binary)
    rows.append(["<i>constant guess</i>", *(told(n, constant.loss) if n == loss else "" for n in names), ""])
    head = ["candidate", *(NAMES[name] for name in names), f"{NAMES[loss]}, more than ✓"]
    return section(
        "Candidates", table(head, rows) + note("✓ is what is registered; below each number its 95 % interval.")
    )


def members(e: Evidence) -> str:
    """What the model is made of, where it has members."""
    if not e.weights:
        return ""
    top = max(e.weights.values())
    rows = [bar(name, w, top, f"{w:.3f}") for name, w in sorted(e.weights.items(), key=lambda item: -item[1])]
    return section("Members and their weights", f'<div class="bars">{"".join(rows)}</div>')


def _groups(e: Evidence, groups: list[Group], what: str) -> str:
    ranking, loss = e.measure
    rows = []
    for one in groups:
        low, high = one.observed.low, one.observed.high
        css = "" if low <= one.predicted <= high or not np.isfinite(low) else ' class="off"'
        observed = interval(e.number(one.observed.value), e.number(low), e.number(high))
        predicted = f"<span{css}>{e.number(one.predicted)}</span>"
        figures_ = told(ranking, one.ranking), told(loss, one.loss)
        rows.append([escape(one.name), f"{one.rows:,}", predicted, observed, *figures_])
    return table([what, "rows", "predicted", "observed", NAMES[ranking], NAMES[loss]], rows)
