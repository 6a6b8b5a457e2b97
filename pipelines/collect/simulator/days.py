"""The simulated market as it lives: the days drawn ahead are exported one by one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from pipelines.core.errors import SourceError
from pipelines.core.interval import DAY, Interval, midnight
from pipelines.core.locks import exclusive
from pipelines.core.report import Report

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant

MARK = "_SIMULATED"
"""File beside the export that says which days it holds (`export.py` writes it)."""


@dataclass(frozen=True)
class Calendar:
    """The days of an exported market.

    Attributes:
        start: first day.
        end: the day after the last one that was exported at once.
        horizon: the day after the last one that was drawn.
    """

    start: date
    end: date
    horizon: date


def calendar(tenant: Tenant) -> Calendar | None:
    """The days of the market exported for `tenant`; None where nothing was exported.

    Cheap: DAG files ask for it each time they are parsed.
    """
    try:
        told = json.loads((tenant.source_dir / MARK).read_text(encoding="utf-8"))
        return Calendar(*(date.fromisoformat(told[key]) for key in ("start", "end", "horizon")))
    except (OSError, ValueError, KeyError):
        return None  # nothing there, or an export of before days were kept ahead


def market(tenant: Tenant, interval: Interval) -> Report:
    """Export the days of `interval` that were drawn ahead; days exported before stay as they are.

    Without an export there is nothing to open, and `ingest` says what is missing.

    Returns:
        Rows exported by table.

    Raises:
        SourceError: a day that was not drawn, or the export can't be written.
    """
    held = calendar(tenant)
    report = Report("market", tenant.name, interval)
    ahead = [day for day in interval.days() if held is not None and day >= held.end]
    if held is None or not ahead:
        return report
    if ahead[-1] >= held.horizon:
        raise SourceError(
            f"the simulated market of tenant '{tenant.name}' is drawn up to {held.horizon} (excluded), and {ahead[-1]}"
            " lies beyond: raise simulate.ahead_days in params.yaml and simulate it anew"
        )
    from pipelines.collect.simulator.export import export_day, in_one_sentence

    with in_one_sentence(tenant.source_dir), exclusive(tenant, "simulate", timeout=60.0):
        for day in ahead:
            for name, rows in export_day(tenant.source_dir, midnight(day), midnight(day) + DAY).items():
                report.counts[name] = int(report.counts.get(name, 0)) + rows
    return report
