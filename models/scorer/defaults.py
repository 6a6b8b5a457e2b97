"""The members of a `LeadScorer` where nothing else is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "lightgbm": {
        "num_leaves": 15,
        "learning_rate": 0.04,
        "num_boost_round": 600,
        "min_child_samples": 50,
        "subsample": 0.8,
        "colsample_bytree": 0.3,
        "reg_lambda": 5.0,
        "cat_smooth": 20.0,
    },
    "xgboost": {
        "max_depth": 5,
        "learning_rate": 0.06,
        "num_boost_round": 600,
        "min_child_weight": 10.0,
        "subsample": 0.8,
        "colsample_bytree": 0.3,
        "reg_lambda": 5.0,
    },
    "linear": {"C": 0.1},
    "network": {},
}
"""The members and their parameters, found on training folds of real and simulated campaigns."""
