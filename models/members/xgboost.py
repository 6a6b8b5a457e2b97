"""XGBoost (Chen & Guestrin 2016), trained through its own API and kept in its own UBJSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np

from models.base import SMALL, Task
from models.inputs import Floats, InputError, Inputs
from models.members.boosted import Boosted, as_curve


class XGBoost(Boosted):
    """Boosted trees grown depth by depth on histograms; parameters are XGBoost's of that or a like name."""

    kind: ClassVar[str] = "xgboost"

    def __init__(
        self,
        task: Task = "binary",
        *,
        max_depth: int = 6,
        min_child_weight: float = 5.0,
        reg_lambda: float = 1.0,
        **common: Any,
    ) -> None:
        super().__init__(task, reg_lambda=reg_lambda, **common)
        self.max_depth = max_depth
        self.min_child_weight = min_child_weight

    def train(
        self,
        matrix: Floats,
        labels: Floats,
        weights: Floats | None,
        rounds: int,
        watched: tuple[Floats, Floats] | None,
    ) -> tuple[Any, Floats]:
        """See `Boosted`."""
        import xgboost as xgb

        self._booster_threads = self.threads
        data = self._dataset(matrix, labels, weights)
        if watched is None:
            return xgb.train(self._params(), data, rounds, verbose_eval=False), np.empty(0)
        found: dict[str, Any] = {}
        booster = xgb.train(
            self._params(),
            data,
            rounds,
            evals=[(self._dataset(*watched, None, reference=data), "seen")],
            evals_result=found,
            verbose_eval=False,
            early_stopping_rounds=self.early_stopping_rounds or None,
        )
        [curve] = found["seen"].values()
        return booster, as_curve(curve)

    def _params(self) -> dict[str, Any]:
        binary = self.task == "binary"
        squared = self.loss == "squared"
        return {
            "objective": "binary:logistic" if binary else "reg:squarederror" if squared else "reg:absoluteerror",
            "eval_metric": "logloss" if binary else "rmse" if squared else "mae",
            "tree_method": "hist",
            "verbosity": 0,
            "seed": self.seed,
            "nthread": self.threads,
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "min_child_weight": self.min_child_weight,
            "subsample": self.subsample,
            "colsample_bynode": self.colsample_bytree,
            "reg_lambda": self.reg_lambda,
        }

    def _types(self) -> list[str]:
        categorical = set(self.inputs_.categorical)
        return ["c" if i in categorical else "float" for i in range(len(self.inputs_.columns))]

    def _dataset(self, matrix: Floats, labels: Floats, weights: Floats | None, reference: Any = None) -> Any:
        import xgboost as xgb

        return xgb.QuantileDMatrix(
            matrix,
            labels,
            weight=weights,
            feature_types=self._types(),
            enable_categorical=True,
            nthread=self.threads,
            ref=reference,
        )

    def _use_threads(self, rows: int) -> None:
        threads = 1 if rows <= SMALL else self.threads
        if threads != self._booster_threads:
            self.booster_.set_param({"nthread": threads})
            self._booster_threads = threads

    def raw_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`."""
        if not len(matrix):
            return np.empty(0)
        self._use_threads(len(matrix))
        raw = self.booster_.inplace_predict(
            np.ascontiguousarray(matrix, dtype=np.float32),
            predict_type="margin",
            validate_features=False,
            iteration_range=(0, self.rounds_),
        )
        return cast(Floats, np.asarray(raw, dtype=np.float64))

    def contributions_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`; path attribution (Saabas 2014): an approximation that is fast and adds up."""
        import xgboost as xgb

        if not len(matrix):
            return np.empty((0, matrix.shape[1] + 1))
        self._use_threads(len(matrix))
        data = xgb.DMatrix(matrix, feature_types=self._types(), enable_categorical=True, nthread=self.threads)
        found = self.booster_.predict(
            data,
            pred_contribs=True,
            approx_contribs=True,
            validate_features=False,
            iteration_range=(0, self.rounds_),
        )
        return cast(Floats, np.asarray(found, dtype=np.float64))

    def gains(self) -> dict[str, float]:
        """See `Boosted`."""
        gains = cast("dict[str, float]", self.booster_.get_score(importance_type="total_gain"))
        return {name: gains.get(f"f{i}", 0.0) for i, name in enumerate(self.inputs_.names)}

    def learnt(self) -> dict[str, bytes]:
        """XGBoost's own UBJSON."""
        kept = self.booster_[: self.rounds_] if self.rounds_ < self.booster_.num_boosted_rounds() else self.booster_
        return {"xgboost.ubj": bytes(kept.save_raw("ubj"))}

    @classmethod
    def from_learnt(cls, inputs: Inputs, task: Task, files: Mapping[str, bytes]) -> XGBoost:
        """See `Estimator`."""
        import xgboost as xgb

        estimator = cls(task)
        estimator.inputs_ = inputs
        try:
            estimator.booster_ = xgb.Booster({"nthread": 1}, model_file=bytearray(files["xgboost.ubj"]))
        except xgb.core.XGBoostError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"the stored xgboost.ubj is unreadable: {json.dumps(reason)}") from None
        estimator._booster_threads = 1
        estimator.rounds_ = estimator.booster_.num_boosted_rounds()
        return estimator
