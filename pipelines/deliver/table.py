"""`deliver.scores`: one row per scored entity, target and date, partitioned by date.

What other targets say of the entity stands beside it, in two columns each that are named after them.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysFalse, And, EqualTo
from pyiceberg.table import Table

from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake

TABLE = "deliver.scores"
OUTCOMES = "watch.outcomes"
"""Table of what came of scores, which `pipelines.watch.outcomes` writes."""

CANDIDATES = "leadwise.candidates"
"""Property of the table: hash of the SQL that said whom to score, the last time."""

VERSION = "_version"
"""Ending of the column with the version of the model of a target that stands beside."""

ENDS = ("_low", "_high")
"""Endings of the columns with the ends of a 90 % range; empty where the model knows none."""

SCHEMA = pa.schema(
    [
        ("score_id", pa.string()),
        ("entity_id", pa.string()),
        ("date", pa.date32()),
        ("as_of", pa.timestamp("us")),
        ("target", pa.string()),
        ("probability", pa.float64()),
        ("probability_low", pa.float64()),
        ("probability_high", pa.float64()),
        ("tier", pa.string()),
        ("model_name", pa.string()),
        ("model_version", pa.string()),
        ("feature_service", pa.string()),
        ("run_id", pa.string()),
        ("_loaded_at", pa.timestamp("us")),
    ]
)


def schema_of(beside: Iterable[str] = ()) -> pa.Schema:
    """The columns of rows with the values of other targets beside them: of each its value and the model's version."""
    own = (*((end, pa.float64()) for end in ("", *ENDS)), (VERSION, pa.string()))
    more = [(f"{name}{end}", kind) for name in beside for end, kind in own]
    return pa.schema([*SCHEMA, *(pa.field(name, kind) for name, kind in more)])


def score_id(tenant: str, target: str, entity_id: str, date: str) -> str:
    """The id of a score: the same for the same tenant, target, entity and ISO date, whenever it is computed."""
    return hashlib.sha256("\x1f".join((tenant, target, entity_id, date)).encode()).hexdigest()[:32]


def of_date(date: str, target: str | None = None) -> And | EqualTo:
    """The rows of an ISO date, of one target or of all."""
    day = EqualTo(term="date", value=date)
    return day if target is None else And(day, EqualTo(term="target", value=target))


def write_scores(
    lake: Lake,
    target: str,
    date: str,
    batches: Iterable[pa.Table],
    candidates: str | None = None,
    beside: Sequence[str] = (),
) -> int:
    """Put `batches` in the place of the rows of (date, target), in one commit and flat memory; return their number.

    The hash of the query of `candidates` stays with the table. The batches have the columns of `schema_of(beside)`.

    PyIceberg streams into unpartitioned tables only, so here each batch is its own append of one transaction: readers
    see all of it or nothing.
    """
    schema = schema_of(beside)
    table = _table(lake, schema)
    rows = 0
    with table.transaction() as transaction:
        if lake.count(TABLE, of_date(date, target)):
            transaction.delete(of_date(date, target))
        for batch in batches:
            transaction.append(batch.cast(schema))
            rows += batch.num_rows
        if candidates and table.properties.get(CANDIDATES) != candidates:
            transaction.set_properties({CANDIDATES: candidates})
    return rows


def _table(lake: Lake, schema: pa.Schema) -> Table:
    """The table, made and partitioned where it is not yet, with a column for each of `schema`."""
    table = lake.table(TABLE)
    if table is None or set(schema.names) - set(table.schema().as_arrow().names):
        lake.write(TABLE, schema, [], replace=AlwaysFalse())
        table = lake.catalog.load_table(TABLE)
    if not table.spec().fields:
        with table.update_spec() as update:
            update.add_identity("date")
    return table


def latest_date(lake: Lake, name: str) -> str | None:
    """The newest ISO date of a table with a `date` column; None where it has no row."""
    if not lake.exists(name):
        return None
    newest = None
    for batch in lake.scan(name, columns=["date"]):
        top = pc.max(batch["date"]).as_py()
        newest = max(newest, top) if newest and top else newest or top
    return newest.isoformat() if newest else None


def score_rows(
    tenant: Tenant,
    interval: Interval,
    target: str,
    entity_ids: pa.Array,
    columns: dict[str, object],
    beside: Sequence[str] = (),
) -> pa.Table:
    """Rows of the table.

    Args:
        tenant: whose scores.
        interval: its label is their date.
        target: what was predicted.
        entity_ids: strings.
        columns: the other columns, arrays of that length or one value for all rows; ends of ranges may be missing.
        beside: other targets whose values are among them.
    """
    schema = schema_of(beside)
    date = interval.label
    ids = pa.array([score_id(tenant.name, target, str(entity), date) for entity in entity_ids.to_pylist()])
    given = {"score_id": ids, "entity_id": entity_ids, "target": target, **columns}
    arrays = []
    for field in schema:
        if field.name == "date":
            value: Any = pc.strptime(date, "%Y-%m-%d", "us").cast(pa.date32())
        else:
            value = given.get(field.name) if field.name.endswith(ENDS) else given[field.name]
        spread = isinstance(value, pa.Array | pa.ChunkedArray)
        arrays.append(value.cast(field.type) if spread else pa.repeat(pa.scalar(value, field.type), len(ids)))
    return pa.Table.from_arrays(arrays, schema=schema)
