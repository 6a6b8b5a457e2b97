"""From one day to the next: yesterday's segments stay while they hold, and what is new gets an id of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

from models.inputs import Columns, Floats, Inputs, Kind
from models.segments.clustering import Limits, Segment, Segments, described, name_all, overall, sample
from models.segments.space import Space
from models.segments.stability import Tried, k_means, squared, tried

NEAR = 0.5
"""A segment is the same while its centre moved by less than this share of the distance to the nearest other one."""

_SLACK = 0.1  # yesterday's number of segments may be so much less stable, and less apart, than a new one has to be
_FIT = 0.9  # and has to explain so much of what as many segments of today would
_ENOUGH = 50  # leads a segment; fewer of today say nothing against yesterday's segments
_FAR = 1e9  # a pair that is none


@dataclass(frozen=True, eq=False)
class Followed:
    """Segments of a day.

    Attributes:
        segments: to assign with.
        kept: whether they are those of the day before, untouched.
        new: ids that the day before did not have.
        gone: ids that only the day before had.
        said: one sentence, for a person.
    """

    segments: Segments
    kept: bool
    new: tuple[int, ...]
    gone: tuple[int, ...]
    said: str


def follow(
    previous: Segments, X: Columns, kinds: Mapping[str, Kind] | None = None, limits: Limits | None = None
) -> Followed:
    """Segments of today's leads, the day before known.

    Yesterday's are kept as they are, so that no lead jumps for no reason, while on today's sample

    - their number still is stable, apart and large enough, with a slack of .1 (of half for the smallest share);
    - no larger number is better than asked for by the same slack;
    - they explain at least 90 % of the variance that as many segments learnt today explain;

    and where there are fewer than 50 leads a segment today, which decide nothing.

    Else segments are learnt anew, and those that are the same (see `matched`) keep their id and name.

    Args:
        previous: segments of the day before.
        X: a sample of today's leads, as `Segments.learn` takes it.
        kinds: the kind of each column; what is not named is as the day before, or inferred.
        limits: how many segments, and how sure.

    Raises:
        InputError: as `Segments.learn`.
    """
    limits = limits or Limits()
    before = {column.name: column.kind for column in previous.space.inputs.columns}
    names = list(X.keys())
    inputs = Inputs.learn(X, {name: kind for name, kind in {**before, **(kinds or {})}.items() if name in names})
    if {column.name: column.kind for column in inputs.columns} != before:
        return _renewed(previous, Segments.learn(X, kinds, limits), "columns are not those of the day before")
    encoded = inputs.encode(X)
    if len(encoded) < _ENOUGH * len(previous.segments):
        return _kept(previous, f"{len(encoded):,} leads of today are too few to judge by")
    rows = sample(encoded, limits)
    space = Space.learn(inputs, rows)
    with threadpool_limits(1):
        points = space.coordinates(rows)
        found = list(tried(space, points, limits.most, limits.seed)) if space.parts else []
        k, reason = _number([one for one, _ in found], len(previous.segments), limits)
        if k == len(previous.segments):
            old = previous.space.coordinates(sample(previous.space.inputs.encode(X), limits))
            explained = _explained(old, previous.centres, limits.seed)
            reason = f"they explain {100 * explained:.0f} % of what as many segments of today would"
            if explained >= _FIT:
                return _kept(previous, reason)
        fresh = described(space, points, found, k, limits.seed)
    return _renewed(previous, fresh, reason)


def _kept(previous: Segments, reason: str) -> Followed:
    return Followed(previous, True, (), (), f"segments of the day before are kept: {reason}")


def _number(found: Sequence[Tried], before: int, limits: Limits) -> tuple[int, str]:
    """How many segments today, and why not as many as before."""
    more = [
        one.segments
        for one in found
        if one.segments > before
        and one.passes(min(limits.stable + _SLACK, 1.0), max(limits.valley - _SLACK, 0.0), limits.smallest)
    ]
    if more:
        return max(more), f"{max(more)} segments are clearly apart, and there were {before}"
    loose = limits.stable - _SLACK, limits.valley + _SLACK, limits.smallest / 2
    if before == 1 or any(one.segments == before and one.passes(*loose) for one in found):
        return before, ""
    good = [one.segments for one in found if one.passes(limits.stable, limits.valley, limits.smallest)]
    return max([1, *good]), f"{before} segments do not hold any more"


def _explained(points: Floats, centres: Floats, seed: int) -> float:
    """Variance that these centres explain, as a share of what as many of today's would; 1 for one segment."""
    if len(centres) == 1:
        return 1.0
    whole, old, fresh = (
        float(np.clip(squared(points, one), 0.0, None).min(axis=1).sum())
        for one in (overall(points), centres, k_means(points, len(centres), seed))
    )
    return (whole - old) / (whole - fresh) if whole > fresh else 1.0


def _renewed(previous: Segments, fresh: Segments, reason: str) -> Followed:
    segments = matched(fresh, previous)
    before, now = ({one.id for one in day.segments} for day in (previous, segments))
    new, gone = tuple(sorted(now - before)), tuple(sorted(before - now))
    said = f"segments are learnt anew: {reason}; {len(now & before)} stay, {len(new)} are new, {len(gone)} are gone"
    return Followed(segments, False, new, gone, said)


def matched(fresh: Segments, previous: Segments) -> Segments:
    """Fresh segments, with ids and names of the previous ones that are the same.

    Pairs have the least sum of distances between centres (Hungarian assignment), in the previous space over columns
    that both have. A pair counts where the centre moved by less than `NEAR` times the distance of the previous one to
    the nearest other previous one. One segment that holds all leads is the same as one that holds all, and as no other.
    Others get ids that none ever had.
    """
    pairs = _pairs(fresh, previous)
    last = previous.last_id
    segments: list[Segment] = []
    for i, one in enumerate(fresh.segments):
        if i in pairs:
            old = previous.segments[pairs[i]]
            segments.append(replace(one, id=old.id, name=old.name, made_of=old.made_of))
        else:
            last += 1
            segments.append(replace(one, id=last, name="", made_of=()))
    return replace(fresh, segments=name_all(tuple(segments)), last_id=last)


def _pairs(fresh: Segments, previous: Segments) -> dict[int, int]:
    """Positions of fresh segments, and of the previous ones that they are."""
    if len(fresh.segments) == 1 or len(previous.segments) == 1:
        return {0: 0} if len(fresh.segments) == len(previous.segments) else {}
    old, new = previous.space.shared(previous.centres, fresh.space, fresh.centres)
    if not old.shape[1]:
        return {}
    apart, moved = (np.sqrt(((one[:, None] - old[None]) ** 2).sum(axis=2)) for one in (old, new))
    np.fill_diagonal(apart, np.inf)
    costs = np.where(moved < NEAR * apart.min(axis=1), moved, _FAR)
    return {int(i): int(j) for i, j in zip(*linear_sum_assignment(costs), strict=True) if costs[i, j] < _FAR}
