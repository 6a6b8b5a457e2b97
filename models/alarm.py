"""Whether outcomes since a promotion speak against a model beyond chance, however often they are looked at.

The evidence is the wealth of bets against what was said (see `models.betting`): a model that is sound within the
tolerance is ever taken back with probability 1 - level at most, all looks taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from models import metrics
from models.base import Task
from models.betting import Codes, Event, Way, wealth
from models.gate import Figure
from models.inputs import Floats
from models.judges import spearman

LARGEST = 1e12
"""Evidence beyond it is given as this."""

_TAIL, _HIGH, _BINS = 0.9, 0.9, 5  # quantiles of the holdout's errors and labels, and bins of its predictions
_FACTORS = (1.5, 2.0, 3.0)  # of the odds, that alternatives claim
_SLOPES = {0.5: "tell less than before", 0.0: "tell nothing", -0.5: "are turned around", -1.0: "are turned around"}


def _ways(more: str, fewer: str | None = None) -> tuple[Way, ...]:
    """More than was said, and fewer where that is bad."""
    shifts = [float(np.log(factor)) for factor in _FACTORS]
    down = () if fewer is None else tuple(Way(fewer, -shift) for shift in shifts)
    return (*(Way(more, shift) for shift in shifts), *down)


_LARGER = _ways("errors are larger than in the holdout")
_ABOVE = _ways("more lies above what was said than in the holdout", "less lies above what was said than in the holdout")
_HIGHER = _ways("more high values come than was said", "fewer high values come than was said")
_SHIFTED = _ways("more comes than was said", "less comes than was said")
_TURNED = tuple(
    Way(f"predictions {words}", shift, slope)
    for slope, words in _SLOPES.items()
    for shift in (-float(np.log(2)), 0.0, float(np.log(2)))
)


@dataclass(frozen=True)
class Alarm:
    """What outcomes since a promotion say of a model.

    Attributes:
        raised: whether they speak against it.
        evidence: the largest wealth so far, 1 to 1e12; 1 / (1 - level) raises the alarm.
        outcomes: how many there are.
        at: how many there were when it was raised; None where it was not.
        said: one sentence with numbers, for a person.
        figures: every number by name, JSON-ready; None stands for what does not exist.
    """

    raised: bool
    evidence: float
    outcomes: int
    at: int | None
    said: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class _Rows:
    """Outcomes sorted by block and, within one, by what they are: in which order they were given plays no part."""

    y: Floats
    p: Floats
    blocks: Codes
    clusters: Codes


@dataclass(frozen=True)
class _Reading:
    """What is bet on; figures, and a sentence of them, for a person; and the share of the start that is bet."""

    events: tuple[Event, ...]
    figures: Mapping[str, Figure]
    told: str
    share: float


def alarm(
    y: npt.ArrayLike,
    p: npt.ArrayLike,
    *,
    level: float,
    tolerance: float,
    rows: int,
    blocks: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    task: Task = "binary",
    reference: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> Alarm:
    """Judge a model by all outcomes since its promotion; further outcomes never lower the evidence.

    A model of a binary outcome falls short where more or less comes than it said, or its order tells less. One of a
    number falls short of its holdout where errors are larger, where more or less lies above what it predicts, or where
    high values come less where it predicts high ones. Half of 1 - level is then spent on chance in the holdout.

    Outcomes needed at level .95 and tolerance .2 by probabilities that average .1 and have an AUC of .73, one outcome a
    lead: median and 95 % quantile of 2,000 simulations, looks at every 25 from the first on; and of a break after 2,800
    sound ones, looks at every 100. `tests/models/test_alarm.py` repeats 200 of each.

    | what breaks                                | at once    | after 2,800  |
    |--------------------------------------------|------------|--------------|
    | predictions are scrambled among leads      | 300, 750   | 700, 1,300   |
    | half as many come                          | 600, 1,400 | 1,400, 2,400 |
    | twice as many come                         | 250, 500   | 500, 800     |
    | the order is reversed                      | 75, 150    | 200, 300     |

    Not seen: predictions that keep their average and say the same of every lead, since they say nothing untrue.

    Args:
        y: n outcomes, 0/1 or numbers; where `y` or `p` is not finite there is none.
        p: what had been said of them, n probabilities of 1 or numbers.
        level: 1 minus the chance that a sound model is ever taken back, within (0, 1).
        tolerance: share t within [0, 1): odds from 1 - t to 1 / (1 - t) times those that were said are sound.
        rows: fewer outcomes decide nothing.
        blocks: n instants or days at which outcomes became known; those of one are looked at together. None: each
            outcome by itself, in the order given.
        clusters: n names, such as of entities, within which outcomes may depend on each other. None: none do.
        task: "binary" or "regression".
        reference: of a regression, labels and predictions of the holdout that it was judged on.

    Raises:
        ValueError: lengths that differ, a label other than 0 and 1, a probability outside 0 to 1, a level or tolerance
            out of range, or a regression without a holdout.
    """
    if not (0 < level < 1 and 0 <= tolerance < 1):
        raise ValueError(f"level has to lie in (0, 1) and tolerance in [0, 1), not {level} and {tolerance}")
    held = None if task == "binary" else _holdout(reference)
    found = _rows(y, p, blocks, clusters, binary=held is None)
    limits = {"enough": 1 / (1 - level), "level": level, "tolerance": tolerance, "rows": rows}
    figures: dict[str, Figure] = {"outcomes": len(found.y), "left out": np.size(y) - len(found.y), **limits}
    if not len(found.y):
        return Alarm(False, 1.0, 0, None, "no outcome is known yet", {**figures, "evidence": 1.0, "at": None})
    reading = _binary(found) if held is None else _regression(found, *held, level)
    return _judged(found, reading, figures, tolerance=tolerance, rows=rows, enough=limits["enough"])


def _judged(
    found: _Rows, reading: _Reading, figures: Mapping[str, Figure], *, tolerance: float, rows: int, enough: float
) -> Alarm:
    """Bet, and say what came of it."""
    bets = wealth(reading.events, tolerance, found.blocks, found.clusters)
    largest = np.maximum(bets.largest + np.log(reading.share), 0.0)
    known = np.cumsum(np.bincount(found.blocks))
    over = np.flatnonzero((largest >= np.log(enough)) & (known >= rows))
    evidence = min(float(np.exp(min(largest[-1], 100.0))), LARGEST)
    at, count = int(known[over[0]]) if len(over) else None, len(found.y)
    points_to = bets.best().words if len(over) else None
    weighed = f"{reading.told} (evidence {evidence:.3g}, {enough:.3g} is enough)"
    if at is not None:
        said = f"from {at:,} of {count:,} outcomes on they show that {points_to}: {weighed}"
    elif count < rows:
        said = f"{count:,} outcomes are known, fewer than {rows:,} decide nothing: {weighed}"
    else:
        said = f"{count:,} outcomes do not speak against it: {weighed}"
    more = {"evidence": evidence, "at": at, "points to": points_to}
    return Alarm(at is not None, evidence, count, at, said, {**figures, **reading.figures, **more})


def _binary(rows: _Rows) -> _Reading:
    """Probabilities, which are known: no share of the start is set aside."""
    came, said = float(rows.y.mean()), float(rows.p.mean())
    auc, promised = metrics.auc(rows.y, rows.p), _promised(rows.p)
    figures: dict[str, Figure] = {"came": came, "said": said, "auc": _known(auc), "auc said": _known(promised)}
    told = f"{100 * came:.1f} % came true and {100 * said:.1f} % was said, AUC {auc:.2f} and {promised:.2f} was said"
    return _Reading((Event(rows.y, rows.p, rows.p, rows.p, _SHIFTED + _TURNED),), figures, told, 1.0)


def _promised(p: Floats) -> float:
    """AUC of outcomes that come as probabilities say, ties counting half; NaN where only one class can come."""
    _, place = np.unique(p, return_inverse=True)
    ones, zeros = np.bincount(place, p), np.bincount(place, 1 - p)
    pairs = float(ones.sum() * zeros.sum())
    return float((ones * (np.cumsum(zeros) - zeros / 2)).sum()) / pairs if pairs > 0 else float("nan")


def _regression(rows: _Rows, y: Floats, p: Floats, level: float) -> _Reading:
    """Events that came with a known share of the holdout's rows, whose labels are `y` and predictions `p`."""
    large = float(np.quantile(np.abs(y - p), _TAIL, method="inverted_cdf"))
    high = float(np.quantile(y, _HIGH, method="inverted_cdf"))
    edges = np.unique(np.quantile(p, np.arange(1, _BINS) / _BINS, method="inverted_cdf"))
    edges = edges[edges < p.max()]  # no bin is empty
    bins, held_bins = np.searchsorted(edges, rows.p), np.searchsorted(edges, p)
    one, held_one = np.zeros_like(bins), np.zeros_like(held_bins)
    pairs = [  # what came, the holdout's, and the bins of either
        (np.abs(rows.y - rows.p) > large, np.abs(y - p) > large, one, held_one, _LARGER),
        (rows.y > rows.p, y > p, one, held_one, _ABOVE),
        (rows.y > high, y > high, bins, held_bins, _HIGHER + _TURNED),
    ]
    z = NormalDist().inv_cdf(1 - (1 - level) / 4)  # both ends of an interval share half of what level leaves
    events = tuple(_event(*pair, z) for pair in pairs)
    now, before = spearman(rows.y, rows.p), spearman(y, p)
    beyond, above = (100 * float(event.came.mean()) for event in events[:2])
    usual, usually = (100 * float(np.mean(pair[1])) for pair in pairs[:2])
    figures: dict[str, Figure] = {
        "errors beyond": beyond / 100,
        "errors beyond, holdout": usual / 100,
        "above": above / 100,
        "above, holdout": usually / 100,
        "spearman": now,
        "spearman, holdout": before,
    }
    told = (
        f"{beyond:.1f} % of errors are larger than {large:.4g} and {usual:.1f} % were in the holdout, {above:.1f} % of"
        f" outcomes lie above what was said and {usually:.1f} % did, Spearman's correlation {now:.2f} and {before:.2f}"
    )
    return _Reading(events, figures, told, 0.5)


