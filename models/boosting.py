"""Gradient boosted trees, trained through their own APIs: LightGBM (Ke et al. 2017), XGBoost (Chen & Guestrin 2016)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np

from models.base import SMALL, Estimator, normalised
from models.inputs import Floats, InputError, Inputs


def recent_split(labels: Floats, share: float) -> int | None:
    """Where the latest `share` of rows in time order begins, or None where either side would lack a class."""
    cut = round(len(labels) * (1.0 - share))
    sides = labels[:cut], labels[cut:]
    return cut if all(len(np.unique(side)) == 2 for side in sides) else None


class LightGBM(Estimator):
    """Boosted trees grown leaf by leaf; categories are split natively, gaps go where they lose least.

    With `early_stopping_rounds` the number of trees is found on the latest `validation_share` of the training rows, and
    the trees are then grown again on all of them.
    """

    kind: ClassVar[str] = "lightgbm"

    def __init__(
        self,
        *,
        num_leaves: int = 31,
        learning_rate: float = 0.05,
        num_boost_round: int = 300,
        min_child_samples: int = 50,
        subsample: float = 1.0,
        colsample_bytree: float = 1.0,
        reg_lambda: float = 0.0,
        early_stopping_rounds: int | None = 30,
        validation_share: float = 0.15,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.num_leaves = num_leaves
        self.learning_rate = learning_rate
        self.num_boost_round = num_boost_round
        self.min_child_samples = min_child_samples
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.early_stopping_rounds = early_stopping_rounds
        self.validation_share = validation_share
        self.seed = seed
        self.threads = threads

    def fit_matrix(self, matrix: Floats, labels: Floats) -> None:
        """See `Estimator`."""
        import lightgbm as lgb

        params = self._params()
        data = self._dataset(matrix, labels)
        cut = recent_split(labels, self.validation_share) if self.early_stopping_rounds else None
        rounds = self.num_boost_round
        if cut is not None:
            early, recent = data.subset(range(cut)), data.subset(range(cut, len(labels)))
            stop = lgb.early_stopping(cast(int, self.early_stopping_rounds), verbose=False)
            found = lgb.train(params, early, rounds, valid_sets=[recent], callbacks=[stop])
            rounds = max(1, found.best_iteration)
        self.rounds_ = rounds
        self.booster_ = lgb.train(params, data, rounds)

    def _params(self) -> dict[str, Any]:
        return {
            "objective": "binary",
            "metric": "binary_logloss",
            "verbosity": -1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": self.seed,
            "num_threads": self.threads,
            "num_leaves": self.num_leaves,
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.min_child_samples,
            "bagging_fraction": self.subsample,
            "bagging_freq": int(self.subsample < 1.0),
            "feature_fraction": self.colsample_bytree,
            "lambda_l2": self.reg_lambda,
        }

    def _dataset(self, matrix: Floats, labels: Floats) -> Any:
        import lightgbm as lgb

        names = [f"f{i}" for i in range(matrix.shape[1])]  # LightGBM's text refuses some characters in names
        return lgb.Dataset(
            matrix,
            labels,
            feature_name=names,
            categorical_feature=self.inputs_.categorical,
            params={"verbosity": -1, "num_threads": self.threads},
            free_raw_data=False,
        ).construct()

    def predict_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`."""
        threads = 1 if len(matrix) <= SMALL else self.threads
        if not len(matrix):
            return np.empty(0)
        return cast(Floats, self.booster_.predict(matrix, num_threads=threads))

    def importance(self) -> dict[str, float]:
        """Share of the total gain of splits."""
        gains = self.booster_.feature_importance("gain")
        return normalised(dict(zip(self.inputs_.names, map(float, gains), strict=True)))

    def learnt(self) -> dict[str, bytes]:
        """LightGBM's text format."""
        return {"lightgbm.txt": self.booster_.model_to_string().encode()}

    @classmethod
    def from_learnt(cls, inputs: Inputs, files: Mapping[str, bytes]) -> LightGBM:
        """See `Estimator`."""
        import lightgbm as lgb

        estimator = cls()
        estimator.inputs_ = inputs
        estimator.booster_ = lgb.Booster(model_str=files["lightgbm.txt"].decode())
        estimator.rounds_ = estimator.booster_.num_trees()
        return estimator


