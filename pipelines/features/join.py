"""The point-in-time join: for each event, the last feature row of its entity as of the event."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.definitions import Definitions, Kind, View
from feature_repo.on_demand import REQUEST, Moment, moment_of
from pipelines.core.errors import ConfigError, NotReady
from pipelines.features.compute import AS_OF, table_of
from pipelines.lake.catalog import Lake
from pipelines.lake.fields import columns_of
from pipelines.lake.files import fed

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant

ROWS = 100_000
"""Rows of the spine joined at once."""

_FEW = 100
"""Rows of a spine for which the feature rows of other entities are not even loaded."""

_MEMORY = "1GB"
"""What DuckDB keeps of the feature rows in memory; the rest waits in its file."""


def model_features(definitions: Definitions, target: str) -> list[tuple[str, Kind]]:
    """Names and kinds of the inputs of a model of `target`: the columns of its feature service, in their order."""
    return definitions.model_features(definitions.label(target).entity)


def point_in_time(
    tenant: "Tenant",
    lake: Lake,
    definitions: Definitions,
    spine: pa.Table | pa.RecordBatchReader,
    rows: int = ROWS,
) -> pa.RecordBatchReader:
    """Add to each row of the spine the model features as of its event.

    A row gets, of each view, the newest feature row of its entity with `as_of <= event_time`, and nulls where there is
    none. Memory does not grow with the spine: it is read and joined `rows` at a time.

    Args:
        tenant: whose features.
        lake: of the tenant.
        definitions: the views.
        spine: an entity column, event_time (naive UTC microseconds, never null) and any others.
        rows: of a batch.

    Returns:
        The spine's columns, then the model features, in the spine's order of rows.

    Raises:
        ConfigError: the spine has no entity or no event_time.
        NotReady: features were never computed.
    """
    entity = _entity(definitions, spine.schema)
    views = definitions.views_of(entity)
    for view in views:
        _refuse_unready(tenant, lake, view)
    moment = moment_of(definitions, entity)
    names = [name for name, _ in definitions.model_features(entity)]
    types = {field.name: field.type for view in views for field in view.features}
    schema = pa.schema([*spine.schema, *(pa.field(name, types.get(name, pa.float64())) for name in names)])

    def batches() -> Iterator[pa.RecordBatch]:
        with _workshop(tenant) as connection:
            _load(connection, lake, views, spine)
            for part in _parts(spine, rows):
                joined = _with_moment(_join(connection, entity, views, part), moment)
                yield from joined.select(schema.names).cast(schema).to_batches()

    return pa.RecordBatchReader.from_batches(schema, batches())


def _refuse_unready(tenant: "Tenant", lake: Lake, view: View) -> None:
    """Raise NotReady where a view has no rows, or rows without a feature of today."""
    table = lake.table(table_of(view))
    if table is None:
        raise NotReady(
            f"tenant '{tenant.name}' has no rows of view '{view.name}' yet:"
            f" run `leadwise features --tenant {tenant.name}` first"
        )
    if lake.fixed:
        return  # its columns are those of its time
    held = columns_of(table)
    if fresh := [field.name for field in view.schema if held.get(field.name) != field.type]:
        raise NotReady(
            f"the rows of view '{view.name}' have no '{fresh[0]}' of today's type yet: its SQL changed;"
            f" run `leadwise features --tenant {tenant.name} --rewrite` first"
        )


def _entity(definitions: Definitions, schema: pa.Schema) -> str:
    entities = sorted({view.entity for view in definitions.views.values()} & set(schema.names))
    if len(entities) != 1 or REQUEST not in schema.names:
        known = " or ".join(sorted({view.entity for view in definitions.views.values()}))
        raise ConfigError(f"a spine needs {known} and {REQUEST}, and has {', '.join(schema.names)}")
    return entities[0]


@contextmanager
def _workshop(tenant: "Tenant") -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB in a temporary file, so that feature rows beyond memory go to disk."""
    with tempfile.TemporaryDirectory(prefix="leadwise-join-") as folder:
        connection = duckdb.connect(
            str(Path(folder) / "join.duckdb"), config={"threads": tenant.settings.threads, "memory_limit": _MEMORY}
        )
        try:
            yield connection
        finally:
            connection.close()


