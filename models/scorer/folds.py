"""Which rows are learnt from and which are judged, so that every prediction that is compared is out of fold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from models.base import Task
from models.inputs import Floats, InputError

Ints = npt.NDArray[np.intp]
Stretch = tuple[int, int]
"""From which position on, and up to which one."""

_ENOUGH, _FEWEST = 10_000, 4
"""So many judged rows tell members apart: where stretches are long, fewer of them do, but this many at least."""


@dataclass(frozen=True)
class Fold:
    """Positions of the rows that are learnt from, and of those that are judged."""

    learn: Ints
    judge: Ints


def stretches(times: npt.NDArray[Any], count: int, share: float, horizon: float | timedelta) -> list[Stretch]:
    """Stretches of rows in time order, `horizon` long: of a share see `spaced`, of a time see `lasting`."""
    if isinstance(horizon, timedelta):
        return lasting(times, count, horizon)
    return spaced(len(times), count, share, horizon)


def spaced(rows: int, count: int, share: float, length: float) -> list[Stretch]:
    """Stretches of rows in time order: `count` of the latest `share`, evenly spaced.

    Each is a share `length` of all rows long, at most up to the next one.

    Args:
        rows: how many there are.
        count: of stretches, at most: where these are so long that fewer judge enough rows, fewer are taken.
        share: of the rows, the latest, in which they lie.
        length: of each, as a share of the rows.
    """
    count = min(count, max(_FEWEST, int(np.ceil(_ENOUGH / max(1.0, rows * length)))))
    count = max(1, min(count, int(rows * share)))
    step = rows * share / count
    width = max(1, int(min(rows * length, step)))
    ends = np.round(rows - step * np.arange(count)[::-1]).astype(int)
    return [(int(end) - width, int(end)) for end in ends]


def lasting(times: npt.NDArray[Any], count: int, length: timedelta) -> list[Stretch]:
    """Stretches of rows in time order that last `length` each, back to back up to the newest row.

    A time without rows is no stretch.

    Args:
        times: of the rows, in order: datetimes.
        count: of stretches, at most; as many as leave half of the rows before them. Where not one does, the newest
            half of the rows is the only one.
        length: of each.

    Raises:
        InputError: the times are numbers, of which nobody knows how many make a day.
    """
    if times.dtype.kind not in "MO":
        raise InputError(f"a horizon of {length} wants event times that are datetimes, not {times.dtype}")
    rows = len(times)
    step: Any = np.timedelta64(length) if times.dtype.kind == "M" else length
    begins = [times[-1] - step * back for back in range(1, count + 1)]
    starts = [int(one) for one in np.searchsorted(times, begins, side="right") if one >= rows / 2]
    edges = sorted({*starts, rows} if starts else {rows // 2, rows})
    return list(pairwise(edges))


def forward(
    labels: Floats, judged: list[Stretch], task: Task, instants: Ints | None = None, known: Ints | None = None
) -> list[Fold]:
    """Folds forward in time over rows in time order, each judged by what lies before it and was known when it began.

    Stretches whose past holds one class only are left out.

    Args:
        labels: of all rows.
        judged: the stretches, which do not overlap.
        task: of the labels.
        instants: position of the first row of each row's instant, so that no instant is cut in two; None: all differ.
        known: position from which on each row's label was known; None: from the next row on.
    """
    rows = len(labels)
    whole = np.append(np.arange(rows) if instants is None else instants, rows)
    found = []
    for start, end in ((whole[start], whole[end]) for start, end in judged):
        learn = np.arange(start) if known is None else np.flatnonzero(known[:start] <= start)
        found.append(Fold(learn, np.arange(start, end)))
    least = 2 if task == "binary" else 1
    return [one for one in found if len(one.judge) and len(np.unique(labels[one.learn])) >= least]


def shuffled(labels: Floats, count: int, seed: int, task: Task) -> list[Fold]:
    """Folds of rows that know no time: drawn by the seed, with like shares of outcomes (or of their ranks) in each."""
    rng = np.random.default_rng(seed)
    # Rows in the order of their outcomes, ties by chance, dealt out like cards: every fold gets its share of each.
    order = np.lexsort((rng.random(len(labels)), labels))
    deal = np.concatenate([rng.permutation(count) for _ in range(len(labels) // count + 1)])[: len(labels)]
    of_row = np.empty(len(labels), dtype=np.intp)
    of_row[order] = deal
    least = 2 if task == "binary" else 1
    found = [Fold(np.flatnonzero(of_row != one), np.flatnonzero(of_row == one)) for one in range(count)]
    return [one for one in found if len(one.judge) and len(np.unique(labels[one.learn])) >= least]


def recency(rows: int, half_life: float) -> Floats:
    """Weights of rows in time order: 1 for the newest, half as much `half_life` rows earlier."""
    return np.asarray(0.5 ** (np.arange(rows - 1, -1, -1) / half_life), dtype=np.float64)


def shortest(labels: Floats, inputs: int, task: Task) -> float:
    """The shortest half-life that leaves an additive model ten of the rarer outcome for each input.

    Peduzzi et al. (1996). With fewer it runs off where an input goes beyond what the last rows showed. 0 for values.
    """
    if task == "regression":
        return 0.0
    rarer = min(labels.mean(), 1 - labels.mean())
    return float(10 * inputs / rarer * np.log(2))
