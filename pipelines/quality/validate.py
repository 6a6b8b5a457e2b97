"""The step `validate`: raw batches through their contracts into `clean` and `quarantine`, or not at all."""

import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from expectations.contract import load_contracts
from pipelines.core.errors import BatchRejected
from pipelines.core.interval import Interval, midnight, utc_now
from pipelines.core.locks import exclusive
from pipelines.core.report import Report, progress
from pipelines.lake.catalog import Lake
from pipelines.lake.evolve import PROPERTY, told
from pipelines.lake.identities import Identities
from pipelines.lake.pinned import PinnedLake
from pipelines.quality import docs
from pipelines.quality.binding import prepare
from pipelines.quality.contracts import apply_changes, refuse_breaking
from pipelines.quality.first_arrival import with_first_arrivals
from pipelines.quality.mapped import Mapped
from pipelines.quality.quiet import quiet
from pipelines.quality.sources import check_named, collected

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant
    from pipelines.quality.gate import Outcome


def validate(tenant: "Tenant", interval: Interval) -> Report:
    """Judge what was collected for `interval` and publish it: good rows to `clean`, bad ones to `quarantine`.

    Every table is judged before any is published; rows of an earlier run of the same batches are replaced. The Data
    Docs show this run, also when it refuses a batch.

    Returns:
        Rows published, quarantined and found twice; in `details` by table, in `notes` the rules that were broken.

    Raises:
        BatchRejected: a column is missing, unknown or of another type, or too many rows are bad.
        NotReady: a source was not ingested for these days.
        ContractError, SqlError: the contract or the mapping fails, or a contract that changed breaks what there is.
    """
    lake = Lake(tenant)
    with exclusive(tenant, "validate"), workplace(tenant) as folder:
        changed = refuse_breaking(tenant, lake, load_contracts(tenant.contracts_dir))
        raw = PinnedLake(tenant)  # it is read twice, and `ingest` may be at work
        plans = bound(tenant, raw, interval)
        identities = Identities(lake)
        outcomes = judged(tenant, raw, identities, plans, folder, utc_now())
        page = docs.publish(tenant, interval, [one for one in outcomes if one.mapped.has_files])
        refused = [one.rejected for one in outcomes if one.rejected]
        if refused:
            raise BatchRejected(refused[0])
        notes = apply_changes(lake, changed)
        identities.commit()
        for outcome in outcomes:
            # Bad rows first: a run that is killed in between never shows clean rows without their quarantine.
            publish(lake, outcome, ("quarantine", "clean"))
    return _report(tenant, interval, outcomes, page, notes)


@contextmanager
def workplace(tenant: "Tenant") -> Iterator[Path]:
    """A folder for rows that wait for their verdict, gone afterwards."""
    room = tenant.home / "tmp"
    room.mkdir(parents=True, exist_ok=True)
    for left in room.glob("validate-*"):  # of a run that was killed: nobody else holds the lock
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="validate-", dir=room))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def bound(
    tenant: "Tenant",
    lake: Lake,
    interval: Interval,
    tables: Collection[str] | None = None,
    latest: datetime | None = None,
) -> list[Mapped]:
    """The tables' mappings, bound to what was collected.

    Args:
        tenant: whose tables.
        lake: of the tenant.
        interval: whose batches.
        tables: names; None is all.
        latest: the last instant a source without days may speak of; None is the end of the interval or of the
            tenant's run, whichever is later.

    Raises:
        BatchRejected: a column is missing, unknown, or of another type.
        NotReady: a source was not ingested for these days.
        ContractError, SqlError: the contract or the mapping fails.
    """
    from feature_repo.mappings import load_mappings
    from feature_repo.sql import tables_of

    contracts = load_contracts(tenant.contracts_dir)
    mappings = load_mappings(tenant.sql_dir, contracts, tenant.params.sources)
    chosen = [name for name in contracts if tables is None or name in tables]
    read = {source for name in chosen for source in tables_of(mappings[name].sql, tenant.params.sources)}
    needed = [name for name in tenant.params.sources if tables is None or name in read]
    sources = {name: collected(tenant, lake, name, interval) for name in needed}
    latest = latest or max(interval.end, midnight(tenant.params.run.end))
    threads = tenant.settings.threads
    plans = []
    for name in chosen:
        mine = [sources[source] for source in tables_of(mappings[name].sql, tenant.params.sources)]
        expired = frozenset[str]().union(*(source.expired for source in mine))
        left = {source: one.without(expired) for source, one in sources.items()}
        plans.append(prepare(contracts[name], mappings[name], left, latest, threads))
    for source in sources.values():
        check_named(source, mappings.values())
    return plans


def judged(
    tenant: "Tenant", lake: Lake, identities: Identities, plans: list[Mapped], folder: Path, now: datetime
) -> "list[Outcome]":
    """Every table through the gate; nothing is published yet."""
    quiet()  # before Great Expectations is imported
    from pipelines.quality.gate import Gate

    quality = tenant.params.quality
    outcomes: dict[str, Outcome] = {}
    with progress("validate", len(plans)) as advance:
        # Tables with phones come first: then these are known where one strays into a text of another table.
        for plan in sorted(plans, key=lambda one: not any(column.phone for column in one.contract.columns)):
            gate = Gate(plan, lake, identities, folder, now)
            outcome = gate.run(quality.batch_rows, quality.max_quarantine_share)
            outcome.clean = with_first_arrivals(lake, outcome, folder)
            outcomes[outcome.name] = outcome
            advance(1)
    return [outcomes[plan.contract.name] for plan in plans]


def publish(lake: Lake, outcome: "Outcome", order: Sequence[str]) -> None:
    """Replace the batches of a table, in `clean` and `quarantine` in the `order` given."""
    replace = ("_batch_id", list(outcome.mapped.batches))
    stages = {"quarantine": outcome.bad, "clean": outcome.clean}
    for namespace in order:
        stage = stages[namespace]
        name = f"{namespace}.{outcome.name}"
        if stage.rows or lake.exists(name):
            properties = {PROPERTY: told(outcome.contract)} if namespace == "clean" else {}
            lake.write(name, stage.schema, stage.read(), replace=replace, properties=properties)


def _report(tenant: "Tenant", interval: Interval, outcomes: "list[Outcome]", page: Path, notes: list[str]) -> Report:
    report = Report("validate", tenant.name, interval, notes=notes)
    report.counts = {
        "rows": sum(one.clean.rows for one in outcomes),
        "quarantined": sum(one.bad.rows for one in outcomes),
        "duplicates": sum(one.duplicates for one in outcomes),
    }
    for one in outcomes:
        report.details.append(
            {"table": one.name, "rows": one.clean.rows, "quarantined": one.bad.rows, "duplicates": one.duplicates}
        )
        if expired := frozenset[str]().union(*(source.expired for source in one.mapped.sources.values())):
            report.notes.append(f"{one.name}: {len(expired)} batches stay as they are, for their raw rows have expired")
        for (rule, column), rows in one.rules.most_common():
            report.notes.append(f"{one.name}: {rows} rows in quarantine by rule '{rule}' on {column}")
    report.notes.append(f"Data Docs: {page}")
    report.links["Data Docs"] = str(page.relative_to(tenant.home))
    return report
