"""A fresh champion on probation: what it said against what came of it, and the way back where they don't agree."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from models.alarm import Alarm, alarm
from pipelines.core.errors import Busy, LeadwiseError, NotReady, StoreUnreachable, UnsafeModel
from pipelines.promotion.outcomes import Outcomes, outcomes
from pipelines.registry.history import rollback
from pipelines.registry.ledger import Ledger
from pipelines.registry.standing import who
from pipelines.registry.tracking import HOLDOUT, connect, run_table, version_of
from pipelines.train.split import LABEL

if TYPE_CHECKING:
    from expectations.contract import Contract
    from feature_repo.definitions import Definitions
    from models.inputs import Floats
    from pipelines.core.interval import Interval
    from pipelines.core.report import Report
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake
    from pipelines.registry.ledger import Entry

log = logging.getLogger("leadwise")


def probation(
    tenant: Tenant,
    interval: Interval,
    lake: Lake,
    contracts: Mapping[str, Contract],
    definitions: Definitions,
    targets: Iterable[str],
    report: Report,
) -> None:
    """Hold what each fresh champion said against what came of it, and take it back where it falls short.

    On probation is a champion for `promotion.watch.fresh_days` from the instant as of which it was judged. What is
    looked at is every matured outcome since, at each run again: the alarm allows for that. A champion that was put back
    by a rollback is on none: there is nothing to go back to that did better.
    """
    for target in targets:
        entry = Ledger(tenant).current(target)
        if entry is None or entry.action != "promote" or began(entry) > interval.as_of:
            continue
        try:
            found = matured_since(tenant, lake, contracts, definitions, entry, interval)
            if not len(found):
                continue
            state = judged(tenant, entry, found)
        except (StoreUnreachable, Busy):
            raise
        except LeadwiseError as error:  # drift, and the other targets, are looked at all the same
            _alert(
                f"'{target}': version {entry.version} can't be held against what came of its scores: {error}", report
            )
            continue
        report.details.append({"target": target, "probation": f"v{entry.version}", **state.figures})
        if state.raised:
            _take_back(tenant, entry, state, report)
        else:
            report.notes.append(f"'{target}': version {entry.version} keeps its word: {state.said}")


def matured_since(
    tenant: Tenant,
    lake: Lake,
    contracts: Mapping[str, Contract],
    definitions: Definitions,
    entry: Entry,
    interval: Interval,
) -> Outcomes:
    """The matured outcomes of a champion's first `promotion.watch.fresh_days`."""
    every = outcomes(tenant, lake, contracts, definitions, entry.target, entry.version, interval)
    begins = began(entry)
    return every.between(begins, begins + timedelta(days=tenant.params.promotion.watch.fresh_days))


def began(entry: Entry) -> datetime:
    """The instant as of which a champion was judged for the last time: from then on it is on probation."""
    return datetime.fromisoformat(str(entry.evidence.get("judged") or entry.as_of))


def judged(tenant: Tenant, entry: Entry, found: Outcomes) -> Alarm:
    """Whether outcomes differ from what was said by more than chance and tolerance allow."""
    limits = tenant.params.promotion.watch
    task = tenant.params.train.targets[entry.target].task
    return alarm(
        found.labels,
        found.predicted,
        level=limits.level,
        tolerance=limits.tolerance,
        rows=limits.rows,
        blocks=found.blocks,
        clusters=found.clusters,
        task=task,
        reference=None if task == "binary" else _reference(tenant, entry),
    )


def _reference(tenant: Tenant, entry: Entry) -> tuple[Floats, Floats]:
    """Labels and predictions of the holdout that the version was judged on."""
    version = version_of(connect(tenant), tenant.model_name(entry.target), entry.version)
    held = run_table(tenant.settings.tracking_uri, str(version.run_id), HOLDOUT)
    column = f"p_{version.tags.get('kind', '')}"
    if held is None or column not in held.schema.names:
        raise NotReady(
            f"the run {version.run_id} of the champion of '{entry.target}' lost its {HOLDOUT}: train and promote again"
        )
    return np.asarray(held[LABEL].to_numpy(), dtype=np.float64), np.asarray(held[column].to_numpy(), dtype=np.float64)


def _take_back(tenant: Tenant, entry: Entry, state: Alarm, report: Report) -> None:
    """Roll back, and say so where people look."""
    try:
        by = f"monitor ({who()})"
        done = rollback(tenant, entry.target, state.said, by=by, evidence=dict(state.figures), seen=entry.seq)
    except Busy as error:  # somebody was faster: the next run looks at what is in force then
        report.notes.append(str(error))
    except (NotReady, UnsafeModel) as error:
        words = "falls short and stays, since no other can be put back"
        _alert(f"'{entry.target}': version {entry.version} {words}: {state.said} ({error})", report)
    else:
        _alert(f"'{entry.target}': version {entry.version} was taken back: {state.said}", report)
        report.notes += done.notes
        report.links |= done.links


def _alert(said: str, report: Report) -> None:
    report.notes.append(f"ALERT: {said}")
    report.counts["alerts"] = int(report.counts.get("alerts", 0)) + 1
    log.error("ALERT: %s", said)
