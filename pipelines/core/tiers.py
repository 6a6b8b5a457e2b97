"""Tiers of probabilities: what batch scores and the endpoint both hand out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

TIERS = ("A", "B", "C", "D")


def tiers_of(probabilities: npt.NDArray[np.float64], base_rate: float, multiples: Mapping[Any, float]) -> list[str]:
    """The tier of each probability.

    Args:
        probabilities: in [0, 1].
        base_rate: share of positives the champion was trained on.
        multiples: of the base rate, by tier: the lowest probability of A, B and C; below C is D.
    """
    edges = np.array([multiples[tier] for tier in TIERS[:3]]) * base_rate
    below = (probabilities[:, None] < edges).sum(axis=1)
    return [TIERS[place] for place in below.tolist()]
