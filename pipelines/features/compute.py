"""Feature rows as of each instant of the schedule: only those that differ from the entity's last are stored."""

import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.expressions.parser import parse

from feature_repo.definitions import Definitions, View
from feature_repo.queries import together
from pipelines.core.errors import NotReady
from pipelines.core.interval import Interval, midnight, utc_now
from pipelines.core.report import Advance, progress
from pipelines.features.differing import differing
from pipelines.features.history import AS_OF as AS_OF
from pipelines.features.history import COMPUTED, GRID, HASH, Span, grid, joined, older_rows, spans_of
from pipelines.features.history import table_of as table_of
from pipelines.features.queries import refuse_twins, sentences
from pipelines.lake.asof import AsOf
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from expectations.contract import Contract
    from pipelines.core.tenant import Tenant

_DAY = timedelta(days=1)

_NEW = "_new"
"""Whether an entity has no row yet."""


def stored_schema(view: View) -> pa.Schema:
    """What the lake holds of a view: entity, as_of, features, and where the row came from."""
    entity, *features = view.schema
    return pa.schema(
        [entity, (AS_OF, pa.timestamp("us")), *features, (HASH, pa.string()), ("_loaded_at", pa.timestamp("us"))]
    )


@dataclass(frozen=True)
class Written:
    """What became of one view.

    Attributes:
        rows: written.
        differ: rows of instants that had been computed by the same definition before, and are others now: data that
            arrived earlier was loaded or deleted since.
    """

    rows: int
    differ: int = 0


def compute(
    tenant: "Tenant",
    interval: Interval,
    definitions: Definitions,
    contracts: "Mapping[str, Contract]",
    lake: Lake | None = None,
    asof: AsOf | None = None,
    rewrite: bool = False,
) -> dict[str, Written]:
    """Compute every view over the interval, one commit each; what the interval held before is replaced.

    Args:
        tenant: whose lake.
        interval: its instants are the midnights after its start up to its end; the start itself counts too
            while the lake holds nothing earlier.
        definitions: the views.
        contracts: of the clean tables.
        lake: of the tenant.
        asof: from `tables_of`, where it is open already.
        rewrite: all rows of the views are replaced, whatever their instant, and their columns become those of today.

    Returns:
        What was written, by view.

    Raises:
        SqlError: a query fails or gives an entity twice; nothing of any view is written.
        NotReady: stored rows are of another definition, and the interval is not all that was computed; nothing is
            written.
    """
    lake = lake or Lake(tenant)
    views = list(definitions.views.values())
    plans = {view.name: _plan(tenant, lake, view, interval, rewrite) for view in views}
    with tempfile.TemporaryDirectory(prefix="leadwise-features-") as folder:
        files = {view.name: Path(folder) / f"{view.name}.arrow" for view in views}
        with nullcontext(asof) if asof else tables_of(tenant, definitions, contracts) as opened:
            _compute_all(tenant, lake, opened, views, plans, files)
        summary = {"leadwise.interval": interval.label}
        return {view.name: _publish(lake, view, plans[view.name], files[view.name], summary) for view in views}


@dataclass(frozen=True)
class _Plan:
    """What to compute of one view.

    Attributes:
        instants: in order.
        base: rows up to here are the ones to compare with; None is nothing yet.
        span: the stored rows that are replaced.
        anew: whether the whole history is replaced, and the table takes the columns of today.
        before: the stretches that were computed already.
        computed: the same afterwards, as the table's property has it.
    """

    instants: list[datetime]
    base: datetime | None
    span: BooleanExpression
    anew: bool
    before: list[Span]
    computed: str


