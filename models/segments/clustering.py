"""Segments of leads: centres in a common space, each with an id and a name, and which of them a lead belongs to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from models.inputs import Columns, Floats, InputError, Inputs, Kind
from models.segments.naming import EVERYONE, Trait, named, traits
from models.segments.space import Space
from models.segments.stability import Tried, k_means, nearest, tried

Ids = npt.NDArray[np.int64]

BATCH = 65_536
"""Rows that `assign` encodes at once."""

_BLOCK = 8_192  # rows whose distances are held at once: they stay in the processor's cache
_FORMAT = 1


@dataclass(frozen=True)
class Limits:
    """What a number of segments has to reach, and on how many rows that is looked at.

    Attributes:
        most: segments that there are at most, 1 to 50.
        rows: of more rows a sample of so many is learnt from.
        stable: least mean adjusted Rand index of two halves, within (0, 1].
        valley: largest share of rows midway between two segments, against those around either centre, within (0, 1].
        smallest: least share of rows of a segment, within [0, 0.5).
        seed: of every draw.
    """

    most: int = 8
    rows: int = 20_000
    stable: float = 0.8
    valley: float = 0.7
    smallest: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        wanted = {
            "most": (1 <= self.most <= 50, "1 to 50"),
            "rows": (self.rows >= 100, "100 or more"),
            "stable": (0 < self.stable <= 1, "within (0, 1]"),
            "valley": (0 < self.valley <= 1, "within (0, 1]"),
            "smallest": (0 <= self.smallest < 0.5, "within [0, 0.5)"),
            "seed": (self.seed >= 0, "0 or more"),
        }
        for name, (good, sentence) in wanted.items():
            if not good:
                raise InputError(f"{name} of segments must be {sentence}, not {getattr(self, name)}")


@dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes:
        id: 1 or more; never given to another segment again.
        name: a few words, unique among the segments of a day.
        made_of: the traits that made the name, when it was given: what a page translates.
        traits: what set it apart when its centre was learnt, most first.
        share: of the rows that its centre was learnt from.
    """

    id: int
    name: str
    made_of: tuple[Trait, ...]
    traits: tuple[Trait, ...]
    share: float


