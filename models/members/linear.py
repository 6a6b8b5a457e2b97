"""Logistic and ridge regression on standardised and one-hot inputs: fitted by scikit-learn, kept as numbers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np

from models.base import Estimator, Task, check_task, normalised
from models.inputs import Floats, Inputs

_NEWTON_COLUMNS = 1000
_DENSE_CELLS = 25_000_000
"""Up to so many cells (200 MB) the design is solved in full: half of it is zeros, and BLAS is four times as fast."""

_ROWS = 4096
"""Rows whose terms are worked out at once."""


class Linear(Estimator):
    """A linear model of the log odds, or of the value.

    Numbers and booleans are standardised, a gap being the mean and having an indicator of its own; texts are one-hot,
    gaps and unseen ones being a level of their own. An indicator or level that training never saw weighs nothing.
    """

    kind: ClassVar[str] = "linear"

    def __init__(self, task: Task = "binary", *, C: float = 1.0, max_iter: int = 300) -> None:
        self.task = check_task(task)
        self.C = C
        self.max_iter = max_iter

    def fit_matrix(self, matrix: Floats, labels: Floats, weights: Floats | None = None) -> None:
        """See `Estimator`."""
        self.means_, self.scales_ = _moments(matrix)
        categorical = set(self.inputs_.categorical)
        self.tables_: list[Floats] = [
            np.zeros((len(c.categories) if i in categorical else 1) + 1) for i, c in enumerate(self.inputs_.columns)
        ]
        design = self._design(matrix)
        coefficients, self.intercept_ = self._solve(design, labels, weights)
        ends = np.cumsum([len(table) for table in self.tables_])
        self.tables_ = np.split(coefficients, ends[:-1])
        terms = self._terms(matrix)
        self.centres_, self.spread_ = terms.mean(axis=0), terms.std(axis=0)

    def _solve(self, design: Any, labels: Floats, weights: Floats | None) -> tuple[Floats, float]:
        """Coefficients and intercept of the regularised regression."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression, Ridge

        dense = design.shape[0] * design.shape[1] <= _DENSE_CELLS
        if dense:
            design = design.toarray()
        if self.task == "regression":
            solver = "cholesky" if dense else "sparse_cg"
            ridge = Ridge(alpha=1.0 / self.C, solver=solver, tol=1e-8).fit(design, labels, sample_weight=weights)
            return np.asarray(ridge.coef_, dtype=np.float64), float(ridge.intercept_)
        # Newton's method is exact in a few steps, but its Hessian grows with the square of the columns.
        solver = "newton-cholesky" if design.shape[1] <= _NEWTON_COLUMNS else "lbfgs"
        model = LogisticRegression(C=self.C, max_iter=self.max_iter, solver=solver)
        with warnings.catch_warnings():
            # Weights that are short of their optimum still are a model, and the holdout tells its worth.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(design, labels, sample_weight=weights)
        return np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])

    def _design(self, matrix: Floats) -> Any:
        """One block of columns an input, sparse: [value, is missing] or [one a category…, is missing]."""
        from scipy import sparse

        blocks = []
        rows = np.arange(len(matrix))
        categorical = set(self.inputs_.categorical)
        for i, table in enumerate(self.tables_):
            known = ~np.isnan(matrix[:, i])
            if i in categorical:
                values, at = np.ones(len(matrix)), np.where(known, matrix[:, i], len(table) - 1)
            else:
                values = np.where(known, (matrix[:, i] - self.means_[i]) / self.scales_[i], 1.0)
                at = np.where(known, 0, 1)
            blocks.append(sparse.csr_matrix((values, (rows, at.astype(np.intp))), shape=(len(matrix), len(table))))
        return sparse.hstack(blocks, format="csr")

    def _terms(self, matrix: Floats) -> Floats:
        """What each input adds to each row."""
        terms = np.empty_like(matrix)
        slopes = np.array([table[0] for table in self.tables_])
        gaps = np.array([table[-1] for table in self.tables_])
        for start in range(0, len(matrix), _ROWS):  # so that one row is quick, and many need little memory
            part, found = matrix[start : start + _ROWS], terms[start : start + _ROWS]
            found[:] = np.where(np.isnan(part), gaps, (part - self.means_) / self.scales_ * slopes)
            for i in self.inputs_.categorical:
                table, column = self.tables_[i], part[:, i]
                found[:, i] = table[np.where(np.isnan(column), len(table) - 1, column).astype(np.intp)]
        return terms

    def raw_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`."""
        return cast(Floats, self.intercept_ + self._terms(matrix).sum(axis=1))

    def contributions_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`; each term less its mean over the training rows."""
        base = np.full((len(matrix), 1), self.intercept_ + self.centres_.sum())
        return np.hstack([self._terms(matrix) - self.centres_, base])

    def importance(self) -> dict[str, float]:
        """Share of the standard deviations, over the training rows, of what each input adds."""
        return normalised(dict(zip(self.inputs_.names, map(float, self.spread_), strict=True)))

    def learnt(self) -> dict[str, bytes]:
        """The coefficients as JSON; Python writes and reads doubles without loss."""
        learnt = {
            "intercept": self.intercept_,
            "means": self.means_.tolist(),
            "scales": self.scales_.tolist(),
            "tables": [table.tolist() for table in self.tables_],
            "centres": self.centres_.tolist(),
            "spread": self.spread_.tolist(),
        }
        return {"linear.json": json.dumps(learnt).encode()}

    @classmethod
    def from_learnt(cls, inputs: Inputs, task: Task, files: Mapping[str, bytes]) -> Linear:
        """See `Estimator`."""
        learnt = json.loads(files["linear.json"])
        estimator = cls(task)
        estimator.inputs_ = inputs
        estimator.intercept_ = float(learnt["intercept"])
        estimator.means_ = np.array(learnt["means"], dtype=np.float64)
        estimator.scales_ = np.array(learnt["scales"], dtype=np.float64)
        estimator.tables_ = [np.array(table, dtype=np.float64) for table in learnt["tables"]]
        estimator.centres_ = np.array(learnt.get("centres", np.zeros(len(inputs.columns))), dtype=np.float64)
        estimator.spread_ = np.array(learnt["spread"], dtype=np.float64)
        return estimator


def _moments(matrix: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column's known values; 0 and 1 where there are none or all are equal."""
    known = ~np.isnan(matrix)
    counts = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, matrix, 0.0).sum(axis=0) / counts
    scales = np.sqrt((np.where(known, matrix - means, 0.0) ** 2).sum(axis=0) / counts)
    return means, np.where(scales > 1e-12, scales, 1.0)
