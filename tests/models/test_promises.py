"""Ranges of expected conversions hold what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.promises import Ratio, expected


def test_without_settled_outcomes_it_is_the_sum() -> None:
    found = expected(120.0, 100.0, 1000)
    assert found.value == 120.0
    assert found.high - found.value == pytest.approx(16.45, abs=0.01)
    assert Ratio.of(0.0, 0.0, 0.0, 0.1, 5) == Ratio()


@given(
    st.lists(st.floats(0, 1), min_size=0, max_size=50),
    st.floats(0, 3),
    st.floats(0, 1),
)
def test_it_stays_between_none_and_all(chances: list[float], value: float, error: float) -> None:
    total, spread = sum(chances), sum(p * (1 - p) for p in chances)
    found = expected(total, spread, len(chances), Ratio(value, error, 10))
    assert 0 <= found.low <= found.value + 1e-9
    assert found.value <= found.high + 1e-9
    assert found.high <= len(chances)


@pytest.mark.parametrize("truth", [1.0, 0.8, 1.15])
def test_nine_of_ten_days_fall_into_the_range(truth: float) -> None:
    """Days of a model that promises too much or too little, corrected by outcomes that settled before."""
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(600):
        p = rng.beta(1.2, 9.0, 3000)
        real = np.clip(p * truth, 0, 1)
        before = rng.choice(3000, 1500)
        came = rng.random(1500) < real[before]
        mean, reach = came.mean(), 1.96 * np.sqrt(came.mean() * (1 - came.mean()) / 1500)
        ratio = Ratio.of(p[before].mean(), mean, mean - reach, mean + reach, 1500)
        day = rng.choice(3000, 2000, replace=False)
        found = expected(p[day].sum(), (p[day] * (1 - p[day])).sum(), 2000, ratio)
        inside += found.low <= (rng.random(2000) < real[day]).sum() <= found.high
    assert 0.86 <= inside / 600 <= 0.94
