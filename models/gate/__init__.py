"""The statistical part of the gate: what a challenger shows on rows that no model learnt from.

Pure functions of labels and predictions. Each returns checks; `passed` says what they come to. Where a check applies
and can't be made (too few rows, a prediction that is no number), it has failed, and says why; none raises.
"""

from models.gate.calibration import calibration, coverage, held_by_chance
from models.gate.check import Check, Figure, Status, passed
from models.gate.gains import against, first, not_worse
from models.gate.segments import segments

__all__ = [
    "Check",
    "Figure",
    "Status",
    "against",
    "calibration",
    "coverage",
    "first",
    "held_by_chance",
    "not_worse",
    "passed",
    "segments",
]
