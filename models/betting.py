"""Bets against what was said of outcomes, whose wealth tells how much outcomes speak against it.

A bet is fair, or worse, as long as the true odds lie within a factor of those that were said. Wealth that can't be
expected to grow reaches k times its start, ever, with probability 1 / k at most (Ville 1939). Betting as testing:
Shafer (2021); nulls of many members and mixtures of alternatives: Ramdas, Grünwald, Vovk & Shafer (2023),
"Game-theoretic statistics and safe anytime-valid inference".

Outcomes of one cluster may depend on each other in any way. Of those known together the average bet counts, and the
first, second, third … time that a cluster is heard of are bet on with money of their own, 1/2, 1/6, 1/12 … of the
start: no money meets a cluster twice, so what its first outcome betrays of the next one pays nothing. The largest of
these wealths counts, as a share of the whole start; their chances add up to that of the whole at most.

What sank over good weeks would take as long to rise again: shares of each start are bet from later blocks on only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.base import expit, logit
from models.inputs import Floats

Codes = npt.NDArray[np.intp]

# Alternatives other than shifts claim odds at most this far from the average of what was said (log odds), and a
# probability of less than this share of the average is not taken at its word: no single outcome decides.
_REACH, _RARE = float(np.log(4)), 0.1


@dataclass(frozen=True)
class Way:
    """One way in which outcomes may differ from what was said.

    Attributes:
        words: for a person.
        shift: of the log odds.
        slope: of the log odds about those of the average said so far; 1 keeps the order and spread of what was said.
    """

    words: str
    shift: float
    slope: float = 1.0


@dataclass(frozen=True)
class Event:
    """What came or not with each of n outcomes, and what was said of it.

    Attributes:
        came: 0.0 or 1.0.
        said: the probability of 1.
        low: the lowest that `said` may stand for before any tolerance; `said` itself where it is known.
        high: the highest.
        ways: the alternatives that are bet on, with equal shares.
    """

    came: Floats
    said: Floats
    low: Floats
    high: Floats
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Wealth:
    """What bets came to.

    Attributes:
        largest: log of the largest wealth up to the end of each block, as a share of the start; 0 or more.
        cells: log wealth by way (cells, ways) at the end of each cell: the nth outcomes of clusters within one block.
        ways: of all events.
    """

    largest: Floats
    cells: Floats
    ways: tuple[Way, ...]

    def best(self) -> Way:
        """The way that has paid most."""
        return self.ways[int(self.cells.max(axis=0).argmax())]


def wealth(events: Sequence[Event], tolerance: float, blocks: Codes, clusters: Codes) -> Wealth:
    """Bet on events with equal shares, and look at the end of each block.

    Args:
        events: of the same n outcomes.
        tolerance: share t within [0, 1): odds from 1 - t to 1 / (1 - t) times those that were said are allowed.
        blocks: of each outcome, whole numbers from 0 up without a gap, in order.
        clusters: of each outcome, whole numbers from 0 up.
    """
    size = int(blocks[-1]) + 1
    pairs, pair = np.unique(clusters.astype(np.int64) * size + blocks, return_inverse=True)
    cluster, block = pairs // size, pairs % size
    nth = np.arange(len(pairs)) - np.searchsorted(cluster, cluster)
    cells, cell = np.unique(nth * size + block, return_inverse=True)
    nth, block = cells // size, cells % size
    counts = np.bincount(pair)
    columns: list[Floats] = []
    shares = []
    for event in events:
        for bet in _bets(event, tolerance, blocks):
            paid: Floats = np.log(np.bincount(pair, bet) / counts)
            columns.append(np.asarray(np.bincount(cell, paid), dtype=np.float64))
            shares.append(1 / (len(events) * len(event.ways)))
    parts: list[Floats] = np.split(np.column_stack(columns), np.flatnonzero(np.diff(nth)) + 1)
    grown = np.concatenate([_grown(part) for part in parts])
    grown += np.log(shares) - np.log((nth + 1) * (nth + 2))[:, None]
    largest = np.zeros(size)
    np.maximum.at(largest, block, np.logaddexp.reduce(grown, axis=1))
    return Wealth(np.maximum.accumulate(largest), grown, tuple(way for event in events for way in event.ways))


def _grown(bets: Floats) -> Floats:
    """Log wealth after each of (blocks, ways) log bets, the shares 1/2, 1/6, 1/12 … being bet from each block on."""
    number = np.arange(1, len(bets) + 1)[:, None]
    paid = np.cumsum(bets, axis=0)
    begun = np.logaddexp.accumulate(bets - paid - np.log(number * (number + 1)), axis=0)
    return np.logaddexp(paid + begun, -np.log(number + 1))


def _bets(event: Event, tolerance: float, blocks: Codes) -> Iterator[Floats]:
    """What a stake of 1 on each outcome becomes, by way.

    The bet is the likelihood ratio of the alternative against the nearest probability that is allowed: against any
    other allowed one its expectation is less than 1. The average said is of this block and those before.
    """
    width = -np.log1p(-tolerance)
    average = (np.cumsum(np.bincount(blocks, event.said)) / np.cumsum(np.bincount(blocks)))[blocks]
    low = np.minimum(expit(logit(event.low) - width), 1 - _RARE * (1 - average))
    high = np.maximum(expit(logit(event.high) + width), _RARE * average)
    centre, odds = logit(average), logit(event.said)
    for way in event.ways:
        claim = way.shift + way.slope * (odds - centre)
        claim = claim if way.slope == 1 else np.clip(claim, -_REACH, _REACH)
        claimed = expit(centre + claim)
        nearest = np.clip(claimed, low, high)
        yield np.where(event.came == 1, claimed / nearest, (1 - claimed) / (1 - nearest))
