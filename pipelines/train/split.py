"""Which labelled rows are learnt from and which are held out, in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.core.errors import NotReady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.core.tenant import Tenant
    from pipelines.core.train_params import Task

EVENT_TIME, LABEL, KNOWN_AT = "event_time", "label", "known_at"


@dataclass(frozen=True)
class Split:
    """Positions in the spine, each in time order.

    Attributes:
        train: rows to learn from: before the holdout, and with a label known when it begins.
        holdout: the latest rows.
        purged: how many rows before the holdout had a label that was known only after it began.
    """

    train: npt.NDArray[np.intp]
    holdout: npt.NDArray[np.intp]
    purged: int


def matured(rows: pa.Table, entity: str, as_of: datetime) -> pa.Table:
    """The rows whose label is known by `as_of`, in a total order: event time, entity, time of knowledge, label."""
    instant = pa.scalar(as_of, pa.timestamp("us"))
    known = pc.and_(pc.less_equal(rows[KNOWN_AT], instant), pc.less_equal(rows[EVENT_TIME], instant))
    known = pc.and_(known, pc.is_valid(rows[LABEL]))
    found = rows.filter(known)
    return found.sort_by([(name, "ascending") for name in (EVENT_TIME, entity, KNOWN_AT, LABEL)])


def ordered(rows: pa.Table, entity: str, features: Sequence[str]) -> pa.Table:
    """Joined rows in an order that no lead id takes part in: event time, the features, then when what was known.

    Ids hang on random salts. Rows that are alike in all else may stand either way: no model can tell them apart. The
    label comes last: where many rows are of one instant, a cut among them must not part the outcomes.
    """
    return rows.sort_by([(name, "ascending") for name in (EVENT_TIME, *features, KNOWN_AT, LABEL, entity)])


def split(spine: pa.Table, holdout_share: float) -> Split:
    """Hold out the last `holdout_share` of a spine in time order, and purge what could not have been learnt by then.

    A label that became known after the first held-out event tells of the time of the holdout: a model trained when the
    holdout began could not have seen it.
    """
    rows = spine.num_rows
    cut = rows - round(rows * holdout_share)
    holdout = np.arange(cut, rows)
    if not len(holdout):
        return Split(np.arange(rows), holdout, 0)
    known_at = spine[KNOWN_AT].to_numpy()
    begins = spine[EVENT_TIME].to_numpy()[cut]
    train = np.flatnonzero(known_at[:cut] <= begins)
    return Split(train, holdout, cut - len(train))


def check(tenant: Tenant, target: str, spine: pa.Table, parts: Split, as_of: datetime) -> None:
    """Raise NotReady where there is too little to learn from or to judge by."""
    whose = f"tenant '{tenant.name}', target '{target}'"
    when = f"as of {as_of:%Y-%m-%d}"
    if not spine.num_rows:
        raise NotReady(
            f"{whose}: no row has a label that is known {when}:"
            " ingest and validate earlier days, or train as of a later date"
        )
    least = tenant.params.train.min_rows
    if spine.num_rows < least:
        raise NotReady(
            f"{whose}: {spine.num_rows} rows have a known label {when}, fewer than the {least} of train.min_rows:"
            " bring more data, or lower it"
        )
    labels = spine[LABEL].to_numpy()
    allowed, what = _allowed(labels, tenant.params.train.targets[target].task)
    if not allowed.all():
        raise NotReady(f"{whose}: a label is {labels[~allowed][0]}, not {what}: mend the label's SQL")
    for name, part in (("training", parts.train), ("holdout", parts.holdout)):
        if len(np.unique(labels[part])) < 2:
            only = f"only the label {labels[part][0]}" if len(part) else "no row at all"
            raise NotReady(
                f"{whose}: the {name} rows hold {only} ({len(part)} rows {when}):"
                " bring more data, or change train.holdout_share"
            )


def _allowed(labels: npt.NDArray[Any], task: Task) -> tuple[npt.NDArray[np.bool_], str]:
    """Which labels are in the range of the task, and the range in words."""
    if task == "binary":
        return np.isin(labels, (0, 1)), "0 or 1"
    return np.isfinite(labels), "a finite number"
