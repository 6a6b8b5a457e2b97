"""When to train again: what one window of time shows, what kind of change that is, and what several windows come to.

Pure functions, in this order: `judged` holds the outcomes of a window against what was said of them, `classified` tells
data drift, prior shift and quality breaks apart, `window` puts both together, and `decided` says whether to train.
"""

from models.retraining.changes import Change, ColumnChange, Kind, RateChange, SourceAge, classified, rate_change
from models.retraining.outcomes import Judged, judged
from models.retraining.trigger import Decision, Limits, State, Window, decided, window

__all__ = [
    "Change",
    "ColumnChange",
    "Decision",
    "Judged",
    "Kind",
    "Limits",
    "RateChange",
    "SourceAge",
    "State",
    "Window",
    "classified",
    "decided",
    "judged",
    "rate_change",
    "window",
]
