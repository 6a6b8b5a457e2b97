"""Figures with their 95 % intervals, and the ways these are made: bootstraps over rows, corrected t over splits."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from models import compare, metrics

Floats = npt.NDArray[np.float64]

MEASURES: dict[str, Callable[[Any, Any], float]] = {
    "AUC": metrics.auc,
    "log loss": metrics.logloss,
    "ECE": metrics.ece,
}
_COMPARED = {"AUC": "auc", "log loss": "logloss", "ECE": "ece"}
_DRAWS = 500


@dataclass(frozen=True)
class Figure:
    """One line of a table.

    Attributes:
        what: measure, and on which rows.
        model: whose it is; "a - b" for a difference of two on the same rows.
        value: the figure.
        low: lower end of its 95 % interval; None where it was not measured here.
        high: upper end.
        reach: what the figure must be, such as "<= .012"; empty where nothing is asked.
        reached: whether it is; None where nothing is asked.
        note: seeds, rows, how it was measured.
    """

    what: str
    model: str
    value: float
    low: float | None = None
    high: float | None = None
    reach: str = ""
    reached: bool | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of the fields."""
        return asdict(self)


def at_most(figure: Figure, bound: float) -> Figure:
    """The figure with "at most `bound`" as what it must reach."""
    return _judged(figure, f"<= {bound:g}", figure.value <= bound)


def at_least(figure: Figure, bound: float) -> Figure:
    """The figure with "at least `bound`" as what it must reach."""
    return _judged(figure, f">= {bound:g}", figure.value >= bound)


def between(figure: Figure, low: float, high: float) -> Figure:
    """The figure with "`low` to `high`" as what it must reach."""
    return _judged(figure, f"{low:g} to {high:g}", low <= figure.value <= high)


def below_zero(figure: Figure) -> Figure:
    """A difference that must be below zero beyond chance."""
    return _judged(figure, "upper end < 0", figure.high is not None and figure.high < 0)


def above_zero(figure: Figure) -> Figure:
    """A difference that must be above zero beyond chance."""
    return _judged(figure, "lower end > 0", figure.low is not None and figure.low > 0)


def _judged(figure: Figure, reach: str, reached: bool) -> Figure:
    return Figure(**{**figure.to_dict(), "reach": reach, "reached": bool(reached)})


def of_rows(
    y: Floats, p: Floats, model: str, where: str, clusters: npt.ArrayLike | None = None, note: str = ""
) -> dict[str, Figure]:
    """AUC, log loss and ECE of one model on one set of rows, by name, each with a percentile bootstrap over clusters.

    Efron & Tibshirani (1993), chapter 13. `clusters` are drawn whole; None draws row by row.
    """
    drawn = [[measure(y[at], p[at]) for measure in MEASURES.values()] for at in _resamples(len(y), clusters)]
    ends = np.nanquantile(np.array(drawn), [0.025, 0.975], axis=0)
    found = {}
    for i, (name, measure) in enumerate(MEASURES.items()):
        low, high = ends[:, i]
        found[name] = Figure(f"{name}, {where}", model, measure(y, p), float(low), float(high), note=note)
    return found


def difference(
    y: Floats,
    ours: Floats,
    theirs: Floats,
    names: tuple[str, str],
    where: str,
    clusters: npt.ArrayLike | None = None,
    note: str = "",
) -> dict[str, Figure]:
    """Ours minus theirs on the same rows, by measure, with paired bootstrap intervals (see `models.compare`)."""
    found = compare.paired(y, theirs, ours, clusters, draws=_DRAWS)
    gaps = {name: found[key] for name, key in _COMPARED.items()}
    return {
        name: Figure(f"{name}, {where}", " - ".join(names), gap.difference, gap.low, gap.high, note=note)
        for name, gap in gaps.items()
    }


def over_splits(values: Sequence[float], what: str, model: str, test_share: float, note: str = "") -> Figure:
    """The mean over random splits of one set of rows, with an interval that knows that the splits share rows.

    Nadeau & Bengio (2003): the variance of the mean is (1/k + test/train) times that of the k values.
    """
    found = np.asarray(values, dtype=np.float64)
    spread = found.std(ddof=1) * np.sqrt(1 / len(found) + test_share / (1 - test_share))
    reach = spread * stats.t.ppf(0.975, len(found) - 1)
    mean = float(found.mean())
    return Figure(what, model, mean, mean - float(reach), mean + float(reach), note=note)


def mean_of_clusters(
    gaps: Floats, what: str, model: str, clusters: npt.ArrayLike | None = None, note: str = ""
) -> Figure:
    """The mean of one value a row, with a percentile bootstrap over clusters."""
    groups = np.arange(len(gaps)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    sums, counts = np.bincount(groups, gaps), np.bincount(groups)
    picks = _resamples(len(sums), None)
    drawn = [sums[at].sum() / counts[at].sum() for at in picks]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(what, model, float(gaps.mean()), float(low), float(high), note=note)


def _resamples(rows: int, clusters: npt.ArrayLike | None) -> list[npt.NDArray[np.intp]]:
    """Positions of the rows of each resample."""
    rng = np.random.default_rng(0)
    if clusters is None:
        return [rng.integers(0, rows, rows) for _ in range(_DRAWS)]
    _, groups = np.unique(np.asarray(clusters), return_inverse=True)
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(groups))[:-1])
    return [np.concatenate([parts[i] for i in rng.integers(0, len(parts), len(parts))]) for _ in range(_DRAWS)]


def reliability(y: Floats, p: Floats, model: str, where: str) -> list[Figure]:
    """Share of ones in each bin of equal mass, with Wilson's interval; the mean probability stands in the note."""
    figures = []
    for number, (predicted, observed, rows) in enumerate(zip(*metrics.calibration(y, p), strict=True), 1):
        low, high = _wilson(observed, rows)
        note = f"predicted {predicted:.4f}, {int(rows):,} rows"
        figures.append(Figure(f"share of ones, {where}, bin {number}", model, float(observed), low, high, note=note))
    return figures


def _wilson(share: float, rows: float) -> tuple[float, float]:
    """Wilson (1927): an interval of a share that stays within 0 and 1."""
    z = float(stats.norm.ppf(0.975))
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return float(centre - half), float(centre + half)
