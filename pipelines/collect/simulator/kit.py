"""Small tools of the draws: array types, streams of random numbers, delays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.collect.simulator.story import Story

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
Columns = dict[str, NDArray[Any]]

DAY_SECONDS = 86_400
NEVER = np.iinfo(np.int64).max // 4
"""An instant, in seconds, or a day that does not come."""

_STREAMS = ("leads", "phones", "economy", "campaigns", "traffic", "arrival", "corrections", "dirt")


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one part of the market, so that a change of one part leaves the others alone."""
    return np.random.default_rng([seed, _STREAMS.index(name)])


def logistic(x: Floats) -> Floats:
    """Probabilities of log-odds."""
    return 1.0 / (1.0 + np.exp(-x))


def lognormal_seconds(rng: np.random.Generator, size: int, median: float, sd: float, longest: float) -> Ints:
    """Delays in whole seconds, at least one.

    Args:
        rng: source of the draws.
        size: how many.
        median: in seconds.
        sd: of the logarithm.
        longest: in seconds; longer ones are cut.
    """
    draws = median * np.exp(sd * rng.standard_normal(size))
    return np.clip(draws, 1, longest).astype(np.int64)


def arrival_lag(rng: np.random.Generator, size: int, late_share: float, story: Story) -> Ints:
    """Seconds between an event and its arrival: mostly minutes, for `late_share` of the rows up to days."""
    lag = lognormal_seconds(rng, size, 60 * story.arrival_minutes, story.arrival_sd, DAY_SECONDS)
    late = rng.random(size) < late_share
    wait = DAY_SECONDS * (0.25 + rng.exponential(story.late_days, size))
    return np.minimum(lag + np.where(late, wait, 0), DAY_SECONDS * story.latest_days).astype(np.int64)
