"""A fresh champion on probation: what it said against what came of it, and the way back where they don't agree."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from models.alarm import Alarm, alarm
from pipelines.core.errors import NotReady
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

    On probation is who was promoted on what was known at most `promotion.watch.fresh_days` before its scores. What is
    looked at is every matured outcome since, at each run again: the alarm allows for that. A champion that was put back
    by a rollback is on none: there is nothing to go back to that did better.
    """
    for target in targets:
        entry = Ledger(tenant).current(target)
        if entry is None or entry.action != "promote" or entry.as_of > interval.as_of.isoformat():
            continue
        found = matured_since(tenant, lake, contracts, definitions, entry, interval)
        if not len(found):
            continue
        state = judged(tenant, entry, found)
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
    ends = datetime.fromisoformat(entry.as_of) + timedelta(days=tenant.params.promotion.watch.fresh_days)
    return every.until(ends)


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
        done = rollback(tenant, entry.target, state.said, by=f"monitor ({who()})", evidence=dict(state.figures))
    except NotReady as error:
        said = (
            f"ALERT: '{entry.target}': version {entry.version} falls short and stays, for want of another: {state.said}"
        )
        report.notes += [said, str(error)]
    else:
        said = f"ALERT: '{entry.target}': version {entry.version} was taken back: {state.said}"
        report.notes += [said, *done.notes]
        report.links |= done.links
    report.counts["alerts"] = int(report.counts.get("alerts", 0)) + 1
    log.error("%s", said)
