"""A gain and its interval beside zero, as SVG that takes its colours from the page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from pipelines.train.card_charts import ticks

if TYPE_CHECKING:
    from models.gate import Check

_WIDTH, _HEIGHT = 440, 92
_LEFT, _RIGHT, _MIDDLE, _FLOOR = 14, 14, 32, 60


def intervals(check: Check) -> str:
    """The gain of a check as a dot on a bar from its lower to its upper bound, and the line that it has to stay above.

    Args:
        check: with numbers `gain`, `lower`, `upper`, and perhaps `floor`, in its figures.
    """
    gain, lower, upper = (float(check.figures[name] or 0.0) for name in ("gain", "lower", "upper"))
    floor = check.figures.get("floor")
    known = [0.0, gain, lower, upper, *([float(floor)] if isinstance(floor, int | float) else [])]
    low, high = min(known), max(known)
    margin = (high - low) * 0.08 or 1.0
    low, high = low - margin, high + margin

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    css = "c1" if check.status == "passed" else "c2"
    said = f"{check.name}: {gain:+.5g}, from {lower:+.5g} to {upper:+.5g}"
    marks = [f'<path class="axis" d="M{_LEFT} {_FLOOR}H{_WIDTH - _RIGHT}"/>']
    for value in ticks(low, high, 4):
        marks.append(f'<path class="g" d="M{x(value):.1f} 12V{_FLOOR}"/>')
        marks.append(f'<text x="{x(value):.1f}" y="{_FLOOR + 18}" text-anchor="middle">{value:+.4g}</text>')
    marks.append(f'<path class="axis" d="M{x(0.0):.1f} 8V{_FLOOR}"/>')
    if isinstance(floor, int | float):
        marks.append(f'<path class="bar c2" stroke-dasharray="4 3" d="M{x(float(floor)):.1f} 8V{_FLOOR}"/>')
    marks.append(f'<path class="bar {css}" style="stroke-width:6" d="M{x(lower):.1f} {_MIDDLE}H{x(upper):.1f}"/>')
    dot = f'<circle class="{css}" cx="{x(gain):.1f}" cy="{_MIDDLE}" r="5.5"/>'
    marks.append(f'<g class="p"><title>{escape(said)}</title>{dot}</g>')
    head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(said, quote=True)}">'
    return f"{head}{''.join(marks)}</svg>"
