"""`online_retail.parquet`: what each customer spends in the next 90 days, at three cut-offs; 90 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tests.benchmarks.models import bank
from tests.benchmarks.models.apart import apart
from tests.benchmarks.models.figures import Figure, below_zero, between, mean_of_clusters

if TYPE_CHECKING:
    from tests.benchmarks.models import retail

Floats = npt.NDArray[np.float64]

SEED = 0
COVERAGE = 0.9
_OURS, _QUANTILES = "LeadScorer", "LightGBM's quantiles"
_REGRESSIONS = ("LightGBM, squared loss", "LightGBM, absolute loss")
_WELL_SET: dict[str, Any] = {
    "num_leaves": 15,
    "learning_rate": 0.04,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "min_data_in_leaf": 50,
    "lambda_l2": 5.0,
    "num_threads": 1,
    "verbosity": -1,
    "seed": SEED,
}
_FOLDS, _MOST_ROUNDS, _PATIENCE = 5, 800, 30


def run() -> list[Figure]:
    """Absolute error, coverage and Winkler score of each cut-off and of all rows together; bootstrap over rows."""
    from tests.benchmarks.models import retail

    parts = retail.splits(bank.found("online_retail/online_retail.parquet"))
    every: dict[str, list[Floats]] = {}
    outcomes, figures = [], []
    for part in parts:
        known = _predicted(part)
        outcomes.append(part.y_test)
        figures += list(_figures(part.y_test, known, f"cut-off {part.at}", judged=False))
        for name, values in known.items():
            every.setdefault(name, []).append(values)
    together = {name: np.concatenate(values) for name, values in every.items()}
    return [*figures, *_figures(np.concatenate(outcomes), together, "all cut-offs", judged=True)]


def _predicted(part: retail.Split) -> dict[str, Floats]:
    """Values (rows,) or intervals (rows, 2) by model."""
    value, interval = apart(_ours, part.X, part.y, part.cut_offs, part.X_test).value
    learn = part.X, part.y, part.X_test
    low, high = ((1 + sign * COVERAGE) / 2 for sign in (-1, 1))
    quantiles = [apart(_lightgbm, *learn, {"objective": "quantile", "alpha": level}).value for level in (low, high)]
    return {
        _OURS: value,
        _REGRESSIONS[0]: apart(_lightgbm, *learn, {"objective": "regression"}).value,
        _REGRESSIONS[1]: apart(_lightgbm, *learn, {"objective": "regression_l1"}).value,
        f"{_OURS}, interval": interval,
        f"{_QUANTILES}, interval": np.sort(np.column_stack(quantiles), axis=1),
    }


def _ours(X: pd.DataFrame, y: Floats, times: Any, scored: pd.DataFrame) -> tuple[Floats, Floats]:
    from models import LeadScorer
    from tests.benchmarks.models import retail

    scorer = LeadScorer("regression", **retail.SCORER, seed=SEED, threads=1).fit(X, y, event_time=times)
    return scorer.predict(scored), scorer.predict_interval(scored, COVERAGE)


def _lightgbm(X: pd.DataFrame, y: Floats, scored: pd.DataFrame, objective: dict[str, Any]) -> Floats:
    import lightgbm as lgb

    texts = [name for name in X if not pd.api.types.is_numeric_dtype(X[name])]
    types = {name: pd.CategoricalDtype(sorted(X[name].dropna().unique())) for name in texts}
    data = lgb.Dataset(X.astype(types), y, free_raw_data=False)
    params = {**_WELL_SET, **objective}
    stop = [lgb.early_stopping(_PATIENCE, verbose=False)]
    curves = lgb.cv(params, data, _MOST_ROUNDS, nfold=_FOLDS, seed=SEED, stratified=False, callbacks=stop)
    [curve] = [values for name, values in curves.items() if name.endswith("-mean")]
    return np.maximum(lgb.train(params, data, len(curve)).predict(scored.astype(types), num_threads=1), 0.0)


def winkler(y: Floats, interval: Floats, coverage: float = COVERAGE) -> Floats:
    """Winkler (1972), of each row: the interval's width, and what lies outside of it, dearly."""
    low, high = interval.T
    outside = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
    return (high - low) + 2 / (1 - coverage) * outside


def _figures(y: Floats, known: dict[str, Floats], where: str, *, judged: bool) -> Iterator[Figure]:
    note = f"seed {SEED}, {len(y):,} rows"
    judge: Callable[[Figure], Figure] = below_zero if judged else lambda figure: figure
    errors = {name: np.abs(y - values) for name, values in known.items() if values.ndim == 1}
    for name, error in errors.items():
        yield mean_of_clusters(error, f"mean absolute error, {where}", name, note=note)
    for name in _REGRESSIONS:
        gaps = errors[_OURS] - errors[name]
        yield judge(mean_of_clusters(gaps, f"mean absolute error, {where}", f"{_OURS} - {name}", note=note))
    scores = {}
    for name in (_OURS, _QUANTILES):
        interval = known[f"{name}, interval"]
        scores[name] = winkler(y, interval)
        inside = ((interval[:, 0] <= y) & (y <= interval[:, 1])).astype(np.float64)
        covered = mean_of_clusters(inside, f"coverage of 90 % intervals, {where}", name, note=note)
        yield between(covered, 0.89, 0.92) if judged and name == _OURS else covered
        yield mean_of_clusters(scores[name], f"Winkler score, {where}", name, note=note)
    gaps = scores[_OURS] - scores[_QUANTILES]
    yield judge(mean_of_clusters(gaps, f"Winkler score, {where}", f"{_OURS} - {_QUANTILES}", note=note))
