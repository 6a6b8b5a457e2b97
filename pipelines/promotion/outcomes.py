"""What came of scores: each labelled event beside what a version had said of its entity before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, EqualTo

from pipelines.deliver.shadow import SHADOW_TABLE
from pipelines.deliver.table import TABLE, VERSION
from pipelines.train.split import EVENT_TIME, KNOWN_AT, LABEL, matured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from expectations.contract import Contract
    from feature_repo.definitions import Definitions
    from models.inputs import Floats
    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake

# The newest score of an entity at or before the event, if it still spoke for that day.
_JOIN = """
SELECT labels.entity_id, labels.event_time, labels.known_at, labels.label, scores.as_of AS scored,
 scores.* EXCLUDE (entity_id, as_of)
FROM labels ASOF JOIN scores
ON labels.entity_id = scores.entity_id AND labels.event_time >= scores.as_of
WHERE labels.event_time < scores.as_of + to_days($days::INT)
ORDER BY labels.known_at, labels.event_time, labels.entity_id, labels.label
"""


@dataclass(frozen=True)
class Outcomes:
    """Labelled events in the order in which their labels became known.

    Attributes:
        rows: entity_id, event_time, known_at, label, the instant of the score (`scored`) and what it `predicted`.
    """

    rows: pa.Table

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @property
    def labels(self) -> Floats:
        """What came: 0.0 or 1.0, or a number."""
        return np.asarray(self.rows[LABEL].to_numpy(), dtype=np.float64)

    @property
    def predicted(self) -> Floats:
        """What had been said."""
        return np.asarray(self.rows["predicted"].to_numpy(), dtype=np.float64)

    @property
    def blocks(self) -> npt.NDArray[np.int64]:
        """The day on which each label became known: those of one day were known together."""
        return np.asarray(self.rows[KNOWN_AT].to_numpy().astype("datetime64[D]").astype(np.int64))

    @property
    def clusters(self) -> npt.NDArray[np.intp]:
        """A number for each row's entity."""
        coded = self.rows["entity_id"].combine_chunks().dictionary_encode()
        return np.asarray(coded.indices.to_numpy(), dtype=np.intp)

    def between(self, start: datetime, end: datetime) -> Outcomes:
        """Those of events from an instant on, and before another."""
        at, (first, last) = self.rows[EVENT_TIME], (pa.scalar(one, pa.timestamp("us")) for one in (start, end))
        return Outcomes(self.rows.filter(pc.and_(pc.greater_equal(at, first), pc.less(at, last))))

    def beside(self, other: Outcomes) -> tuple[Outcomes, Floats]:
        """The events that both had said something of, and what the other one had said of them."""
        keys = ["entity_id", EVENT_TIME, KNOWN_AT, LABEL]
        with duckdb.connect() as connection:
            for name, table in (("ours", _numbered(self.rows)), ("theirs", _numbered(other.rows))):
                connection.register(name, table)
            found = connection.sql(
                "SELECT ours.* EXCLUDE (nth), theirs.predicted AS other FROM ours JOIN theirs"
                f" USING ({', '.join([*keys, 'nth'])}) ORDER BY known_at, event_time, entity_id, label"
            ).to_arrow_table()
        return Outcomes(found.drop_columns(["other"])), np.asarray(found["other"].to_numpy(), dtype=np.float64)


def outcomes(
    tenant: Tenant,
    lake: Lake,
    contracts: Mapping[str, Contract],
    definitions: Definitions,
    target: str,
    version: str,
    interval: Interval,
    shadow: bool = False,
    more: Mapping[str, str] | None = None,
) -> Outcomes:
    """The events whose labels are known by the end of `interval`, with what a version had said before.

    Of each event counts the newest score of its entity at or before it, for `promotion.watch.outcome_days` days.

    Args:
        tenant: whose.
        lake: of the tenant.
        contracts: of the use case.
        definitions: of the use case.
        target: what was predicted.
        version: that predicted it.
        interval: its end is the instant whose knowledge counts.
        shadow: what it said beside the champion, and not as champion.
        more: further columns of the scores, and the names that they get in the rows; those the table lacks are empty.
    """
    scores = _shadow_scores(lake, target, version) if shadow else _scores(tenant, lake, target, version, more or {})
    if scores is None:
        return Outcomes(_EMPTY)
    with duckdb.connect(config={"threads": tenant.settings.threads}) as connection:
        connection.register("labels", _labels(tenant, lake, contracts, definitions, target, interval))
        connection.register("_scores", scores)
        # Read as a stream: of most of those who were scored nothing is known yet.
        connection.execute("CREATE TABLE scores AS SELECT * FROM _scores SEMI JOIN labels USING (entity_id)")
        days = tenant.params.promotion.watch.outcome_days
        found = connection.sql(_JOIN, params={"days": days}).to_arrow_table()
    if shadow or not tenant.params.train.targets[target].rank:
        return Outcomes(found)
    return Outcomes(_unranked(tenant, target, version, found))