@dataclass(frozen=True, eq=False)
class Segments:
    """What was learnt: segments, largest first, and their centres (segments, width) in `space`.

    Attributes:
        space: in which leads are compared.
        centres: mean coordinates of each segment.
        segments: who they are, in the order of the centres.
        tried: how each number of segments did.
        why: one sentence on how many there are.
        last_id: the largest id that was ever given.
    """

    space: Space
    centres: Floats
    segments: tuple[Segment, ...]
    tried: tuple[Tried, ...]
    why: str
    last_id: int

    @classmethod
    def learn(cls, X: Columns, kinds: Mapping[str, Kind] | None = None, limits: Limits | None = None) -> Segments:
        """Segments of the leads in `X`: the same whatever the order of rows and the number of threads.

        Args:
            X: columns; give a sample where there are millions of rows, since all are encoded at once.
            kinds: the kind of each column; what is not named is inferred.
            limits: how many segments, and how sure.

        Raises:
            InputError: no column, no row, or a column that can't be read.
        """
        limits = limits or Limits()
        inputs = Inputs.learn(X, kinds)
        return learnt(inputs, sample(inputs.encode(X), limits), limits)

    @property
    def names(self) -> dict[int, str]:
        """Name of each segment by its id."""
        return {one.id: one.name for one in self.segments}

    def assign(self, X: Columns) -> Ids:
        """Id of each lead's segment: the one with the nearest centre, over what is known of the lead.

        A lead of whom nothing is known goes to the largest one. Memory beyond `X` and the ids is that of one batch.

        Raises:
            InputError: as `Inputs.encode`.
        """
        parts = [self.assign_matrix(self.space.inputs.encode(batch)) for batch in _batches(X, self.space.inputs)]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def assign_matrix(self, matrix: Floats) -> Ids:
        """The same of encoded rows."""
        ids = np.array([one.id for one in self.segments], dtype=np.int64)
        found = np.empty(len(matrix), dtype=np.int64)
        for start in range(0, len(matrix), _BLOCK):
            block = matrix[start : start + _BLOCK]
            found[start : start + _BLOCK] = ids[self.space.distances(block, self.centres).argmin(axis=0)]
        return found

    def to_json(self) -> bytes:
        """All of it as JSON; `from_json` gives equal assignments, bit by bit."""
        state = {
            "format": _FORMAT,
            "space": self.space.to_dict(),
            "centres": self.centres.tolist(),
            "segments": [asdict(one) for one in self.segments],
            "tried": [asdict(one) for one in self.tried],
            "why": self.why,
            "last_id": self.last_id,
        }
        return json.dumps(state, ensure_ascii=False, allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Segments:
        """What `to_json` wrote. Raises InputError for anything else."""
        try:
            state = json.loads(data)
            if state["format"] != _FORMAT:
                raise InputError(f"segments are stored in format {state['format']}, and {_FORMAT} is read: learn anew")
            inputs = Inputs.from_json(json.dumps(state["space"]["inputs"]).encode())
            space = Space.from_dict(state["space"], inputs)
            centres = np.array(state["centres"], dtype=np.float64).reshape(len(state["segments"]), space.width)
            segments = tuple(_segment(one) for one in state["segments"])
            found = tuple(Tried(**one) for one in state["tried"])
            return cls(space, centres, segments, found, str(state["why"]), int(state["last_id"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"these are no stored segments ({type(error).__name__}: {error}): learn anew") from None


def _segment(state: dict[str, Any]) -> Segment:
    made_of, found = (tuple(Trait(**one) for one in state[name]) for name in ("made_of", "traits"))
    return Segment(state["id"], state["name"], made_of, found, state["share"])


def _batches(X: Columns, inputs: Inputs) -> Iterator[Columns]:
    """Slices of `BATCH` rows; one empty batch where there is no row, so that columns are checked."""
    first = inputs.names[0]
    rows = len(X[first]) if first in X.keys() else 0  # noqa: SIM118
    if rows <= BATCH:
        yield X
        return
    wanted = [name for name in inputs.names if name in X.keys()]  # noqa: SIM118
    for start in range(0, rows, BATCH):
        if hasattr(X, "iloc"):
            yield X.iloc[start : start + BATCH]
        else:
            yield {name: X[name][start : start + BATCH] for name in wanted}


def sample(matrix: Floats, limits: Limits) -> Floats:
    """At most `limits.rows` encoded rows, in an order of their values: how they stood plays no part.

    Raises:
        InputError: no row.
    """
    if not len(matrix):
        raise InputError("there is no lead to learn segments from: the sample has no row")
    order = np.argsort(_hashed(matrix), kind="stable")
    if len(order) > limits.rows:
        drawn = np.random.default_rng(limits.seed).choice(len(order), limits.rows, replace=False)
        order = order[np.sort(drawn)]
    return matrix[order]


def _hashed(matrix: Floats) -> npt.NDArray[np.uint64]:
    """A number that is the same for equal rows, and for others all but never."""
    found = np.zeros(len(matrix), dtype=np.uint64)
    for column in matrix.T:
        values = np.where(np.isnan(column), np.nan, column + 0.0)  # one NaN, and no -0.0
        found = (found ^ values.view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        found ^= found >> np.uint64(29)
    return found


def learnt(inputs: Inputs, matrix: Floats, limits: Limits) -> Segments:
    """Segments of a sample."""
    space = Space.learn(inputs, matrix)
    with threadpool_limits(1):  # how many threads share a sum decides its last bits
        points = space.coordinates(matrix)
        found = list(tried(space, points, limits.most, limits.seed)) if space.parts else []
        good = [one for one, _ in found if one.passes(limits.stable, limits.valley, limits.smallest)]
        return described(space, points, found, max([1, *(one.segments for one in good)]), limits.seed)


def overall(points: Floats) -> Floats:
    """The one centre (1, width) of all rows."""
    known = ~np.isnan(points)
    return np.asarray(
        (np.where(known, points, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))[None], dtype=np.float64
    )


def described(space: Space, points: Floats, found: Sequence[tuple[Tried, Floats]], k: int, seed: int) -> Segments:
    """As many segments with ids from 1 on and names, largest first.

    Args:
        space: what the coordinates are of.
        points: coordinates (rows, width).
        found: how each number of segments did, and centres to start from.
        k: how many segments.
        seed: of k-means.
    """
    centres = overall(points) if k == 1 else k_means(points, k, seed, found[k - 2][1])
    looked_at = tuple(one for one, _ in found)
    counts = np.bincount(nearest(points, centres), minlength=len(centres))
    centres = centres[np.argsort(-counts, kind="stable")]
    labels = nearest(points, centres)
    shares = np.bincount(labels, minlength=len(centres)) / len(labels)
    segments = []
    for i in range(len(centres)):
        apart = traits(space, points, labels, i)
        segments.append(Segment(i + 1, "", (), apart, float(shares[i])))
    sentence = why(space, looked_at, k, len(points))
    return Segments(space, centres, name_all(tuple(segments)), looked_at, sentence, len(segments))


def name_all(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """The same, and a name for each that has none."""
    taken = {one.name for one in segments if one.name}
    done = []
    for one in segments:
        if not one.name:
            name, made_of = (EVERYONE, ()) if len(segments) == 1 else named(one.traits, taken, str(one.id))
            taken.add(name)
            one = replace(one, name=name, made_of=made_of)
        done.append(one)
    return tuple(done)


def why(space: Space, found: tuple[Tried, ...], k: int, rows: int) -> str:
    """One sentence on how many segments there are."""
    if k > 1:
        one = found[k - 2]
        return (
            f"{k} segments of {rows:,} leads: two halves agree to {one.stability:.2f}, and midway between two segments"
            f" lie {one.valley:.2f} times the leads around a centre"
        )
    if not space.parts:
        name, reason = next(iter(space.left_out.items()))
        return f"one segment: no column tells leads apart ({name!r}: {reason}; {len(space.left_out)} in all)"
    if not found:
        return f"one segment: {rows:,} leads are too few, or no more than one segment is asked for"
    best = max(found, key=lambda one: one.stability)
    return (
        f"one segment of {rows:,} leads: no split comes back with a valley between its segments (the most stable is of"
        f" {best.segments}, with an agreement of {best.stability:.2f} and a valley of {best.valley:.2f})"
    )
