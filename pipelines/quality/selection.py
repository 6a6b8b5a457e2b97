"""Which batches a replay looks at."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

import duckdb

from pipelines.collect.notes import FILES, noted
from pipelines.core.errors import ConfigError, NotReady, nearest
from pipelines.core.interval import DAY, Interval, midnight
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant


@dataclass
class Selection:
    """What to judge again.

    Attributes:
        daily: stretches of days, and the tables that are judged over them.
        whole: tables that read a source without days, which are judged at once over all days; None for none.
        notes: what was left out and why.
        end: the instant up to which something was ingested.
    """

    daily: list[tuple[Interval, frozenset[str]]] = field(default_factory=list)
    whole: tuple[Interval, frozenset[str]] | None = None
    notes: list[str] = field(default_factory=list)
    end: datetime = datetime.min

    @property
    def span(self) -> Interval | None:
        """From the first to the last day that is looked at."""
        spans = [span for span, _ in self.daily] + ([self.whole[0]] if self.whole else [])
        return Interval(min(one.start for one in spans), max(one.end for one in spans)) if spans else None


def select(
    tenant: "Tenant", lake: Lake, interval: Interval | None, table: str | None = None, rule: str | None = None
) -> Selection:
    """Find the batches that `replay` was asked for.

    Without `table` and `rule` these are all, also such as were never published. With them they are published ones: a
    day that was refused is published with all its tables or not at all.

    Raises:
        ConfigError: an unknown table.
        NotReady: nothing was ingested yet.
    """
    by_days, without = _tables(tenant)
    if table is not None and table not in by_days | without:
        raise ConfigError(f"tenant '{tenant.name}' has no table '{table}': {nearest(table, by_days | without)}")
    ingested = _ingested(tenant, lake)
    days = sorted(day for day in ingested if interval is None or interval.start <= midnight(day) < interval.end)
    whole = _everything(tenant, lake, ingested)
    found = Selection(end=midnight(max(ingested)) + DAY if ingested else whole.end)
    chosen = {table} if table else by_days | without
    if table is None and rule is None:
        found.daily = [(span, frozenset(by_days)) for span in _stretches(days)] if by_days else []
        found.whole = (whole, frozenset(without)) if without else None
        return found
    held = {name: _batches(lake, name, rule) for name in chosen}
    published = _published(lake, by_days)
    unpublished = [day for day in days if day.isoformat() not in published] if by_days else []
    if unpublished:
        found.notes.append(
            f"{len(unpublished)} days from {unpublished[0]} on were never published, refused or not yet validated:"
            " `leadwise replay` without --table and --rule takes them up"
        )
    wanted = [day for day in days if rule is None or any(day.isoformat() in held[name] for name in chosen)]
    names = frozenset(name for name in chosen & by_days if rule is None or held[name])
    if names:
        found.daily = [(span, names) for span in _stretches(wanted, set(unpublished))]
    names = frozenset(name for name in chosen & without if (rule is None or held[name]) and _known(lake, name))
    found.whole = (whole, names) if names else None
    if rule is not None and not any(held.values()):
        found.notes.append(_no_such(lake, by_days | without, rule))
    return found


def _tables(tenant: "Tenant") -> tuple[set[str], set[str]]:
    """Tables whose sources are all daily, and the others."""
    from expectations.contract import load_contracts
    from feature_repo.mappings import load_mappings
    from feature_repo.sql import tables_of

    sources = tenant.params.sources
    mappings = load_mappings(tenant.sql_dir, load_contracts(tenant.contracts_dir), sources)
    daily = {
        name
        for name, mapping in mappings.items()
        if all(sources[source].daily for source in tables_of(mapping.sql, sources))
    }
    return daily, set(mappings) - daily


def _ingested(tenant: "Tenant", lake: Lake) -> set[date]:
    """Days of which daily sources were read, and whose rows have not expired."""
    if not lake.exists(FILES):
        raise NotReady(f"tenant '{tenant.name}' has no raw tables yet: run `leadwise ingest` first")
    daily = {name for name, source in tenant.params.sources.items() if source.daily}
    found = [note for name in daily for note in noted(lake, name)]
    expired = {note["_batch_id"] for note in found if note["expired"]}
    return {date.fromisoformat(note["_batch_id"]) for note in found if note["_batch_id"] not in expired}


def _everything(tenant: "Tenant", lake: Lake, ingested: Collection[date]) -> Interval:
    """All days: those that were ingested, those on which files arrived, and those of the tenant's run."""
    whole = tenant.whole_run
    days = [midnight(day) for day in ingested]
    table = lake.table(FILES)
    if table is not None and "_interval_end" in table.schema().column_names:
        ends = lake.read(FILES, columns=["_interval_end"])["_interval_end"].drop_null().to_pylist()
        days += [midnight((end - DAY).date()) for end in ends]
    return Interval(min([whole.start, *days]), max([whole.end, *(day + DAY for day in days)]))


def _stretches(wanted: Iterable[date], without: Collection[date] = frozenset()) -> list[Interval]:
    """From the first wanted day to the last, cut where days must be left alone; the days between cost little."""
    picked = {midnight(day) for day in wanted if day not in without}
    if not picked:
        return []
    found: list[Interval] = []
    cut = True
    for day in Interval(min(picked), max(picked) + DAY).days():
        if day in without:
            cut = True
        else:
            found.append(Interval.day(day) if cut else Interval(found.pop().start, midnight(day) + DAY))
            cut = False
    return [span for span in found if any(span.start <= day < span.end for day in picked)]


def _batches(lake: Lake, table: str, rule: str | None) -> set[str]:
    """Batches with rows in quarantine, by `rule` where one is named."""
    name = f"quarantine.{table}"
    return _distinct(lake, name, "_batch_id", f"rule = '{rule.replace(chr(39), chr(39) * 2)}'" if rule else "true")


def _published(lake: Lake, tables: Iterable[str]) -> set[str]:
    """Batches of which any table has rows, clean or bad."""
    names = [f"{namespace}.{table}" for table in tables for namespace in ("clean", "quarantine")]
    return set[str]().union(*(_distinct(lake, name, "_batch_id") for name in names))


def _known(lake: Lake, table: str) -> bool:
    return lake.exists(f"clean.{table}") or lake.exists(f"quarantine.{table}")


def _no_such(lake: Lake, tables: Collection[str], rule: str) -> str:
    rules = set[str]().union(*(_distinct(lake, f"quarantine.{table}", "rule") for table in tables))
    return f"no row in quarantine was refused by rule '{rule}': {nearest(rule, rules)}"


def _distinct(lake: Lake, name: str, column: str, where: str = "true") -> set[str]:
    if not lake.exists(name):
        return set()
    columns = {column, "rule"} if where != "true" else {column}
    with duckdb.connect(config={"threads": lake.tenant.settings.threads}) as connection:
        connection.register("_rows", lake.scan(name, columns=sorted(columns)))
        return {row[0] for row in connection.sql(f'SELECT DISTINCT "{column}" FROM _rows WHERE {where}').fetchall()}
