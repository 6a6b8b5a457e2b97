"""LightGBM (Ke et al. 2017), trained through its own API and kept in its own text format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np

from models.base import SMALL, Task
from models.inputs import Floats, InputError, Inputs
from models.members.boosted import Boosted, as_curve


class LightGBM(Boosted):
    """Boosted trees grown leaf by leaf; categories are split natively, gaps go where they lose least.

    `cat_smooth` draws categories of few rows together; the rest are LightGBM's parameters of that or a like name.
    """

    kind: ClassVar[str] = "lightgbm"

    def __init__(
        self,
        task: Task = "binary",
        *,
        num_leaves: int = 31,
        min_child_samples: int = 50,
        cat_smooth: float = 10.0,
        **common: Any,
    ) -> None:
        super().__init__(task, **common)
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.cat_smooth = cat_smooth

    def train(
        self,
        matrix: Floats,
        labels: Floats,
        weights: Floats | None,
        rounds: int,
        watched: tuple[Floats, Floats] | None,
    ) -> tuple[Any, Floats]:
        """See `Boosted`."""
        import lightgbm as lgb

        data = self._dataset(matrix, labels, weights)
        if watched is None:
            return lgb.train(self._params(), data, rounds), np.empty(0)
        found: dict[str, Any] = {}
        calls = [lgb.record_evaluation(found)]
        if self.early_stopping_rounds:
            calls.append(lgb.early_stopping(self.early_stopping_rounds, verbose=False))
        seen = self._dataset(*watched, None, data)
        booster = lgb.train(self._params(), data, rounds, valid_sets=[seen], valid_names=["seen"], callbacks=calls)
        [curve] = found["seen"].values()
        return booster, as_curve(curve)

    def _params(self) -> dict[str, Any]:
        binary = self.task == "binary"
        squared = self.loss == "squared"
        return {
            "objective": "binary" if binary else "regression" if squared else "regression_l1",
            "metric": "binary_logloss" if binary else "l2" if squared else "l1",
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
            "cat_smooth": self.cat_smooth,
        }

    def _dataset(self, matrix: Floats, labels: Floats, weights: Floats | None, reference: Any = None) -> Any:
        import lightgbm as lgb

        names = [f"f{i}" for i in range(matrix.shape[1])]  # LightGBM's text refuses some characters in names
        return lgb.Dataset(
            matrix,
            labels,
            weight=weights,
            reference=reference,
            feature_name=names,
            categorical_feature=self.inputs_.categorical,
            # With another leaf size than training asks for, the rows would be binned twice, and a "fatal" line printed.
            params={"verbosity": -1, "num_threads": self.threads, "min_data_in_leaf": self.min_child_samples},
            free_raw_data=False,
        ).construct()

    def raw_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`."""
        return self._predict(matrix, raw_score=True) if len(matrix) else np.empty(0)

    def contributions_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`; TreeSHAP (Lundberg et al. 2020), exact for the trees."""
        return self._predict(matrix, pred_contrib=True) if len(matrix) else np.empty((0, matrix.shape[1] + 1))

    def _predict(self, matrix: Floats, **what: bool) -> Floats:
        threads = 1 if len(matrix) <= SMALL else self.threads
        found = self.booster_.predict(matrix, num_iteration=self.rounds_, num_threads=threads, **what)
        return cast(Floats, np.asarray(found, dtype=np.float64))

    def gains(self) -> dict[str, float]:
        """See `Boosted`."""
        gains = self.booster_.feature_importance("gain", iteration=self.rounds_)
        return dict(zip(self.inputs_.names, map(float, gains), strict=True))

    def learnt(self) -> dict[str, bytes]:
        """LightGBM's text format."""
        return {"lightgbm.txt": self.booster_.model_to_string(num_iteration=self.rounds_).encode()}

    @classmethod
    def from_learnt(cls, inputs: Inputs, task: Task, files: Mapping[str, bytes]) -> LightGBM:
        """See `Estimator`."""
        import lightgbm as lgb

        estimator = cls(task)
        estimator.inputs_ = inputs
        try:
            estimator.booster_ = lgb.Booster(model_str=files["lightgbm.txt"].decode())
        except (lgb.basic.LightGBMError, UnicodeDecodeError):
            raise InputError("the stored lightgbm.txt is unreadable") from None
        estimator.rounds_ = estimator.booster_.num_trees()
        return estimator