class XGBoost(Estimator):
    """Boosted trees grown depth by depth on histograms; stops early as `LightGBM` does."""

    kind: ClassVar[str] = "xgboost"

    def __init__(
        self,
        *,
        max_depth: int = 6,
        learning_rate: float = 0.05,
        num_boost_round: int = 300,
        min_child_weight: float = 5.0,
        subsample: float = 1.0,
        colsample_bytree: float = 1.0,
        reg_lambda: float = 1.0,
        early_stopping_rounds: int | None = 30,
        validation_share: float = 0.15,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.num_boost_round = num_boost_round
        self.min_child_weight = min_child_weight
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.early_stopping_rounds = early_stopping_rounds
        self.validation_share = validation_share
        self.seed = seed
        self.threads = threads

    def fit_matrix(self, matrix: Floats, labels: Floats) -> None:
        """See `Estimator`."""
        import xgboost as xgb

        params = self._params()
        cut = recent_split(labels, self.validation_share) if self.early_stopping_rounds else None
        rounds = self.num_boost_round
        if cut is not None:
            early = self._dataset(matrix[:cut], labels[:cut])
            recent = self._dataset(matrix[cut:], labels[cut:], reference=early)
            found = xgb.train(
                params,
                early,
                rounds,
                evals=[(recent, "recent")],
                verbose_eval=False,
                early_stopping_rounds=self.early_stopping_rounds,
            )
            rounds = found.best_iteration + 1
        self.rounds_ = rounds
        self.booster_ = xgb.train(params, self._dataset(matrix, labels), rounds, verbose_eval=False)
        self._booster_threads = self.threads

    def _params(self) -> dict[str, Any]:
        return {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "tree_method": "hist",
            "verbosity": 0,
            "seed": self.seed,
            "nthread": self.threads,
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "min_child_weight": self.min_child_weight,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "reg_lambda": self.reg_lambda,
        }

    def _dataset(self, matrix: Floats, labels: Floats, reference: Any = None) -> Any:
        import xgboost as xgb

        categorical = set(self.inputs_.categorical)
        types = ["c" if i in categorical else "float" for i in range(matrix.shape[1])]
        return xgb.QuantileDMatrix(
            matrix, labels, feature_types=types, enable_categorical=True, nthread=self.threads, ref=reference
        )

    def predict_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`."""
        if not len(matrix):
            return np.empty(0)
        threads = 1 if len(matrix) <= SMALL else self.threads
        if threads != self._booster_threads:
            self.booster_.set_param({"nthread": threads})
            self._booster_threads = threads
        p = self.booster_.inplace_predict(np.ascontiguousarray(matrix, dtype=np.float32), validate_features=False)
        return cast(Floats, np.asarray(p, dtype=np.float64))

    def importance(self) -> dict[str, float]:
        """Share of the total gain of splits."""
        gains = cast("dict[str, float]", self.booster_.get_score(importance_type="total_gain"))
        return normalised({name: gains.get(f"f{i}", 0.0) for i, name in enumerate(self.inputs_.names)})

    def learnt(self) -> dict[str, bytes]:
        """XGBoost's own UBJSON."""
        return {"xgboost.ubj": bytes(self.booster_.save_raw("ubj"))}

    @classmethod
    def from_learnt(cls, inputs: Inputs, files: Mapping[str, bytes]) -> XGBoost:
        """See `Estimator`."""
        import xgboost as xgb

        estimator = cls()
        estimator.inputs_ = inputs
        try:
            estimator.booster_ = xgb.Booster({"nthread": 1}, model_file=bytearray(files["xgboost.ubj"]))
        except xgb.core.XGBoostError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"the stored xgboost.ubj is unreadable: {json.dumps(reason)}") from None
        estimator._booster_threads = 1
        estimator.rounds_ = estimator.booster_.num_boosted_rounds()
        return estimator
