"""Fixtures of the tests of segments."""

import numpy as np
import pytest

from models.segments import Limits, Segments
from tests.models.segments.leads import Columns, planted


@pytest.fixture(scope="module")
def learnt() -> tuple[Segments, Columns, np.ndarray]:
    X, truth = planted(np.random.default_rng(5), 3000, 4)
    return Segments.learn(X, limits=Limits(most=5)), X, truth