def _plan(tenant: "Tenant", lake: Lake, view: View, interval: Interval, rewrite: bool) -> _Plan:
    table = lake.table(table_of(view))
    before = spans_of(table) if table is not None else []
    anew = rewrite or _is_anew(tenant, lake, view, interval, before)
    # The run that began earlier computed the start as well: it stays, also where only the start gave rows.
    known = any(start < interval.start <= end for start, end in before)
    fresh = anew or not (known or _has_rows(lake, view, parse(f"{AS_OF} < '{interval.start.isoformat()}'")))
    first = interval.start if fresh else interval.start + _DAY
    span = parse(f"{AS_OF} >= '{first.isoformat()}' and {AS_OF} <= '{interval.end.isoformat()}'")
    instants = schedule(tenant, interval, with_start=fresh)
    return _Plan(
        instants,
        None if fresh else interval.start,
        AlwaysTrue() if anew else span,
        anew,
        before,
        computed=joined([] if anew else before, instants, tenant.params.features.every_days),
    )


def _is_anew(tenant: "Tenant", lake: Lake, view: View, interval: Interval, before: list[Span]) -> bool:
    """Whether the interval replaces rows of another definition: all that was computed, or NotReady is raised."""
    rows = older_rows(lake, view)
    if rows and not (interval.start <= before[0][0] and before[-1][1] <= interval.end):
        raise NotReady(
            f"{rows} rows of view '{view.name}' were computed by an older {view.path.name}: run `leadwise features"
            f" --tenant {tenant.name} --rewrite` first, which writes its whole history anew, so that no two definitions"
            " are mixed (`leadwise plan` shows what changes)"
        )
    return bool(rows)


def tables_of(
    tenant: "Tenant",
    definitions: Definitions,
    contracts: "Mapping[str, Contract]",
    marks: Mapping[str, str] | None = None,
) -> AsOf:
    """What the views read, as of any instant; for `marks` see `AsOf`."""
    return AsOf(Lake(tenant), contracts, together(definitions.views.values()), marks)


def _workers(tenant: "Tenant", views: int) -> int:
    return max(1, min(views, tenant.settings.threads))


def _compute_all(
    tenant: "Tenant",
    lake: Lake,
    asof: AsOf,
    views: list[View],
    plans: dict[str, _Plan],
    files: dict[str, Path],
) -> None:
    """Compute the views into files, so that a query that fails leaves all tables as they were."""
    steps = sum(len(plan.instants) for plan in plans.values())
    # A thread per view: a query has but one, and DuckDB lets go of Python while it works.
    with progress("features", steps) as advance, ThreadPoolExecutor(_workers(tenant, len(views))) as pool:
        connections = {view.name: asof.connection.cursor() for view in views}
        for view in views:
            _seed(connections[view.name], lake, view, plans[view.name].base)
        futures = [
            pool.submit(_spill, connections[view.name], view, plans[view.name].instants, files[view.name], advance)
            for view in views
        ]
        for future in futures:
            future.result()


