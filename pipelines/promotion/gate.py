"""The gate: all checks of one challenger on one window, and the verdict they come to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from models import gate as statistics
from models.gate import Check
from models.inputs import InputError
from models.judges import judge_of
from models.ranked import unranked
from pipelines.promotion import checks
from pipelines.promotion.window import looks_at, window_of
from pipelines.registry.frames import columns
from pipelines.registry.ledger import Look
from pipelines.registry.rulings import withdrawn
from pipelines.train.card_figures import coverage_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa

    from models.inputs import Floats
    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant
    from pipelines.promotion.window import Window
    from pipelines.registry.champion import Champion
    from pipelines.registry.ledger import Entry

_INTERVAL_ROWS = 5_000  # of the window, for which intervals are asked
_LEVEL = 0.9


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a challenger.

    Attributes:
        id: the same evidence gives the same.
        target: what is predicted.
        version: the challenger's.
        against: the champion's version; None where there is none that can be compared.
        passed: whether every check that applies was passed.
        reason: one sentence.
        checks: all of them, in order.
        looks: how often the window was looked at, this time included.
        rows: the compared on the window, side by side.
        look: what the ledger remembers of it; None where there was no row to look at.
    """

    id: str
    target: str
    version: str
    against: str | None
    passed: bool
    reason: str
    checks: tuple[Check, ...]
    looks: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    look: Look | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        told = {name: value for name, value in asdict(self).items() if name != "look"}
        plain: dict[str, Any] = json.loads(json.dumps(told, default=str))
        return plain


@dataclass(frozen=True)
class Evidence:
    """What the gate looks at beside the window.

    Attributes:
        interval: of the run: its end is the instant at which it is judged.
        known: the ledger of the target.
        looks: the verdicts that were given before.
        segments: columns that the contracts declare as segments.
        more: further checks, such as what came of a shadow's scores.
        hindrance: why the champion can't be compared, though there is one.
        begun: when the challenger passed for the first time and went into the champion's shadow; freshness is of then.
    """

    interval: Interval
    known: Sequence[Entry]
    looks: Sequence[Look]
    segments: Sequence[str] = ()
    more: Sequence[Check] = ()
    hindrance: str = ""
    begun: datetime | None = None


def judge(
    tenant: Tenant, challenger: Champion, champion: Champion | None, holdout: pa.Table, evidence: Evidence
) -> Verdict:
    """The verdict on a challenger.

    Args:
        tenant: whose.
        challenger: loaded.
        champion: loaded; None where there is none that can be compared on these rows.
        holdout: of the challenger's run.
        evidence: what else is looked at.
    """
    window = window_of(holdout, challenger, champion)
    against = champion.version if champion else None
    looks = looks_at(window, challenger.version, against, evidence.looks)
    found = [
        checks.held_out(window, tenant.params.promotion.gate),
        checks.fresh(tenant, window, challenger.target, evidence.begun or evidence.interval.as_of),
        checks.leaks(tenant, challenger),
        checks.succession(challenger, champion, withdrawn(evidence.known)),
    ]
    found += _measured(tenant, challenger, champion, window, looks, evidence.segments)
    found += evidence.more
    passed = statistics.passed(found)
    name = _id(tenant, challenger, champion, window, found)
    span = window.span
    look = None
    if span is not None:
        look = Look(name, challenger.version, against, *span, window.candidates, passed)
    return Verdict(
        name,
        challenger.target,
        challenger.version,
        against,
        passed,
        _reason(found, passed, champion, evidence.hindrance),
        tuple(found),
        looks,
        _side_by_side(challenger, champion, window),
        look,
    )


