"""The estimators that stand alone or are members of a `LeadScorer`, by their kind."""

from models.base import Estimator
from models.members.lightgbm import LightGBM
from models.members.linear import Linear
from models.members.network import Network
from models.members.xgboost import XGBoost

MEMBERS: dict[str, type[Estimator]] = {one.kind: one for one in (LightGBM, XGBoost, Linear, Network)}

__all__ = ["MEMBERS", "LightGBM", "Linear", "Network", "XGBoost"]
