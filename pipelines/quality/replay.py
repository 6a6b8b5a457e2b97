"""The step `replay`: batches through the gate again, after a rule or a mapping was mended."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

from expectations.contract import load_contracts
from pipelines.core.errors import BatchRejected, NotReady
from pipelines.core.interval import DAY, Interval, midnight, utc_now
from pipelines.core.locks import exclusive
from pipelines.core.report import Report
from pipelines.lake.catalog import Lake
from pipelines.lake.identities import Identities
from pipelines.lake.pinned import PinnedLake
from pipelines.quality.contracts import apply_changes, refuse_breaking
from pipelines.quality.difference import Difference, difference
from pipelines.quality.validate import bound, judged, publish, workplace

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant
    from pipelines.quality.gate import Outcome


@dataclass(frozen=True)
class _Part:
    """Batches that are judged together.

    Attributes:
        interval: whose batches.
        tables: names.
        daily: whether it can be cut into days.
        latest: the last instant a source without days may speak of.
    """

    interval: Interval
    tables: frozenset[str]
    daily: bool
    latest: datetime

    def halves(self) -> "list[_Part]":
        """The part cut in two; itself where it is one day, or has no days."""
        days = list(self.interval.days())
        if not self.daily or len(days) < 2:
            return [self]
        middle = midnight(days[len(days) // 2])
        spans = (Interval(self.interval.start, middle), Interval(middle, self.interval.end))
        return [_Part(span, self.tables, True, max(span.end, self.latest)) for span in spans]


@dataclass
class _Result:
    """What became of the parts.

    Attributes:
        tables: before and after, by table.
        refused: sentences about batches that are refused as a whole, also now.
        notes: what else a person should know.
    """

    tables: dict[str, Difference] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def replay(
    tenant: "Tenant",
    interval: Interval | None = None,
    table: str | None = None,
    rule: str | None = None,
    dry_run: bool = False,
) -> Report:
    """Judge raw batches anew and publish what became of them, as if today's rules had been in force from the start.

    Whole batches are judged, since rules compare rows and a mapping may change any of them. A day that is still refused
    as a whole stays as it is and does not hold up the others. Nothing is written where nothing changed.

    Args:
        tenant: whose quarantine.
        interval: days whose batches are looked at; None is all. Sources without days are one batch each.
        table: one table; None is all.
        rule: only batches with rows that this rule refused; None is all.
        dry_run: judge and report, and change nothing.

    Returns:
        By table and rule, rows before, still refused, released and newly refused; the share in quarantine before and
        now; in `counts`, `features_from` and `features_to` (excluded): the days that `features` has to run over.

    Raises:
        ConfigError: an unknown table.
        NotReady: nothing was ingested yet, or another run is at work.
        ContractError, SqlError: the contract or the mapping fails.
    """
    from pipelines.quality.selection import select

    lake = Lake(tenant)
    with exclusive(tenant, "validate"):
        changed = refuse_breaking(tenant, lake, load_contracts(tenant.contracts_dir))
        if not dry_run:
            apply_changes(lake, changed)
        chosen = select(tenant, lake, interval, table, rule)
        result = _Result(notes=list(chosen.notes))
        for span, tables in chosen.daily:
            for part in _daily(tenant, span, tables):
                _through(tenant, lake, part, result, dry_run)
        if chosen.whole is not None:
            span, tables = chosen.whole
            latest = midnight(tenant.params.run.end)
            _through(tenant, lake, _Part(span, frozenset(tables), False, latest), result, dry_run)
        return _report(tenant, lake, chosen.span, result, dry_run, chosen.end)


def _daily(tenant: "Tenant", span: Interval, tables: Collection[str]) -> Iterator[_Part]:
    """Days in one go, but one by one where rows are dated by the run that judges them."""
    names, end = frozenset(tables), midnight(tenant.params.run.end)
    if span.end <= end or not _dated_by_run(tenant, names):
        yield _Part(span, names, True, max(span.end, end))
        return
    if span.start < end:
        yield _Part(Interval(span.start, end), names, True, end)
    for day in Interval(max(span.start, end), span.end).days():
        one = Interval.day(day)
        yield _Part(one, names, True, one.end)


def _dated_by_run(tenant: "Tenant", tables: Collection[str]) -> bool:
    """Whether a mapping gives rows that are no rows of a source: those arrive when the run that judged them ends."""
    from feature_repo.mappings import load_mappings
    from pipelines.quality.lineage import carry

    mappings = load_mappings(tenant.sql_dir, load_contracts(tenant.contracts_dir), tenant.params.sources)
    return any(carry(mappings[name].sql, set(tenant.params.sources)) is None for name in tables)


def _through(tenant: "Tenant", lake: Lake, part: _Part, result: _Result, dry_run: bool) -> None:
    """Judge a part and publish it; one that is refused is halved until the days that are to blame stand alone."""
    try:
        found = _judge(tenant, lake, part, dry_run)
    except (BatchRejected, NotReady) as error:
        halves = part.halves()
        if len(halves) > 1:
            for half in halves:
                _through(tenant, lake, half, result, dry_run)
            return
        when = f"{part.interval.start.date()}: " if part.daily else ""
        result.refused.append(f"{when}still refused as a whole, nothing was changed: {error}")
        return
    for name, change in found.items():
        result.tables.setdefault(name, Difference()).add(change)


def _judge(tenant: "Tenant", lake: Lake, part: _Part, dry_run: bool) -> dict[str, Difference]:
    """Judge the part's batches, publish those that changed, and return what changed by table.

    Raises:
        BatchRejected: the batches are refused.
        NotReady: a source was not ingested.
    """
    from pipelines.quality import docs

    with workplace(tenant) as folder:
        identities = Identities(lake)
        raw = PinnedLake(tenant)
        plans = bound(tenant, raw, part.interval, part.tables, part.latest)
        outcomes = judged(tenant, raw, identities, plans, folder, utc_now())
        refused = [one.rejected for one in outcomes if one.rejected]
        if refused:
            raise BatchRejected(refused[0])
        changes = {one.name: difference(lake, one) for one in outcomes}
        changed = [one for one in outcomes if changes[one.name].changed]
        if changed and not dry_run:
            docs.publish(tenant, part.interval, [one for one in outcomes if one.mapped.has_files])
            identities.commit()
            _publish(lake, changed)
    return changes


def _publish(lake: Lake, outcomes: "list[Outcome]") -> None:
    """Clean rows first: until the end the quarantine still says which batches a replay has to look at.

    A replay that is killed in between is thus found and finished by the next one.
    """
    for outcome in outcomes:
        publish(lake, outcome, ("clean", "quarantine"))


def _report(
    tenant: "Tenant", lake: Lake, interval: Interval | None, result: _Result, dry_run: bool, end: datetime
) -> Report:
    report = Report("replay", tenant.name, interval)
    for name, change in result.tables.items():
        report.details += _details(name, change)
    rules = [one for change in result.tables.values() for one in change.rules.values()]
    report.counts = {
        "quarantined_before": sum(change.bad_before for change in result.tables.values()),
        "still_refused": sum(one.still for one in rules),
        "released": sum(one.released for one in rules),
        "newly_refused": sum(one.newly for one in rules),
        "quarantined": sum(change.bad_after for change in result.tables.values()),
        "batches_refused": len(result.refused),
    }
    report.notes += result.refused + result.notes
    left_out = sum(one.left_out for one in rules)
    if left_out:
        report.notes.append(f"{left_out} rows left quarantine without being published: repetitions, or left out by SQL")
    if not any(change.changed for change in result.tables.values()):
        report.notes.append("nothing changed: today's rules and mappings lead to the tables that are there")
    elif dry_run:
        report.notes.append("a dry run: nothing was changed")
    _stale(tenant, lake, result, report, end)
    return report


def _details(name: str, change: Difference) -> list[dict[str, object]]:
    """A row per rule, and the table's own with the shares in quarantine."""
    if not change.rules and not change.changed:
        return []
    rows: list[dict[str, object]] = []
    for (rule, column), one in sorted(change.rules.items()):
        rows.append(
            {
                "table": name,
                "rule": rule,
                "column": column,
                "before": one.before,
                "still refused": one.still,
                "released": one.released,
                "newly refused": one.newly,
            }
        )
    before, after = change.shares
    total: dict[str, object] = {"table": name, "rule": "in quarantine", "column": None, "before": change.bad_before}
    total |= {
        "still refused": sum(one.still for one in change.rules.values()),
        "released": sum(one.released for one in change.rules.values()),
        "newly refused": sum(one.newly for one in change.rules.values()),
        "share before": round(before, 6),
        "share now": round(after, 6),
    }
    return [*rows, total]


def _stale(tenant: "Tenant", lake: Lake, result: _Result, report: Report, end: datetime) -> None:
    """Say over which days `features` has to run, so that what changed counts."""
    days = [day for change in result.tables.values() for day in change.days]
    if not days or not lake.names("features"):
        return
    first: date = min(days)
    last = max(_computed(tenant, lake, end), first + DAY)
    report.counts |= {"features_from": first.isoformat(), "features_to": last.isoformat()}
    report.notes.append(
        f"clean rows that arrived from {first} on differ: run `leadwise features --tenant {tenant.name}"
        f" --from {first} --to {last}` (or replay with --features), so that they count"
    )


def _computed(tenant: "Tenant", lake: Lake, end: datetime) -> date:
    """The day up to which features stand: they are as of `end`, or of the end of the run that went further."""
    import pyarrow.compute as pc

    for name in lake.names("features"):
        for batch in lake.scan(f"features.{name}", columns=["as_of"]):
            newest: datetime | None = pc.max(batch["as_of"]).as_py()
            end = max(end, newest or end)
    return min((run.end for run in tenant.runs() if run.end >= end), default=end).date()
