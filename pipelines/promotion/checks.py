"""Checks of the gate that ask more than labels and predictions: what the version is, and what it costs."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from models.gate import Check
from pipelines.registry.frames import columns, frame
from pipelines.registry.leaks import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.inputs import Floats
    from pipelines.core.promotion_params import GateParams
    from pipelines.core.tenant import Tenant
    from pipelines.promotion.window import Window
    from pipelines.registry.champion import Champion
    from pipelines.registry.ledger import Entry

_SAME = 1e-9
"""Difference of a prediction from the one that was logged, as a share of it, that is rounding."""

_TIMED_ROWS, _BATCH = 20, 10_000
_REPEATS = 3


def held_out(window: Window, params: GateParams) -> Check:
    """Whether the rows come after all that both models learnt from, and are enough."""
    rows = window.rows.num_rows
    span = window.span
    figures: dict[str, Any] = {"rows": rows, "left out": window.left_out, "overlap": window.overlap}
    if span is not None:
        figures |= {"from": span[0].isoformat(), "to": span[1].isoformat()}
    if window.overlap:
        said = f"{window.overlap} rows of its holdout are no later than what it learnt from"
        return Check("holdout", "failed", said, figures)
    if rows < params.rows or span is None:
        said = f"neither model learnt from {rows} rows only, and {params.rows} are asked for"
        return Check("holdout", "failed", said, figures)
    said = f"{rows:,} rows that neither model learnt from, {span[0]:%Y-%m-%d} to {span[1]:%Y-%m-%d}"
    return Check("holdout", "passed", said, figures)


def fresh(tenant: Tenant, window: Window, target: str, at: datetime) -> Check:
    """Whether at an instant the newest judged event is about as new as one with a known outcome could be."""
    span = window.span
    if span is None:
        return Check("freshness", "failed", "there is no row to tell how fresh the data are", {})
    horizon = tenant.params.train.targets[target].horizon_days
    most = tenant.params.promotion.gate.fresh_days
    age = (at - span[1]) / timedelta(days=1) - horizon
    figures = {"days": round(age, 3), "most": most, "horizon": horizon}
    said = f"its newest judged event is {max(age, 0.0):.1f} days older than the newest outcome can be"
    return Check("freshness", "passed" if age <= most else "failed", f"{said}, at most {most:g} are allowed", figures)


def leaks(tenant: Tenant, challenger: Champion) -> Check:
    """Whether a feature may know the outcome, and nobody accepted it by name."""
    said = refusal(challenger.tags, tenant.params.train, challenger.target)
    if said is None:
        return Check("leaks", "passed", "no feature is flagged that was not accepted by name", {})
    return Check("leaks", "failed", said, {})


def succession(challenger: Champion, champion: Champion | None, taken_back: Mapping[str, Entry]) -> Check:
    """Whether the version may follow at all: not taken back before, and not older in knowledge than the champion."""
    if (back := taken_back.get(challenger.version)) is not None:
        said = f"it was taken back on {back.at:%Y-%m-%d} ({back.why}): only `leadwise rollback --to` puts it back"
        return Check("succession", "failed", said, {"taken back": back.at.isoformat()})
    figures = {"as_of": challenger.tags["as_of"], "champion as_of": champion.tags["as_of"] if champion else None}
    if champion is not None and challenger.tags["as_of"] < champion.tags["as_of"]:
        then, now = champion.tags["as_of"][:10], challenger.tags["as_of"][:10]
        said = f"it was trained as of {now}, the champion as of {then}"
        return Check("succession", "failed", said, figures)
    said = f"it knows what was known by {challenger.tags['as_of'][:10]}"
    return Check("succession", "passed", said, figures)


def reproduces(challenger: Champion, window: Window, predicted: Floats) -> Check:
    """Whether the files that were loaded back predict what the fitted model did, also through MLflow's own door."""
    logged = window.logged(challenger.tags.get("kind", ""))
    if logged is None or not len(logged):
        return Check("reproduction", "failed", "its run does not say what it predicted when it was trained", {})
    scale = np.maximum(np.abs(logged), 1e-12)
    worst = float(np.max(np.abs(predicted - logged) / scale))
    rows = window.rows.slice(0, 100)
    served = np.asarray(challenger.model.predict(frame(rows, challenger.features)), dtype=np.float64)
    gap = float(np.max(np.abs(served - challenger.predict(rows)) / np.maximum(np.abs(served), 1e-12)))
    figures = {"rows": len(logged), "largest difference": worst, "through MLflow": gap}
    good = worst <= _SAME and gap <= _SAME  # NaN is not
    said = f"loaded back it differs by at most {max(worst, gap):.1e} of what it predicted when it was trained"
    return Check("reproduction", "passed" if good else "failed", said, figures)


def untold(declared: Sequence[str], window: Window) -> list[Check]:
    """A failed check for each declared segment that the rows held out do not tell."""
    gone = [name for name in declared if name not in window.rows.schema.names]
    words = "is declared as a segment by a contract, and neither a feature nor a clean row tells it of these rows"
    return [Check(f"segment {name}", "failed", f"column '{name}' {words}", {}) for name in gone]


def speed(challenger: Champion, window: Window, params: GateParams) -> Check:
    """CPU time of a row scored by itself, and of one of a batch: the best of a few tries, so that load matters less."""
    rows = window.rows
    if not rows.num_rows:
        return Check("scoring time", "failed", "there is no row to time it on", {})
    single = [columns(rows.slice(at, 1), challenger.features) for at in range(min(rows.num_rows, _TIMED_ROWS))]
    some = columns(rows.slice(0, _BATCH), challenger.features)
    row_ms = 1e3 * min(_cpu(lambda one=one: challenger.estimator.expected(one)) for one in single)
    batch_us = 1e6 * min(_cpu(lambda: challenger.estimator.expected(some)) for _ in range(_REPEATS))
    batch_us /= min(rows.num_rows, _BATCH)
    figures = {"row ms": round(row_ms, 3), "batch us a row": round(batch_us, 3)}
    figures |= {"most row ms": params.row_ms, "most batch us": params.batch_us}
    said = f"one row takes {row_ms:.1f} ms of CPU ({params.row_ms:g} at most), one of many {batch_us:.1f} µs"
    said = f"{said} ({params.batch_us:g} at most)"
    good = row_ms <= params.row_ms and batch_us <= params.batch_us
    return Check("scoring time", "passed" if good else "failed", said, figures)


def _cpu(work: Any) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
