"""Who is scored as of an instant."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.core.errors import NotReady, SqlError
from pipelines.core.tenant import Tenant
from pipelines.lake.asof import AsOf
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from expectations.contract import Contract
    from feature_repo.definitions import Definitions


def candidates(
    tenant: Tenant, lake: Lake, definitions: "Definitions", contracts: "Mapping[str, Contract]", as_of: datetime
) -> pa.Table:
    """Run `candidates.sql` as of an instant.

    Returns:
        Two columns, the entity and `event_time` (the instant where the SQL gives none), in order of the entity.

    Raises:
        NotReady: the use case has no candidates.sql, or nobody is a candidate.
        SqlError: the SQL fails, gives an entity twice or none, or an event after the instant.
    """
    from pipelines.features.queries import rows_of

    query = definitions.candidates
    if query is None:
        missing = tenant.sql_dir / "candidates.sql"
        raise NotReady(f"use case '{tenant.use_case}' does not say whom to score: write {missing}")
    with AsOf(lake, contracts, query.reads) as views:
        rows = rows_of(views, query, as_of).read_all()
    if not rows.num_rows:
        raise NotReady(
            f"tenant '{tenant.name}' has nobody to score as of {as_of:%Y-%m-%d}: ingest and validate data up to then,"
            f" or look at {query.path}"
        )
    entities = rows[query.entity]
    if entities.null_count:
        raise SqlError(f"{query.path}:1: {entities.null_count} rows have no {query.entity}: leave them out")
    if (twice := rows.num_rows - pc.count_distinct(entities).as_py()) > 0:
        raise SqlError(f"{query.path}:1: {twice} rows repeat a {query.entity}: return one row for each")
    times = pa.repeat(pa.scalar(as_of, pa.timestamp("us")), rows.num_rows)
    if "event_time" in rows.schema.names:
        times = pc.coalesce(rows["event_time"], times)
        if (latest := pc.max(times).as_py()) > as_of:
            raise SqlError(f"{query.path}:1: event_time {latest} is after $as_of {as_of}: leave it out")
    spine = pa.table({query.entity: entities, "event_time": times})
    return spine.sort_by(query.entity)
