"""How many of those who are written to will convert, with a range that holds what it says.

The sum of probabilities is what a model promises. What recently came of such promises corrects it by a ratio, which is
known with an error of its own; the rest is the chance of independent outcomes (a Poisson-binomial sum, by its normal
approximation).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

LEVEL = 0.9
"""Of the ranges."""

Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


@dataclass(frozen=True)
class Ratio:
    """What came for each one that was promised.

    Attributes:
        value: observed by expected, at least 0; 1 where promises are kept.
        error: its standard error.
        rows: settled outcomes that tell it; 0 where none is.
    """

    value: float = 1.0
    error: float = 0.0
    rows: int = 0

    @classmethod
    def of(cls, expected: float, observed: float, low: float, high: float, rows: int, level: float = 0.95) -> Ratio:
        """From means of settled outcomes: what was expected, and what was observed with its interval of `level`."""
        if not expected > 0:
            return cls()
        width = (high - low) / (2 * NormalDist().inv_cdf((1 + level) / 2))
        return cls(observed / expected, width / expected, rows)


@dataclass(frozen=True)
class Expected:
    """A number of conversions.

    Attributes:
        value: that is expected.
        low: lower end of the 90 % range, at least 0.
        high: upper end, at most the number of leads.
    """

    value: float
    low: float
    high: float


def expected(total: float, variance: float, leads: int, ratio: Ratio | None = None) -> Expected:
    """Conversions among leads who are all written to.

    Args:
        total: sum of their probabilities.
        variance: sum of p(1 - p).
        leads: how many they are.
        ratio: what recently came of such promises; None takes them at their word.
    """
    kept = ratio or Ratio()
    value = min(total * kept.value, float(leads))
    reach = Z * sqrt(max(variance, 0.0) * kept.value + (total * kept.error) ** 2)
    return Expected(value, max(0.0, value - reach), min(float(leads), value + reach))
