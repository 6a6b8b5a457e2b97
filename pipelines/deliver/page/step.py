"""Writing the page of a date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyiceberg.expressions import And, EqualTo, In, LessThanOrEqual

from pipelines.deliver.files import replacing
from pipelines.deliver.page.figures import Figures, Kept, figures
from pipelines.deliver.page.page import Page
from pipelines.deliver.table import OUTCOMES

if TYPE_CHECKING:
    from pathlib import Path

    from expectations.contract import Contract
    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake

PAGE = "report.html"

_KEPT = ("all", "tier")


def write_page(
    tenant: Tenant, interval: Interval, lake: Lake, contracts: Mapping[str, Contract], entity: str
) -> tuple[Path, Figures]:
    """Write `report.html` beside the audience of the interval's date; returns its path, and the numbers in it.

    Args:
        tenant: whose audience; its files and their manifest are there.
        interval: its label is the date.
        lake: of the tenant.
        contracts: by table name; their segments are shown.
        entity: name of what is scored.

    Raises:
        ConfigError: the folder can't be written.
    """
    segments = [
        column.name
        for contract in contracts.values()
        if contract.entity == entity
        for column in contract.columns
        if column.segment
    ]
    folder = tenant.audience_dir / interval.label
    found = figures(folder, entity, list(dict.fromkeys(segments)), kept_of(tenant, interval, lake))
    with replacing(folder / PAGE) as (draft,):
        draft.write_text(Page(found, tenant.params.audience.language).html(), encoding="utf-8")
    return folder / PAGE, found


def kept_of(tenant: Tenant, interval: Interval, lake: Lake) -> dict[str, list[Kept]]:
    """What came of what was said, by the newest monitoring at or before the date; empty where nothing is settled."""
    if not lake.exists(OUTCOMES):
        return {}
    target = EqualTo(term="target", value=tenant.target()[0])
    where = And(And(target, In("by", _KEPT)), LessThanOrEqual("date", interval.label))
    rows = lake.read(OUTCOMES, where=where).to_pylist()
    newest = max((row["date"] for row in rows), default=None)
    told: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for row in rows:
        if row["date"] == newest:
            told.setdefault((row["by"], row["value"] or ""), {})[row["measure"]] = row
    found: dict[str, list[Kept]] = {}
    for (by, name), measures in sorted(told.items()):
        said, came = measures["expected"], measures["observed"]
        if came["low"] is not None:
            one = Kept(name, int(came["rows"]), said["number"], came["number"], came["low"], came["high"])
            found.setdefault(by, []).append(one)
    return found
