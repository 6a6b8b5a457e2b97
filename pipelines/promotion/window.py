"""The rows that a challenger is judged on: its holdout, as far as neither model learnt from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.core.train_params import Kind
from pipelines.registry.tracking import ENTITY, KNOWN_UNTIL, TRAIN_UNTIL
from pipelines.train.split import EVENT_TIME, LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.inputs import Floats
    from pipelines.registry.champion import Champion
    from pipelines.registry.ledger import Look


@dataclass(frozen=True)
class Window:
    """Rows held out, in time order.

    Attributes:
        rows: label, features, event time, and what each candidate predicted when it was trained.
        left_out: rows of the holdout that the champion may have learnt from.
        overlap: rows of the holdout that the challenger itself may have learnt from; there must be none.
    """

    rows: pa.Table
    left_out: int
    overlap: int

    @property
    def labels(self) -> Floats:
        """0.0 or 1.0, or a number, of each row."""
        return np.asarray(self.rows[LABEL].to_numpy(), dtype=np.float64)

    @property
    def times(self) -> npt.NDArray[np.datetime64]:
        """Event time of each row."""
        return np.asarray(self.rows[EVENT_TIME].to_numpy(), dtype="datetime64[us]")

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """Event time of the first and the last row; None where there is no row."""
        times = self.times
        return (times.min().item(), times.max().item()) if len(times) else None

    @property
    def clusters(self) -> npt.NDArray[np.intp] | None:
        """A number for each row's entity; None where the run kept no entities."""
        if ENTITY not in self.rows.schema.names:
            return None
        coded = self.rows[ENTITY].combine_chunks().dictionary_encode()
        return np.asarray(coded.indices.to_numpy(), dtype=np.intp)

    @property
    def candidates(self) -> int:
        """How many models were compared on these rows when the challenger was chosen."""
        names = set(self.rows.schema.names)
        return max(1, sum(f"p_{kind}" in names for kind in get_args(Kind)))

    def logged(self, kind: str) -> Floats | None:
        """What the candidate of this kind predicted when it was trained; None where the run does not say."""
        name = f"p_{kind}"
        return np.asarray(self.rows[name].to_numpy()) if name in self.rows.schema.names else None


def window_of(holdout: pa.Table, challenger: Champion, champion: Champion | None) -> Window:
    """The rows of the challenger's holdout that neither model learnt from.

    A row is left out where it happened no later than the last event that the champion learnt from. What a model learnt
    from, its tags say; a model without them learnt from everything up to its own `as_of`.
    """
    times = np.asarray(holdout[EVENT_TIME].to_numpy(), dtype="datetime64[us]")
    overlap = 0
    if len(times):
        overlap = int((times < _instant(challenger, TRAIN_UNTIL)).sum())
        if KNOWN_UNTIL in challenger.tags and times.min() < _instant(challenger, KNOWN_UNTIL):
            overlap = max(overlap, 1)
    kept = np.ones(len(times), dtype=bool)
    if champion is not None:
        kept = times > _instant(champion, TRAIN_UNTIL)
    return Window(holdout.filter(pa.array(kept)), int((~kept).sum()), overlap)


def looks_at(window: Window, version: str, against: str | None, earlier: Iterable[Look]) -> int:
    """By how many looks the level is shared at this one, so that all of them together keep it.

    The n-th verdict on a window takes the share 1 / (n (n + 1)), and these shares sum to one however many follow; each
    candidate that the challenger was chosen from on these rows looked too. An earlier verdict counts whose window
    shares more than half of the time of this one; the same pair of models judged again is no new look.
    """
    span = window.span
    if span is None:
        return 1
    first, last = span
    length = (last - first).total_seconds()
    pairs = {
        (one.version, one.against)
        for one in earlier
        if (min(one.last, last) - max(one.first, first)).total_seconds() > length / 2
    } - {(version, against)}
    nth = len(pairs) + 1
    return window.candidates * nth * (nth + 1)


def _instant(model: Champion, tag: str) -> np.datetime64:
    return np.datetime64(datetime.fromisoformat(model.tags.get(tag, model.tags["as_of"])), "us")
