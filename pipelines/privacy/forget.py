"""The step `forget`: a lead leaves everything, and no byte of its phone is left."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.collect import notes
from pipelines.core.errors import ConfigError
from pipelines.core.interval import utc_now
from pipelines.core.report import Report, progress
from pipelines.lake import identities
from pipelines.lake.catalog import Lake
from pipelines.lake.expiry import expire_snapshots, settle, strike, sweep, tables
from pipelines.lake.forgotten import Forgotten
from pipelines.privacy.expire import clear_scratch, housekeeping, personal
from pipelines.privacy.files import from_audiences, from_docs
from pipelines.privacy.traces import Traces
from pipelines.registry.kept import kept_snapshots
from serving.collect import bring

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from pipelines.core.tenant import Tenant
    from pipelines.lake.expiry import Gone

_NOW = timedelta(0)


def forget(tenant: Tenant, leads: Sequence[str], dry_run: bool = False) -> Report:
    """Delete leads for good: identity and salt, raw and quarantined rows, and all rows that bear their ids.

    Rows leave every version of the tables that is kept for a run, so that a training made again misses them and nothing
    else; older versions and all files that none knows are deleted, with the smallest and largest values Iceberg keeps.
    A digest keyed with a secret of the tenant keeps the phone out when an old source is read again. Killed at any
    instant and run again, it goes on: the identity goes last.

    Args:
        tenant: whose leads.
        leads: their ids.
        dry_run: count, and change nothing.

    Returns:
        In `details` rows by table; in `notes` what is not ours to delete.

    Raises:
        ConfigError: an id that was never given, or a use case without phones.
        Busy: a step is at work, and does not end within a minute.
    """
    lake = Lake(tenant)
    report = Report("forget", tenant.name)
    with housekeeping(tenant):
        forgotten = Forgotten(lake)
        phones = _phones(tenant, lake, leads, forgotten)
        if not dry_run:
            bring(tenant, lake)  # what was served and is no row yet
        traces = Traces(phones.values())
        rules = _rules(tenant, lake, leads, traces)
        kept = kept_snapshots(tenant)
        if dry_run:
            report.details = [
                {"table": name, "rows": rows} for name in rules if (rows := _count(lake, rules[name], name))
            ]
            report.counts = {"leads": len(phones), "rows": sum(row["rows"] for row in report.details)}
            report.notes = ["a dry run: nothing was changed"]
            return report
        forgotten.add(leads, phones.values(), _newest(tenant, lake))
        with progress("forget", len(rules) + 2) as advance:
            for name, (gone, columns) in rules.items():
                if rows := strike(lake, name, gone, columns, kept.get(name, ())):
                    report.details.append({"table": name, "rows": rows})
                advance(1)
            _note_emptied(lake)
            _from_stores(tenant, lake, leads, traces, report)
            advance(1)
            strike(lake, identities.TABLE, partial(_is_one_of, leads), ["lead_id"])
            for name in personal(lake):
                settle(lake, name)
            for name in tables(lake):
                expire_snapshots(lake, name, kept.get(name, ()), _NOW)
            sweep(lake, _NOW)
            advance(1)
    report.counts = {"leads": len(phones), "rows": sum(int(row["rows"]) for row in report.details)}
    report.notes += _told(tenant, leads, phones)
    return report


def _phones(tenant: Tenant, lake: Lake, leads: Collection[str], forgotten: Forgotten) -> dict[str, str]:
    """Phone by lead; without those whose identity is gone already.

    Raises:
        ConfigError: an id that was never given.
    """
    known: dict[str, str] = {}
    if lake.exists(identities.TABLE):
        rows = lake.read(identities.TABLE, columns=["lead_id", "phone"])
        rows = rows.filter(_is_one_of(leads, rows))
        known = dict(zip(rows["lead_id"].to_pylist(), rows["phone"].to_pylist(), strict=True))
    for lead in leads:
        if lead not in known and lead not in forgotten.leads:
            raise ConfigError(
                f"tenant '{tenant.name}' has no lead '{lead}': ids stand in audiences and clean tables"
                f" (`leadwise sql --tenant {tenant.name} --tables`)"
            )
    return known


def _rules(
    tenant: Tenant, lake: Lake, leads: Collection[str], traces: Traces
) -> dict[str, tuple[Gone, list[str] | None]]:
    """For each table but identities, which rows go, and the columns that say so.

    Raises:
        ConfigError: the use case gives no ids to phones.
    """
    from expectations.contract import load_contracts

    contracts = load_contracts(tenant.contracts_dir).values()
    entities = {column.entity for one in contracts for column in one.columns if column.pseudonymised}
    if not entities:
        raise ConfigError(f"use case '{tenant.use_case}' keeps no phones: there is nobody to forget")
    found: dict[str, tuple[Gone, list[str] | None]] = {}
    for name in tables(lake):
        table = lake.table(name)
        schema = table.schema().as_arrow() if table else pa.schema([])
        own = [column for column in schema.names if not column.startswith("_")]
        named = [column for column in own if column in entities or column == "entity_id"]
        space = name.partition(".")[0]
        if space in ("raw", "quarantine") and name != notes.FILES:
            found[name] = (traces.rows, own)
        elif space == "clean":
            found[name] = (partial(_either, leads, named, traces), own)
        elif space in ("features", "deliver") and named:
            found[name] = (partial(_is_one_of, leads), named)
    return found


def _is_one_of(leads: Collection[str], rows: pa.Table) -> pa.Array:
    """Rows whose first column is one of the ids."""
    return pc.is_in(rows.column(0).combine_chunks().cast(pa.string()), value_set=pa.array(sorted(leads), pa.string()))


def _either(leads: Collection[str], named: Collection[str], traces: Traces, rows: pa.Table) -> pa.Array:
    """Rows of the ids, and rows of others in which the number stands: published before the gate looked for it."""
    found = traces.rows(rows.drop_columns(list(named)))
    for name in named:
        found = pc.or_(found, pc.fill_null(_is_one_of(leads, rows.select([name])), False))
    return found


def _count(lake: Lake, rule: tuple[Gone, list[str] | None], name: str) -> int:
    gone, columns = rule
    batches = lake.scan(name, columns=columns)
    return sum(pc.sum(pc.cast(gone(pa.Table.from_batches([batch])), pa.int64())).as_py() or 0 for batch in batches)


def _note_emptied(lake: Lake) -> None:
    """Note the batches of which nothing is left: of a growing folder they would be read again, as news."""
    for source in lake.names("raw") if lake.exists(notes.FILES) else ():
        if f"raw.{source}" != notes.FILES:
            notes.expire(lake, source, notes.gone(lake, source, notes.noted(lake, source)))


def _newest(tenant: Tenant, lake: Lake) -> datetime:
    """End of the newest batch that was read."""
    table = lake.table(notes.FILES)
    if table is None:
        return tenant.whole_run.end
    ends = lake.read(notes.FILES, columns=["_interval_end"])["_interval_end"]
    newest: datetime | None = pc.max(ends).as_py()
    return newest or tenant.whole_run.end


def _from_stores(tenant: Tenant, lake: Lake, leads: Sequence[str], traces: Traces, report: Report) -> None:
    """Take the leads out of the online store, audiences and Data Docs, and delete what killed runs left."""
    from expectations.contract import load_contracts
    from pipelines.features.forgotten import take_offline

    contracts = load_contracts(tenant.contracts_dir).values()
    entities = sorted({str(column.entity) for one in contracts for column in one.columns if column.pseudonymised})
    now = max(utc_now(), _newest(tenant, lake) + timedelta(days=1))
    for entity in entities:
        take_offline(tenant, entity, leads, now)
    report.details += [
        {"table": str(path.relative_to(tenant.home)), "rows": rows}
        for path, rows in from_audiences(tenant, entities, leads, traces)
    ]
    from_docs(tenant, traces)
    clear_scratch(tenant)


def _told(tenant: Tenant, leads: Sequence[str], phones: Collection[str]) -> list[str]:
    found = []
    if before := len(set(leads)) - len(phones):
        found.append(f"{before} of {len(set(leads))} had been forgotten already")
    sources = ", ".join(sorted(tenant.params.sources))
    found.append(
        f"the exports that the sources ({sources}) read are yours: delete the number there; what is read of them again"
        " leaves it out, and a batch that arrives later gets a new id"
    )
    if (table := tenant.params.audience.table) is not None:
        found.append(
            f"table '{table.name}' of connection '{table.connection}' is yours too: delete their rows there, or score"
            " its dates again"
        )
    return found
