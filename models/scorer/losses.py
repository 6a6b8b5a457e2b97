"""What a raw prediction loses on each row, for each task."""

from __future__ import annotations

from typing import cast

import numpy as np

from models.base import Task
from models.inputs import Floats
from models.members.boosted import Loss


def row_losses(raw: Floats, labels: Floats, task: Task, loss: Loss) -> Floats:
    """Loss of each row: log loss of log odds in nats, or the squared or absolute error of a value."""
    if task == "binary":
        return cast(Floats, np.logaddexp(0.0, raw) - labels * raw)
    gaps = np.abs(raw - labels)
    return cast(Floats, gaps if loss == "absolute" else gaps**2)
