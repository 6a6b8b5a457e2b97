"""Estimators in scikit-learn's manner: data in, probabilities out; no files, tracking server or feature store.

Every estimator has `fit(X, y, event_time=None, kinds=None)`, `predict_proba(X)` of shape (n, 2), and `state()`: files
in native formats (LightGBM text, XGBoost UBJ, JSON) as bytes by name, read back by `models.load_state`.
"""

import os

# Read by the boosters' OpenMP when it is loaded. Its threads wait for each other by spinning: where other processes
# want the cores too, as under Airflow, a fit then takes 3 to 10 times as long as with sleeping threads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from models.base import Estimator, load_state
from models.scorer.scorer import LeadScorer

__all__ = ["Estimator", "LeadScorer", "load_state"]
