"""How what was said turned out: a table of expected against observed, once the outcomes are known.

Of each target the settled events of one `WINDOW`, beside the newest score that their entity had then: all together, by
tier, by the version of the model and by the segments that contracts declare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual

from models.turnout import Measure, means, turnout
from pipelines.core.interval import utc_now
from pipelines.deliver.suppression import newest
from pipelines.deliver.table import ENDS, VERSION
from pipelines.deliver.table import OUTCOMES as TABLE
from pipelines.deliver.table import TABLE as SCORES
from pipelines.promotion.outcomes import Outcomes, outcomes
from pipelines.promotion.segments import declared

if TYPE_CHECKING:
    from expectations.contract import Contract
    from feature_repo.definitions import Definitions
    from pipelines.core.interval import Interval
    from pipelines.core.report import Report
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake

WINDOW = timedelta(days=28)
"""Of events: what settled in the last four weeks, each weekday as often as the others."""

MOST = 30
"""Values of a segment that get a row of their own, the most frequent first."""

SCHEMA = pa.schema(
    [
        ("date", pa.date32()),
        ("target", pa.string()),
        ("since", pa.timestamp("us")),
        ("until", pa.timestamp("us")),
        ("by", pa.string()),
        ("value", pa.string()),
        ("measure", pa.string()),
        ("rows", pa.int64()),
        ("number", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("_loaded_at", pa.timestamp("us")),
    ]
)
"""A row for each measure: `expected`, `observed`, `gap` of every group, the others of all rows and of each version."""


@dataclass(frozen=True)
class Settled:
    """Outcomes of a target that are settled.

    Attributes:
        since: events from this instant on.
        until: and before this one.
        rows: as `Outcomes`, with `tier`, `version`, and ends of ranges where there are.
        segments: by name, a text for each row.
    """

    since: datetime
    until: datetime
    rows: Outcomes
    segments: Mapping[str, pa.Array]


def turned_out(
    tenant: Tenant,
    interval: Interval,
    lake: Lake,
    contracts: Mapping[str, Contract],
    definitions: Definitions,
    targets: Iterable[str],
    report: Report,
) -> None:
    """Write `watch.outcomes` of the interval's date, in the place of what stands there, and tell each target's gap.

    A target without a settled outcome gets no row and a note.
    """
    for target in targets:
        found = settled(tenant, interval, lake, contracts, definitions, target)
        if not len(found.rows):
            report.notes.append(f"'{target}': no outcome of a score is settled yet")
            continue
        rows = list(measured(tenant, interval, target, found))
        where = And(EqualTo(term="date", value=interval.label), EqualTo(term="target", value=target))
        lake.write(TABLE, SCHEMA, [pa.Table.from_pylist(rows, SCHEMA)], replace=where)
        report.notes.append(_sentence(target, found, rows))


def settled(
    tenant: Tenant,
    interval: Interval,
    lake: Lake,
    contracts: Mapping[str, Contract],
    definitions: Definitions,
    target: str,
) -> Settled:
    """The settled outcomes of a target."""
    grace = tenant.params.train.targets[target].horizon_days + tenant.params.promotion.watch.grace_days
    until = interval.as_of - timedelta(days=grace)
    since = until - WINDOW
    parts = []
    for version in versions(tenant, lake, target, since - timedelta(days=tenant.params.promotion.watch.outcome_days)):
        more = {"tier": "tier"}
        if not tenant.params.train.targets[target].rank:
            value = "probability" if target == tenant.target()[0] else target
            more |= {f"{value}{end}": end.removeprefix("_") for end in ENDS}
        found = outcomes(tenant, lake, contracts, definitions, target, version, interval, more=more)
        rows = found.between(since, until).rows
        parts.append(rows.append_column("version", pa.repeat(version, rows.num_rows)))
    rows = _last(pa.concat_tables(parts, promote_options="default")) if parts else pa.table({})
    if not rows.num_rows:
        return Settled(since, until, Outcomes(rows), {})
    return Settled(since, until, Outcomes(rows), _segments(tenant, lake, interval, target, rows))


def versions(tenant: Tenant, lake: Lake, target: str, since: datetime) -> list[str]:
    """Versions that gave scores of a target from an instant on, sorted."""
    table = lake.table(SCORES)
    first = tenant.target()[0]
    column = "model_version" if target == first else f"{target}{VERSION}"
    if table is None or column not in table.schema().as_arrow().names:
        return []
    where = And(EqualTo(term="target", value=first), GreaterThanOrEqual("as_of", since.isoformat()))
    found: set[str] = set()
    for batch in lake.scan(SCORES, columns=[column], where=where):
        found |= {one for one in pc.unique(batch.column(0)).to_pylist() if one is not None}
    return sorted(found, key=lambda one: (len(one), one))


def measured(tenant: Tenant, interval: Interval, target: str, found: Settled) -> Iterator[dict[str, Any]]:
    """Rows of the table."""
    task = tenant.params.train.targets[target].task
    rows, now = found.rows, utc_now()
    y, p, groups = rows.labels, rows.predicted, rows.clusters
    ends = None
    if {"low", "high"} <= set(rows.rows.column_names):
        ends = np.column_stack([rows.rows[name].to_numpy() for name in ("low", "high")])

    def told(by: str, value: str | None, mask: Any, whole: bool) -> Iterator[dict[str, Any]]:
        if whole:
            some: dict[str, Measure] = turnout(
                y[mask], p[mask], groups[mask], task, None if ends is None else ends[mask]
            )
        else:
            some = means(y[mask], p[mask], groups[mask], task)
        for name, one in some.items():
            yield {
                "date": date.fromisoformat(interval.label),
                "target": target,
                "since": found.since,
                "until": found.until,
                "by": by,
                "value": value,
                "measure": name,
                "rows": int(mask.sum()),
                "number": one.value,
                "low": _known(one.low),
                "high": _known(one.high),
                "_loaded_at": now,
            }

    yield from told("all", None, np.ones(len(y), dtype=bool), whole=True)
    for by, texts in {"tier": rows.rows["tier"], "version": rows.rows["version"], **found.segments}.items():
        for value in _frequent(texts):
            mask = np.asarray(pc.fill_null(pc.equal(texts, value), False).to_numpy(zero_copy_only=False), dtype=bool)
            yield from told(by, value, mask, whole=by == "version")


def _last(rows: pa.Table) -> pa.Table:
    """Of each labelled event the newest score that there was: another version may have had an older one."""
    import duckdb

    with duckdb.connect() as connection:
        connection.register("rows_", rows)
        return connection.sql(
            "SELECT * FROM rows_ QUALIFY dense_rank() OVER (PARTITION BY entity_id, event_time, known_at, label"
            " ORDER BY scored DESC, version::BIGINT DESC) = 1 ORDER BY known_at, event_time, entity_id, label"
        ).to_arrow_table()


def _segments(tenant: Tenant, lake: Lake, interval: Interval, target: str, rows: pa.Table) -> dict[str, pa.Array]:
    """The segment of each row's entity by name, as the newest event of what is known now says it."""
    from pipelines.lake.asof import AsOf

    asked: dict[str, list[str]] = {}
    by_name: dict[str, Contract] = {}
    for name, contract in declared(tenant, target).items():
        if name in contract.clean_columns:
            asked.setdefault(contract.name, []).append(name)
            by_name[contract.name] = contract
    found: dict[str, pa.Array] = {}
    with AsOf(lake, by_name) as views:
        for table, names in asked.items():
            known = views.query(newest(by_name[table], names), interval.as_of)
            places = pc.index_in(rows["entity_id"].combine_chunks(), value_set=known["entity_id"].combine_chunks())
            found |= {name: pc.cast(known[name].combine_chunks().take(places), pa.string()) for name in names}
    return found


def _frequent(texts: Any) -> list[str]:
    counts = pc.value_counts(texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts).to_pylist()
    known = sorted(
        (one for one in counts if one["values"] is not None), key=lambda one: (-one["counts"], one["values"])
    )
    return [str(one["values"]) for one in known[:MOST]]


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _sentence(target: str, found: Settled, rows: list[dict[str, Any]]) -> str:
    """What came of a target's scores, for people."""
    mine = {row["measure"]: row for row in rows if row["by"] == "all"}
    gap, observed, expected = (mine[name] for name in ("gap", "observed", "expected"))
    if gap["low"] is None or gap["low"] <= 0 <= gap["high"]:
        verdict = "as was said"
    else:
        verdict = "more than was said" if gap["number"] > 0 else "less than was said"
    return (
        f"'{target}': of {gap['rows']} settled outcomes from {found.since:%Y-%m-%d} to {found.until:%Y-%m-%d}"
        f" {observed['number']:.4g} came on average, {expected['number']:.4g} had been said: {verdict}"
    )
