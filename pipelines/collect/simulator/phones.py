"""Draws phone numbers: fictional, unique, valid in form."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.collect.simulator.kit import Ints
from pipelines.core.errors import ConfigError


def draw_phones(rng: np.random.Generator, lada: Ints, ring: Ints, codes: Sequence[str]) -> NDArray[np.str_]:
    """Draw a number in E.164 for each lead.

    Args:
        rng: source of the draws.
        lada: index into `codes` for each lead.
        ring: fraud ring of each lead, -1 for none; leads of one ring get consecutive numbers.
        codes: area codes of two or three digits; a number has ten digits with its code.

    Raises:
        ConfigError: an area code has too few numbers for its leads.
    """
    national = np.empty(len(lada), dtype=np.int64)
    for index in np.unique(lada):
        here = np.flatnonzero(lada == index)
        local = _locals(rng, ring[here], 10 - len(codes[index]), codes[index])
        national[here] = int(codes[index]) * 10 ** (10 - len(codes[index])) + local
    return np.char.add("+52", national.astype("U10"))


def _locals(rng: np.random.Generator, ring: Ints, digits: int, code: str) -> Ints:
    """Distinct local numbers that start with 2 to 9, consecutive within a ring."""
    lowest, room = 2 * 10 ** (digits - 1), 8 * 10 ** (digits - 1)
    if 2 * len(ring) > room:
        raise ConfigError(f"area code {code} would need {len(ring):,} of its {room:,} numbers: simulate fewer leads")
    honest = ring < 0
    local = np.empty(len(ring), dtype=np.int64)
    taken = _blocks(rng, ring[~honest], room)
    local[~honest] = taken
    free = rng.choice(room, size=int(honest.sum()) + len(taken), replace=False)
    local[honest] = free[~np.isin(free, taken)][: honest.sum()]
    return np.asarray(local + lowest)


def _blocks(rng: np.random.Generator, ring: Ints, room: int) -> Ints:
    """Consecutive numbers per ring, the rings of one area code apart from each other."""
    names, place = np.unique(ring, return_inverse=True)
    stride = room // (len(names) + 1)
    first = np.arange(len(names)) * stride + rng.integers(0, max(1, stride // 2), len(names))
    order = np.arange(len(ring)) - np.searchsorted(ring, names)[place]
    return np.asarray(first[place] + order, dtype=np.int64)
