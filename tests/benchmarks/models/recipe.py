"""The usual recipe: four classifiers, averaged by their cross-validated scores, "sure" where they agree.

Written plainly, as tutorials have it: one-hot texts, standardised numbers, every classifier as its library sets it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]


class Recipe:
    """The mean of XGBoost, LightGBM, a network and gradient boosting, weighted by cross-validated AUC."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: Floats) -> "Recipe":
        """Learn the four, and their weights."""
        from sklearn.model_selection import cross_val_score

        self.members_ = self._members(X)
        scores = [cross_val_score(member, X, y, cv=3, scoring="roc_auc").mean() for member in self.members_]
        self.weights_ = np.array(scores) / sum(scores)
        for member in self.members_:
            member.fit(X, y)
        return self

    def _members(self, X: pd.DataFrame) -> list[Any]:
        from lightgbm import LGBMClassifier
        from sklearn.compose import make_column_transformer
        from sklearn.ensemble import GradientBoostingClassifier
        from sklearn.impute import SimpleImputer
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler
        from xgboost import XGBClassifier

        texts = [name for name in X if not pd.api.types.is_numeric_dtype(X[name])]
        numbers = [name for name in X if name not in texts]
        classifiers = [
            XGBClassifier(n_jobs=1, random_state=self.seed),
            LGBMClassifier(n_jobs=1, random_state=self.seed, verbose=-1),
            MLPClassifier((64, 32), early_stopping=True, random_state=self.seed),
            GradientBoostingClassifier(random_state=self.seed),
        ]
        return [
            make_pipeline(
                make_column_transformer(
                    (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
                    (OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32), texts),
                ).set_output(transform="default"),
                classifier,
            )
            for classifier in classifiers
        ]

    def predict_proba(self, X: pd.DataFrame) -> Floats:
        """Probabilities (rows, 2) of 0 and of 1."""
        p = self.weights_ @ self._each(X)
        return np.column_stack([1 - p, p])

    def confidence(self, X: pd.DataFrame) -> Floats:
        """The standard deviation of the members' probabilities, (rows,): what is sold as certainty."""
        return self._each(X).std(axis=0)

    def _each(self, X: pd.DataFrame) -> Floats:
        return np.array([member.predict_proba(X)[:, 1] for member in self.members_])