def _bounds(spine: pa.Table | pa.RecordBatchReader) -> tuple[datetime, datetime] | None:
    """First and last event of a spine that is in memory; None where it is not known before reading."""
    if not isinstance(spine, pa.Table) or spine.num_rows == 0:
        return None
    found = pc.min_max(spine.column(REQUEST)).as_py()
    return found["min"], found["max"]


def _load(
    connection: duckdb.DuckDBPyConnection, lake: Lake, views: list[View], spine: pa.Table | pa.RecordBatchReader
) -> None:
    """Make a table of each view's rows, with the instants from and until which a row is the newest.

    Rows that a spine in memory can't meet are left out: of other times, and where it is short of other entities.
    """
    bounds = _bounds(spine)
    few = isinstance(spine, pa.Table) and spine.num_rows <= _FEW
    for view in views:
        columns = [*view.schema.names, AS_OF]
        where = f"{AS_OF} <= '{bounds[1].isoformat()}'" if bounds else None
        names = ", ".join(f'"{name}"' for name in columns)
        until = f'lead({AS_OF}) OVER (PARTITION BY "{view.entity}" ORDER BY {AS_OF})'
        if few:
            connection.register("_mine", spine.select([view.entity]))
        asked = [*([where] if where else []), *([f'"{view.entity}" IN (FROM _mine)'] if few else [])]
        past = f" WHERE {' AND '.join(asked)}" if asked else ""
        needed = f" WHERE _until > '{bounds[0].isoformat()}'::TIMESTAMP" if bounds else ""
        with fed(connection, lake, table_of(view), columns=columns, where=where) as source:
            connection.execute(
                f'CREATE TABLE "{view.name}" AS SELECT * FROM'
                f" (SELECT {names}, coalesce({until}, 'infinity'::TIMESTAMP) AS _until FROM {source}{past}){needed}"
            )


def _parts(spine: pa.Table | pa.RecordBatchReader, rows: int) -> Iterator[pa.Table]:
    """The spine in tables of about `rows`, in order."""
    if isinstance(spine, pa.Table):
        for start in range(0, spine.num_rows, rows):
            yield spine.slice(start, rows)
        return
    waiting: list[pa.RecordBatch] = []
    for batch in spine:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= rows:
            yield pa.Table.from_batches(waiting, spine.schema)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting, spine.schema)


def _join(connection: duckdb.DuckDBPyConnection, entity: str, views: list[View], part: pa.Table) -> pa.Table:
    """All features of all views beside the rows of `part`, in its order."""
    keys = pa.table({"_row": pa.array(range(part.num_rows), pa.int64()), "_key": part[entity], "_at": part[REQUEST]})
    features = [field.name for view in views for field in view.features]
    joins = "".join(
        f' LEFT JOIN "{view.name}" AS v{number} ON v{number}."{entity}" = k._key'
        f" AND v{number}.{AS_OF} <= k._at AND k._at < v{number}._until"
        for number, view in enumerate(views)
    )
    picked = ", ".join(f'v{number}."{field.name}"' for number, view in enumerate(views) for field in view.features)
    connection.register("_keys", keys)
    found = connection.sql(f"SELECT {picked} FROM _keys AS k{joins} ORDER BY k._row").to_arrow_table()
    connection.unregister("_keys")
    for name in features:
        if name not in part.schema.names:
            part = part.append_column(found.schema.field(name), found.column(name))
    return part


def _with_moment(table: pa.Table, moment: Moment) -> pa.Table:
    return moment.add_to(table) if moment.outputs else table
