"""`bank-full.csv`, day by day: learn all calls before a day, score the next 30 days, from September 2008 on."""

from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from models import metrics
from tests.benchmarks.models import bank, contenders
from tests.benchmarks.models.apart import apart
from tests.benchmarks.models.contenders import Contender
from tests.benchmarks.models.figures import Figure, below_zero, difference, mean_of_clusters, of_rows, reliability

Floats = npt.NDArray[np.float64]
Days = npt.NDArray[np.datetime64]

SEED = 0
_DAYS = 30
"""A model serves so long: the task says it, and it is all that the `LeadScorer` is told besides its defaults."""
_FIRST, _STEP = np.datetime64("2008-09-01"), np.timedelta64(_DAYS, "D")
_OURS, _THEIRS = "LeadScorer", "LightGBM"


def run() -> list[Figure]:
    """All scored rows together, bootstrap over days; the mean over the periods; the reliability table."""
    rows = bank.dated()
    assert rows.time is not None
    starts = np.arange(_FIRST, rows.time.max() + 1, _STEP)
    scored = rows.time >= _FIRST
    y, days = rows.y[scored], rows.time[scored]
    p = {
        _OURS: apart(_period_by_period, _ours, rows, starts).value,
        _THEIRS: apart(_period_by_period, contenders.lightgbm, rows, starts).value,
    }
    where, note = f"{len(starts)} periods of 30 days", f"seed {SEED}, {len(y):,} rows, bootstrap over days"
    gaps = difference(y, p[_OURS], p[_THEIRS], (_OURS, _THEIRS), where, days, note)
    return [
        *(figure for model in p for figure in of_rows(y, p[model], model, where, days, note).values()),
        below_zero(gaps["log loss"]),
        gaps["AUC"],
        gaps["ECE"],
        _by_period(y, p, (days - _FIRST) // _STEP),
        *(figure for model in p for figure in reliability(y, p[model], model, where)),
    ]


def _ours(train: bank.Rows, test: pd.DataFrame, seed: int) -> Floats:
    return contenders.ours(train, test, seed, horizon=timedelta(days=_DAYS))


def _period_by_period(contender: Contender, rows: bank.Rows, starts: Days) -> Floats:
    """Probabilities of the rows from the first start on, each by a model that learnt the rows of earlier days."""
    assert rows.time is not None
    parts = []
    for start in starts:
        before, end = np.searchsorted(rows.time, [start, start + _STEP])
        if end > before:
            parts.append(contender(rows.take(slice(0, before)), rows.X.iloc[before:end], SEED))
    return np.concatenate(parts)


def _by_period(y: Floats, p: dict[str, Floats], periods: npt.NDArray[np.int64]) -> Figure:
    """The mean over periods of the difference in log loss, each period counting alike."""
    gaps = metrics.losses(y, p[_OURS]) - metrics.losses(y, p[_THEIRS])
    means = np.array([gaps[periods == period].mean() for period in np.unique(periods)])
    better = int((means < 0).sum())
    note = f"seed {SEED}, better in {better} of {len(means)}, bootstrap over periods"
    return mean_of_clusters(means, "log loss, mean of periods", f"{_OURS} - {_THEIRS}", note=note)