def _measured(
    tenant: Tenant,
    challenger: Champion,
    champion: Champion | None,
    window: Window,
    looks: int,
    segments: Sequence[str],
) -> list[Check]:
    """The checks on what both predict of the window."""
    params, task, y = tenant.params.promotion.gate, challenger.task, window.labels
    shared: dict[str, Any] = {"task": task, "params": params, "clusters": window.clusters, "looks": looks}
    try:
        ours = _judged(challenger, window)
        theirs = _judged(champion, window) if champion else None
    except InputError as error:
        return [Check("predictions", "failed", f"the window can't be predicted: {error}", {})]
    linear = window.logged("linear")
    found = [checks.reproduces(challenger, window, ours)]
    guess = challenger.train_base_rate
    if theirs is None:
        is_linear = challenger.tags.get("kind") == "linear"
        found += statistics.first(y, ours, guess, linear, is_linear=is_linear, **shared)
    else:
        found += statistics.against(y, ours, theirs, guess, **shared)
    found += [
        statistics.calibration(y, ours, task=task, params=params),
        _coverage(tenant, challenger, window, ours),
        *statistics.segments(y, ours, theirs, guess, _segments(window, segments), **shared),
        *checks.untold(segments, window),
        checks.speed(challenger, window, params),
    ]
    return found


def _judged(model: Champion, window: Window) -> Floats:
    return model.judged(columns(window.rows, model.features))


def _coverage(tenant: Tenant, model: Champion, window: Window, predicted: Floats) -> Check:
    """How often 90 % intervals of a sample of the window hold what they should, where the estimator knows any."""
    params, task = tenant.params.promotion.gate, model.task
    ask = getattr(unranked(model.estimator), "predict_interval", None)
    count = window.rows.num_rows
    if ask is None or not count:
        return statistics.coverage(None if ask is None else float("nan"), task=task, params=params)
    at = np.unique(np.linspace(0, count - 1, min(count, _INTERVAL_ROWS)).astype(np.intp))
    try:
        ends = np.asarray(ask(columns(window.rows.take(at), model.features), coverage=_LEVEL))
    except InputError:
        return statistics.coverage(float("nan"), task=task, params=params)
    [held] = coverage_of(window.labels[at], predicted[at], {_LEVEL: ends}, task == "binary")
    least = statistics.held_by_chance(predicted[at], ends, params=params) if task == "binary" else None
    return statistics.coverage(held.held.value, task=task, params=params, least=least)


def _segments(window: Window, declared: Sequence[str]) -> dict[str, Any]:
    """The declared columns that a model is given, by name."""
    names = [name for name in declared if name in window.rows.schema.names]
    return {name: np.asarray(window.rows[name].to_pylist(), dtype=object) for name in names}


def _side_by_side(challenger: Champion, champion: Champion | None, window: Window) -> list[dict[str, Any]]:
    """The measures of both and of a constant guess; nothing where they can't be had."""
    y, judged_by = window.labels, judge_of(challenger.task)
    if not len(y):
        return []
    found = []
    try:
        for who, model in (("challenger", challenger), ("champion", champion)):
            if model is not None:
                found.append(
                    _row(who, model.version, model.tags.get("kind", ""), judged_by.evaluate(y, _judged(model, window)))
                )
    except InputError:
        return []
    guess = np.full(len(y), challenger.train_base_rate)
    return [*found, _row(f"{judged_by.guess} only", "", "", judged_by.evaluate(y, guess))]


def _row(who: str, version: str, kind: str, measures: Mapping[str, float]) -> dict[str, Any]:
    rounded = {name: round(value, 4) if np.isfinite(value) else None for name, value in measures.items()}
    return {"who": who, "version": version, "kind": kind, **rounded}


def _reason(found: Sequence[Check], passed: bool, champion: Champion | None, hindrance: str) -> str:
    """One sentence: what it failed, or what it is better by."""
    if not passed:
        return "; ".join(one.said for one in found if one.status == "failed") or "no check could be made"
    told = [one.said for one in found if one.status == "passed" and one.figures.get("decides")]
    head = f"{hindrance}, so it is judged as a first one" if hindrance else "" if champion else "there was no champion"
    return "; ".join(filter(None, [head, *told]))


def _id(tenant: Tenant, challenger: Champion, champion: Champion | None, window: Window, found: Sequence[Check]) -> str:
    """A name for the evidence: models, rows, bounds, and what the checks found but for measured time."""
    about = {
        "tenant": tenant.name,
        "models": [challenger.version, challenger.digest, champion and champion.digest],
        "window": [window.rows.num_rows, str(window.span)],
        "bounds": tenant.params.promotion.gate.model_dump(),
        "checks": [(one.name, one.status) for one in found if one.name != "scoring time"],
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:12]
