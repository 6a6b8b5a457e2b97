"""Those who are compared: each learns from some rows and gives probabilities for others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tests.benchmarks.models.bank import Rows
from tests.benchmarks.models.recipe import Recipe

Floats = npt.NDArray[np.float64]
Contender = Callable[[Rows, pd.DataFrame, int], Floats]
"""Training rows, columns of the rows to score, seed; returns the probability of 1 of each."""

# Chosen by cross-validation on rows that are in no test split (see `bank.free`), before any was opened.
WELL_SET = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.035,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "min_data_in_leaf": 50,
    "lambda_l2": 5.0,
    "cat_smooth": 20.0,
    "num_threads": 1,
    "verbosity": -1,
}
_FOLDS, _MOST_ROUNDS, _PATIENCE = 5, 800, 30


def ours(train: Rows, test: pd.DataFrame, seed: int, **params: Any) -> Floats:
    """`LeadScorer`, as it comes where no `params` are given; folds go forward in time where the rows have times."""
    from models import LeadScorer

    scorer = LeadScorer(seed=seed, threads=1, **params)
    return scorer.fit(train.X, train.y, event_time=train.time).predict_proba(test)[:, 1]


def lightgbm(train: Rows, test: pd.DataFrame, seed: int) -> Floats:
    """One well-set LightGBM; how many trees, cross-validation on the training rows says."""
    import lightgbm as lgb

    texts = [name for name in train.X if not pd.api.types.is_numeric_dtype(train.X[name])]
    types = {name: pd.CategoricalDtype(sorted(train.X[name].dropna().unique())) for name in texts}
    data = lgb.Dataset(train.X.astype(types), train.y, free_raw_data=False)
    params = {**WELL_SET, "seed": seed}
    stop = [lgb.early_stopping(_PATIENCE, verbose=False)]
    curve = lgb.cv(params, data, _MOST_ROUNDS, nfold=_FOLDS, seed=seed, callbacks=stop)
    booster = lgb.train(params, data, len(curve["valid binary_logloss-mean"]))
    return np.asarray(booster.predict(test.astype(types), num_threads=1))


def recipe(train: Rows, test: pd.DataFrame, seed: int) -> Floats:
    """The usual recipe."""
    return Recipe(seed).fit(train.X, train.y).predict_proba(test)[:, 1]


def logistic(train: Rows, test: pd.DataFrame, seed: int) -> Floats:
    """Logistic regression on standardised numbers and one-hot texts."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    texts = [name for name in train.X if not pd.api.types.is_numeric_dtype(train.X[name])]
    prepared = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), texts), remainder=StandardScaler(), sparse_threshold=0
    )
    model = make_pipeline(prepared, LogisticRegression(max_iter=2000, random_state=seed))
    return model.fit(train.X, train.y).predict_proba(test)[:, 1]
