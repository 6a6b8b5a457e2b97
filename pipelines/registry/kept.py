"""Which versions of tables the runs that matter were trained on."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.registry.runs import runs
from pipelines.registry.standing import in_force

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant
    from pipelines.registry.standing import in_force
from pipelines.registry.runs import Run

_PARAM = "snapshot."


def kept_runs(tenant: Tenant) -> list[Run]:
    """Runs that can be reproduced after `expire`.

    Of each target: those whose version is in force or bears an alias, the newest `retention.keep_runs`, and all that
    were trained as of at most `retention.keep_days` before the newest.
    """
    limits, ruling = tenant.params.retention, {(target, entry.version) for target, entry in in_force(tenant).items()}
    by_target: dict[str, list[Run]] = defaultdict(list)
    for run in runs(tenant):
        by_target[run.target].append(run)
    found = []
    for several in by_target.values():  # the newest first
        dated = [datetime.fromisoformat(run.as_of) for run in several if run.as_of]
        edge = max(dated) - timedelta(days=limits.keep_days) if dated else None
        for place, run in enumerate(several):
            recent = edge is not None and bool(run.as_of) and datetime.fromisoformat(run.as_of) >= edge
            if run.aliases or (run.target, run.version) in ruling or place < limits.keep_runs or recent:
                found.append(run)
    return found


def kept_snapshots(tenant: Tenant) -> dict[str, set[int]]:
    """Ids of the snapshots that those runs were trained on, by table."""
    found: dict[str, set[int]] = defaultdict(set)
    for run in kept_runs(tenant):
        for name, value in run.params.items():
            if name.startswith(_PARAM) and value.isdecimal():
                found[name.removeprefix(_PARAM)].add(int(value))
    return dict(found)