def _spill(
    connection: duckdb.DuckDBPyConnection, view: View, instants: list[datetime], file: Path, advance: Advance
) -> None:
    """Compute one view into a file; memory holds the rows of one instant."""
    schema = stored_schema(view)
    with pa.ipc.new_file(str(file), schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as sink:
        for changed in _changes(connection, view, instants, advance):
            loaded = pa.repeat(pa.scalar(utc_now(), pa.timestamp("us")), changed.num_rows)
            hashed = pa.repeat(pa.scalar(view.sql_hash), changed.num_rows)
            sink.write_table(changed.append_column(HASH, hashed).append_column("_loaded_at", loaded).cast(schema))


def _publish(lake: Lake, view: View, plan: _Plan, file: Path, summary: dict[str, str]) -> Written:
    """Put the rows of a file in the place of what the interval held before, in one commit."""
    written = 0

    def batches(rows: pa.ipc.RecordBatchFileReader) -> Iterator[pa.Table]:
        nonlocal written
        for number in range(rows.num_record_batches):
            batch = rows.get_batch(number)
            written += batch.num_rows
            yield pa.Table.from_batches([batch])

    with pa.memory_map(str(file)) as source, pa.ipc.open_file(source) as rows:
        differ = differing(lake, view, rows, plan.span, plan.before, plan.instants)
        lake.write(
            table_of(view),
            stored_schema(view),
            batches(rows),
            replace=plan.span,
            summary=summary,
            properties=_told(lake, plan),
            exact=plan.anew,
        )
    return Written(written, differ)


def _told(lake: Lake, plan: _Plan) -> dict[str, str]:
    """What the table is to say of its rows: a grid of midnights only where all of them are of it."""
    if not plan.computed:
        return {}
    first = plan.anew or not plan.before
    return {COMPUTED: plan.computed, **({GRID: grid(lake.tenant)} if first else {})}


def schedule(tenant: "Tenant", interval: Interval, with_start: bool = False) -> list[datetime]:
    """The instants features are computed for, in order: every so many days from the tenant's first day."""
    every = tenant.params.features.every_days
    anchor: date = tenant.params.run.start
    days = [interval.start.date()] if with_start else []
    days += [day + _DAY for day in interval.days()]
    return [midnight(day) for day in days if (day - anchor).days % every == 0]


def _has_rows(lake: Lake, view: View, where: BooleanExpression) -> bool:
    if not lake.exists(table_of(view)):
        return False
    return any(batch.num_rows for batch in lake.scan(table_of(view), columns=[AS_OF], where=where))


def _seed(connection: duckdb.DuckDBPyConnection, lake: Lake, view: View, start: datetime | None) -> None:
    """Make `_last`: each entity's last row as of `start`, with the view's columns of today; None is nothing yet."""
    connection.register("_empty", view.schema.empty_table())
    connection.execute("CREATE OR REPLACE TEMP TABLE _last AS SELECT * FROM _empty")
    connection.unregister("_empty")
    if start is None:
        return
    table = lake.table(table_of(view))
    known = set(table.schema().as_arrow().names) if table else set()
    columns = [name for name in view.schema.names if name in known]
    where = f"{AS_OF} <= '{start.isoformat()}'"
    connection.register("_stored", lake.scan(table_of(view), columns=[*columns, AS_OF], where=where))
    names = ", ".join(f'"{name}"' for name in columns)
    connection.execute(
        f"INSERT INTO _last BY NAME SELECT {names} FROM _stored"
        f' QUALIFY row_number() OVER (PARTITION BY "{view.entity}" ORDER BY {AS_OF} DESC) = 1'
    )
    connection.unregister("_stored")


def _changes(
    connection: duckdb.DuckDBPyConnection, view: View, instants: list[datetime], advance: Advance
) -> Iterator[pa.Table]:
    """For each instant, the rows that differ from their entity's last, sorted by entity, stamped `as_of`."""
    entity = f'"{view.entity}"'
    now = f"CREATE OR REPLACE TEMP TABLE _now AS {view.sql}"
    differs = " OR ".join(f'n."{field.name}" IS DISTINCT FROM l."{field.name}"' for field in view.features)
    features = ", ".join(f'n."{field.name}"' for field in view.features)
    select = (
        f"SELECT n.{entity}, $as_of::TIMESTAMP AS {AS_OF}, {features}, l.{entity} IS NULL AS {_NEW}"
        f" FROM _now AS n LEFT JOIN _last AS l ON n.{entity} = l.{entity}"
        f" WHERE l.{entity} IS NULL OR {differs} ORDER BY n.{entity}"
    )
    known = connection.execute("SELECT count(*) FROM _last").fetchall()[0][0]
    for instant in instants:
        given = {"as_of": instant}
        connection.execute("SET VARIABLE as_of = $as_of::TIMESTAMP", given)
        with sentences(view):
            connection.execute(now, given if "$as_of" in now else None)
        if rows := refuse_twins(connection, "_now", view, instant):
            changed = connection.sql(select, params=given).to_arrow_table()
            new = pc.sum(changed.column(_NEW)).as_py() or 0
            _remember(connection, entity, gone=known + new - rows)
            known += new
            yield changed.drop_columns([_NEW])
        advance(1)


def _remember(connection: duckdb.DuckDBPyConnection, entity: str, gone: int) -> None:
    """Make `_now` the next `_last`, with the rows of entities that are gone: they may come back."""
    if gone:
        connection.execute(f"INSERT INTO _now BY NAME SELECT * FROM _last ANTI JOIN _now USING ({entity})")
    connection.execute("DROP TABLE _last")
    connection.execute("ALTER TABLE _now RENAME TO _last")