def _event(
    came: npt.NDArray[np.bool_],
    held: npt.NDArray[np.bool_],
    bins: Codes,
    held_bins: Codes,
    ways: tuple[Way, ...],
    z: float,
) -> Event:
    """An event with the share of each bin of the holdout, and its score interval (Wilson 1927)."""
    rows = np.bincount(held_bins)
    ones = np.bincount(held_bins, held)
    centre = (ones + z**2 / 2) / (rows + z**2)
    half = z / (rows + z**2) * np.sqrt(ones * (rows - ones) / rows + z**2 / 4)
    low, high = np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)
    return Event(came.astype(np.float64), (ones / rows)[bins], low[bins], high[bins], ways)


def _rows(
    y: npt.ArrayLike, p: npt.ArrayLike, blocks: npt.ArrayLike | None, clusters: npt.ArrayLike | None, binary: bool
) -> _Rows:
    """Outcomes, checked; those that are not finite are left out."""
    labels, said = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    names = [np.arange(len(labels)) if one is None else np.asarray(one) for one in (blocks, clusters)]
    if any(one.shape != (len(labels),) for one in (labels, said, *names)):
        raise ValueError(
            f"outcomes, predictions, blocks and clusters differ: {[len(labels), len(said), *map(len, names)]}"
        )
    known = np.isfinite(labels) & np.isfinite(said)
    labels, said = labels[known], said[known]
    if binary and not (np.isin(labels, (0.0, 1.0)).all() and ((said >= 0) & (said <= 1)).all()):
        raise ValueError("labels have to be 0 or 1, and what was said of them probabilities")
    block, cluster = (np.unique(one[known], return_inverse=True)[1] for one in names)
    order = np.lexsort((labels, said, cluster, block))
    return _Rows(labels[order], said[order], block[order], cluster[order])


def _holdout(reference: tuple[npt.ArrayLike, npt.ArrayLike] | None) -> tuple[Floats, Floats]:
    """Labels and predictions of the holdout's rows that have both."""
    if reference is None:
        raise ValueError("a regression is judged against its holdout: give its labels and predictions as reference")
    y, p = (np.asarray(one, dtype=np.float64) for one in reference)
    if y.shape != p.shape or not (known := np.isfinite(y) & np.isfinite(p)).any():
        raise ValueError(f"the holdout needs as many labels as predictions, and one at least: {y.shape}, {p.shape}")
    return y[known], p[known]


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
