"""Pictures of a model card as SVG that takes its colours from the page and says its numbers where one points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

import numpy as np

from models.inputs import Floats
from pipelines.train.card_figures import Group

Format = Callable[[float], str]

_WIDTH, _HEIGHT = 440, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 40


class Plot:
    """A plane with two axes, to which marks are added in data coordinates."""

    def __init__(
        self,
        title: str,
        x: tuple[float, float],
        y: tuple[float, float],
        labels: tuple[str, str],
        *,
        shown: tuple[Format, Format],
        x_ticks: Sequence[tuple[float, str]] | None = None,
    ) -> None:
        self.title, self.labels = title, labels
        self._x, self._y = _span(x), _span(y)
        self._marks: list[str] = []
        self._axes(shown, x_ticks)

    def x(self, value: float) -> float:
        """Across, in the picture's units."""
        low, high = self._x
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Down, in the picture's units."""
        low, high = self._y
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def _axes(self, shown: tuple[Format, Format], x_ticks: Sequence[tuple[float, str]] | None) -> None:
        floor = _HEIGHT - _BOTTOM
        for value in ticks(*self._y):
            at = self.y(value)
            self._marks.append(f'<path class="g" d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}"/>')
            self._marks.append(_text(_LEFT - 6, at + 4, shown[1](value), "end"))
        for value, name in x_ticks or [(value, shown[0](value)) for value in ticks(*self._x)]:
            self._marks.append(_text(self.x(value), floor + 16, name, "middle"))
        self._marks.append(f'<path class="axis" d="M{_LEFT} {floor}H{_WIDTH - _RIGHT}"/>')
        self._marks.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 5, self.labels[0], "middle", "label"))

    def line(self, xs: Iterable[float], ys: Iterable[float], css: str) -> None:
        """A line through points."""
        points = " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in zip(xs, ys, strict=True))
        self._marks.append(f'<polyline class="{css}" points="{points}"/>')

    def dot(self, x: float, y: float, css: str, said: str, ends: tuple[float, float] | None = None) -> None:
        """A point that says something, with an interval where there is one."""
        bar = ""
        if ends is not None and np.isfinite(ends).all():
            bar = f'<path class="bar {css}" d="M{self.x(x):.1f} {self.y(ends[0]):.1f}V{self.y(ends[1]):.1f}"/>'
        at = f'cx="{self.x(x):.1f}" cy="{self.y(y):.1f}"'
        self._marks.append(
            f'<g class="p"><title>{escape(said)}</title>{bar}<circle class="hit" {at} r="11"/>'
            f'<circle class="{css}" {at} r="3.5"/></g>'
        )

    def box(self, x: tuple[float, float], y: tuple[float, float], css: str, said: str) -> None:
        """A rectangle that says something."""
        left, right = self.x(x[0]), self.x(x[1])
        top, bottom = self.y(max(y)), self.y(min(y))
        gap = min(1.0, (right - left) / 8)
        self._marks.append(
            f'<g class="p"><title>{escape(said)}</title><rect class="{css}" x="{left + gap:.1f}" y="{top:.1f}"'
            f' width="{right - left - 2 * gap:.1f}" height="{max(bottom - top, 0):.1f}"/></g>'
        )

    def whisker(self, x: float, ends: tuple[float, float]) -> None:
        """An interval over a bar."""
        if np.isfinite(ends).all():
            self._marks.append(
                f'<path class="bar ink" d="M{self.x(x):.1f} {self.y(ends[0]):.1f}V{self.y(ends[1]):.1f}"/>'
            )

    def svg(self) -> str:
        """The picture."""
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(self.title, quote=True)}">'
            f"{''.join(self._marks)}</svg>"
        )


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers in [low, high], about as many as wanted: steps of 1, 2 or 5 times a power of ten."""
    step = (high - low) / wanted
    power = 10.0 ** np.floor(np.log10(step))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda one: abs(one - step))
    first = np.ceil(low / step - 1e-9)
    last = np.floor(high / step + 1e-9)
    return [float(round(n * step, 12)) + 0.0 for n in np.arange(first, last + 1)]  # no minus zero


def reliability(bins: list[Group], number: Format, tick: Format) -> str:
    """Predicted against observed in bins of equal mass."""
    values = [
        value for one in bins for value in (one.predicted, one.observed.value, one.observed.low, one.observed.high)
    ]
    known = [value for value in values if np.isfinite(value)]
    low, high = min(0.0, *known), max(known)
    ends = (low, high + (high - low) * 0.04)
    plot = Plot("Reliability", ends, ends, ("predicted", "observed"), shown=(tick, tick))
    plot.line(ends, ends, "line chance")
    plot.line([one.predicted for one in bins], [one.observed.value for one in bins], "line c1 thin")
    for one in bins:
        said = (
            f"{one.rows:,} rows: predicted {number(one.predicted)}, observed {number(one.observed.value)}"
            f" ({number(one.observed.low)} to {number(one.observed.high)})"
        )
        plot.dot(one.predicted, one.observed.value, "c1", said, (one.observed.low, one.observed.high))
    return plot.svg()


def gain(
    curves: dict[str, tuple[Floats, Floats]],
    winner: str,
    what: str,
    contacted: str = "share contacted, best first",
    said: str = "the best {taken} hold {reached}",
) -> str:
    """Share of outcomes reached by share contacted, the winner's line in front; the words may be another language's."""
    plot = Plot("Gain", (0, 1), (0, 1), (contacted, what), shown=(percent, percent))
    plot.line((0, 1), (0, 1), "line chance")
    for kind, (taken, reached) in curves.items():
        if kind != winner:
            plot.line(taken, reached, "line c0 thin")
    taken, reached = curves[winner]
    plot.line(taken, reached, "line c1")
    for share in (0.05, 0.1, 0.2, 0.3, 0.5):
        at = float(np.interp(share, taken, reached))
        plot.dot(share, at, "c1", said.format(taken=f"{share:.0%}", reached=f"{at:.1%}"))
    return plot.svg()


def lift(tenths: list[Group], mean: float) -> str:
    """Observed in each tenth of the scores, the best first, as multiples of the mean."""
    best = tenths[::-1]
    scaled = [tuple(v / mean for v in (g.observed.value, g.observed.low, g.observed.high)) for g in best]
    top = max(1.0, *(v for values in scaled for v in values if np.isfinite(v))) * 1.05
    low = min(0.0, *(v for values in scaled for v in values if np.isfinite(v)))
    names = [(i + 0.5, f"{i + 1}.") for i in range(len(best))]
    plot = Plot(
        "Lift",
        (0, len(best)),
        (low, top),
        ("tenth of the rows, best first", "times the mean"),
        shown=(str, lambda v: f"{v:g}×"),
        x_ticks=names,
    )
    for i, (one, (value, least, most)) in enumerate(zip(best, scaled, strict=True)):
        plot.box((i + 0.1, i + 0.9), (0, value), "c1", f"{i + 1}. tenth, {one.rows:,} rows: {value:.2f} times the mean")
        plot.whisker(i + 0.5, (least, most))
    plot.line((0, len(best)), (1, 1), "line chance")
    return plot.svg()


def scores(parts: Sequence[tuple[str, Floats]], number: Format, tick: Format) -> str:
    """Two distributions of predictions, one upwards and one downwards; each bar is a share of its own rows."""
    every = np.concatenate([part for _, part in parts])
    low, high = float(np.quantile(every, 0.001)), float(np.quantile(every, 0.999))
    edges = np.linspace(low, high, 37) if high > low else np.array([low - 0.5, low + 0.5])
    shares = [np.histogram(np.clip(part, low, high), edges)[0] / max(len(part), 1) for _, part in parts]
    most = max(float(one.max()) for one in shares)
    plot = Plot(
        "Scores by outcome",
        (edges[0], edges[-1]),
        (-most, most),
        ("prediction", ""),
        shown=(tick, lambda v: f"{abs(v):.0%}"),
    )
    for (name, _), share, sign, css in zip(parts, shares, (1, -1), ("c1", "c2"), strict=False):  # often one only
        for left, right, one in zip(edges[:-1], edges[1:], share, strict=True):
            if one:
                said = f"{name}: {one:.1%} at {number(left)} to {number(right)}"
                plot.box((left, right), (0, sign * float(one)), css, said)
    return plot.svg()


def over_time(periods: list[Group], word: str, number: Format, tick: Format) -> str:
    """Observed with intervals, and predicted, from period to period."""
    values = [v for g in periods for v in (g.predicted, g.observed.low, g.observed.high) if np.isfinite(v)]
    ends = (min(0.0, *values), max(values) * 1.05)
    plot = Plot("Over time", _places(periods), ends, (word, ""), shown=(str, tick), x_ticks=_names(periods))
    plot.line(range(len(periods)), [g.observed.value for g in periods], "line c2 thin")
    plot.line(range(len(periods)), [g.predicted for g in periods], "line c1 dashed")
    for i, one in enumerate(periods):
        said = (
            f"{one.name}, {one.rows:,} rows: observed {number(one.observed.value)}, predicted {number(one.predicted)}"
        )
        plot.dot(i, one.observed.value, "c2", said, (one.observed.low, one.observed.high))
        plot.dot(i, one.predicted, "c1", said)
    return plot.svg()


def ranking_over_time(periods: list[Group], word: str, measure: str, chance: float) -> str:
    """AUC or rank correlation from period to period."""
    known = [(i, g) for i, g in enumerate(periods) if np.isfinite(g.ranking)]
    values = [g.ranking for _, g in known] + [chance]
    ends = (min(values) - 0.02, max(values) + 0.05)
    plot = Plot(
        f"{measure} over time",
        _places(periods),
        ends,
        (word, ""),
        shown=(str, lambda v: f"{v:.2f}"),
        x_ticks=_names(periods),
    )
    plot.line(_places(periods), (chance, chance), "line chance")
    plot.line([i for i, _ in known], [g.ranking for _, g in known], "line c1 thin")
    for i, one in known:
        plot.dot(i, one.ranking, "c1", f"{one.name}, {one.rows:,} rows: {measure} {one.ranking:.3f}")
    return plot.svg()


def percent(value: float) -> str:
    """A share in per cent, with as many digits as it needs."""
    return f"{value:.0%}" if value == 0 or abs(value) >= 0.0995 else f"{value * 100:.2g}%"


def _places(periods: list[Group]) -> tuple[float, float]:
    return -0.4, len(periods) - 0.6


def _names(periods: list[Group]) -> list[tuple[float, str]]:
    every = max(1, -(-len(periods) // 5))
    return [(i, g.name[5:] if len(g.name) > 7 else g.name) for i, g in enumerate(periods) if i % every == 0]


def _span(ends: tuple[float, float]) -> tuple[float, float]:
    return ends if ends[1] > ends[0] else (ends[0] - 0.5, ends[0] + 0.5)


def _text(x: float, y: float, said: str, anchor: str, css: str = "") -> str:
    name = f' class="{css}"' if css else ""
    return f'<text{name} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'