_EMPTY = pa.table(
    {
        "entity_id": pa.array([], pa.string()),
        EVENT_TIME: pa.array([], pa.timestamp("us")),
        KNOWN_AT: pa.array([], pa.timestamp("us")),
        LABEL: pa.array([], pa.float64()),
        "scored": pa.array([], pa.timestamp("us")),
        "predicted": pa.array([], pa.float64()),
    }
)


def _scores(
    tenant: Tenant, lake: Lake, target: str, version: str, more: Mapping[str, str]
) -> pa.RecordBatchReader | None:
    """What a version said as champion: as the target that leads are ranked by, or beside it."""
    table = lake.table(TABLE)
    first = tenant.target()[0]
    value = "probability" if target == first else target
    of = "model_version" if target == first else f"{target}{VERSION}"
    if table is None or not {value, of} <= set(table.schema().as_arrow().names):
        return None
    where = And(EqualTo(term="target", value=first), EqualTo(term=of, value=version))
    known = set(table.schema().as_arrow().names)
    names = {"entity_id": "entity_id", "as_of": "as_of", value: "predicted"}
    names |= {column: name for column, name in more.items() if column in known}
    return _renamed(lake.scan(TABLE, columns=list(names), where=where), names)


def _shadow_scores(lake: Lake, target: str, version: str) -> pa.RecordBatchReader | None:
    if not lake.exists(SHADOW_TABLE):
        return None
    where = And(EqualTo(term="target", value=target), EqualTo(term="model_version", value=version))
    return lake.scan(SHADOW_TABLE, columns=["entity_id", "as_of", "predicted"], where=where)


def _renamed(reader: pa.RecordBatchReader, names: Mapping[str, str]) -> pa.RecordBatchReader:
    schema = pa.schema([field.with_name(names[field.name]) for field in reader.schema])
    batches = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _unranked(tenant: Tenant, target: str, version: str, rows: pa.Table) -> pa.Table:
    """The numbers behind the ranks that were served."""
    from models.ranked import Ranked
    from pipelines.registry.champion import load_version
    from pipelines.registry.tracking import connect, version_of

    model = load_version(tenant, target, version_of(connect(tenant), tenant.model_name(target), version)).estimator
    if not isinstance(model, Ranked):
        return rows
    numbers = model.value(np.asarray(rows["predicted"].to_numpy(), dtype=np.float64))
    return rows.set_column(rows.schema.get_field_index("predicted"), "predicted", pa.array(numbers))


def _labels(
    tenant: Tenant,
    lake: Lake,
    contracts: Mapping[str, Contract],
    definitions: Definitions,
    target: str,
    interval: Interval,
) -> pa.Table:
    """The events whose label is known by the end of `interval`."""
    from pipelines.features.queries import rows_of
    from pipelines.lake.asof import AsOf

    label = definitions.label(target)
    horizon = {"horizon_days": tenant.params.train.targets[target].horizon_days}
    with AsOf(lake, contracts, label.reads) as views:
        rows = matured(rows_of(views, label, interval.as_of, horizon).read_all(), label.entity, interval.as_of)
    # A yes that is told late stands as a no until then.
    grace = horizon["horizon_days"] + tenant.params.promotion.watch.grace_days
    settled = pa.scalar(interval.as_of - timedelta(days=grace), pa.timestamp("us"))
    rows = rows.filter(pc.less_equal(rows[EVENT_TIME], settled))
    return pa.table(
        {
            "entity_id": rows[label.entity].cast(pa.string()),
            EVENT_TIME: rows[EVENT_TIME],
            KNOWN_AT: rows[KNOWN_AT],
            LABEL: rows[LABEL].cast(pa.float64()),
        }
    )


def _numbered(rows: pa.Table) -> pa.Table:
    """Rows with their number among those that are alike but for what was predicted."""
    frame = rows.to_pandas()
    return rows.append_column(
        "nth", pa.array(frame.groupby(["entity_id", EVENT_TIME, KNOWN_AT, LABEL], sort=False).cumcount().to_numpy())
    )
