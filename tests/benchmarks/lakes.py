"""A lake of any size for benchmarks, filled without the steps: clean tables and feature rows of the market."""

from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.contract import Contract, load_contracts
from feature_repo.definitions import Definitions, load_definitions
from pipelines.core.tenant import Tenant
from pipelines.features.compute import stored_schema, table_of
from pipelines.lake.catalog import Lake
from pipelines.lake.evolve import PROPERTY, told

NOW = datetime(2026, 4, 1)
"""The instant of the benchmarks; history reaches 120 days back."""

_SYSTEM = ", _arrived_at, 'bulk' AS _batch_id, 'bench' AS _source_file, n AS _source_row, _arrived_at AS _loaded_at"
# One row in fifty is a correction: the key of the row before it, arrived an hour later. One in 300 arrives weeks late.
_KEY = "n - (n % 50 = 49)::int"
_KEYS = f"{_KEY} AS key, TIMESTAMP '2025-12-02' + to_seconds(hash({_KEY}) % 10300000) AS happened"
_LATE = "hash(n, 'late') % 300 = 0"
_ARRIVED = (
    f"happened + CASE WHEN {_LATE} THEN INTERVAL 20 days WHEN n % 50 = 49 THEN INTERVAL 1 hour"
    " ELSE INTERVAL 1 minute END AS _arrived_at"
)
_ACTIVE = ", ".join(
    f"hash(n, '{name}') % 3 = 0 AS {name}_active" for name in ("whatsapp", "instagram", "facebook", "google", "apple")
)
_SPEEDS = ", ".join(
    f"CASE WHEN hash(n, '{name}') % 3 = 0 THEN (hash(n, '{name}', 1) % 2000)::BIGINT END AS {name}_ms"
    for name in ("whatsapp", "instagram", "facebook", "google", "apple")
)
ROWS = {
    "leads": (
        "'lead' || n AS lead_id, '55' AS lada, 'CMX' AS state, 'America/Mexico_City' AS timezone, 'Telcel' AS carrier,"
        " 'mobile' AS line_type, true AS consent, TIMESTAMP '2025-12-01' AS acquired_at"
    ),
    "validations": f"'v' || key AS validation_id, 'lead' || hash(key) % {{leads}} AS lead_id, happened AS validated_at,"
    f" {_ACTIVE}, {_SPEEDS}",
    "messages": (
        "'m' || key AS message_id, 'lead' || hash(key, 'm') % {leads} AS lead_id, 'c1' AS campaign_id,"
        " happened AS sent_at,"
        " CASE WHEN hash(n, 's') % 10 = 0 THEN 'failed' ELSE 'delivered' END AS status, 'A' AS variant,"
        " (hash(n, 'l') % 160)::BIGINT AS length, 0.5::DOUBLE AS cost, false AS randomized, 0.5::DOUBLE AS propensity"
    ),
}


def clean_tables(tenant: Tenant, folder: Path, counts: dict[str, int]) -> None:
    """Fill `clean.<table>`, and write the same rows to `<folder>/<table>.parquet`."""
    contracts, lake = load_contracts(tenant.contracts_dir), Lake(tenant)
    for name, count in counts.items():
        table, applied = _clean(contracts[name], count, counts["leads"]), {PROPERTY: told(contracts[name])}
        pq.write_table(table, folder / f"{name}.parquet")
        lake.write(f"clean.{name}", table.schema, [table], replace=("_batch_id", ["bulk"]), properties=applied)


def _clean(contract: Contract, count: int, leads: int) -> pa.Table:
    schema = contract.clean_schema()
    with duckdb.connect() as connection:
        columns = ROWS[contract.name].format(leads=leads)
        sql = (
            f"WITH k AS (SELECT n, {_KEYS} FROM (SELECT range AS n FROM range({count}))),"
            f" a AS (SELECT *, {_ARRIVED} FROM k) SELECT {columns}{_SYSTEM} FROM a"
            # As batch after batch leaves them: in order of arrival, but for those that came late.
            f" ORDER BY {_LATE}, _arrived_at, n"
        )
        found = connection.sql(sql).to_arrow_table()
    system = [field for field in found.schema if field.name.startswith("_")]
    for field in schema:
        if field.name not in found.schema.names:
            arrived = field.name == contract.arrived_at
            values = found["_arrived_at"] if arrived else pa.nulls(found.num_rows, field.type)
            found = found.append_column(field.name, values)
    full = pa.schema([*schema, *system])
    return found.select(full.names).cast(full)


def feature_rows(tenant: Tenant, folder: Path, names: list[str], leads: int, each: int) -> Definitions:
    """Fill `features.<view>` with `each` rows of every lead, and write the same rows to `<folder>/<view>.parquet`."""
    contracts, lake = load_contracts(tenant.contracts_dir), Lake(tenant)
    definitions = load_definitions(tenant, contracts)
    for name in names:
        view = definitions.views[name]
        schema = stored_schema(view)
        cells = {pa.int64(): "(hash(n, '{0}') % 90)::BIGINT", pa.float64(): "(hash(n, '{0}') % 1000) / 1000.0",
                 pa.bool_(): "hash(n, '{0}') % 2 = 0", pa.string(): "'c' || hash(n, '{0}') % 9",
                 pa.timestamp("us"): "TIMESTAMP '2025-12-01' + to_seconds(hash(n, '{0}') % 2592000)"}  # fmt: skip
        columns = ", ".join(f"{cells[field.type].format(field.name)} AS {field.name}" for field in view.features)
        with duckdb.connect() as connection:
            table = connection.sql(
                f"SELECT 'lead' || n % {leads} AS lead_id, {columns}, '{view.sql_hash}' AS _sql_hash,"
                f" TIMESTAMP '2025-12-31' + to_days((n // {leads} * {90 // each} + n % {90 // each})::INT) AS as_of,"
                f" TIMESTAMP '2026-04-01' AS _loaded_at FROM (SELECT range AS n FROM range({leads * each}))"
            ).to_arrow_table()
        table = table.select(schema.names).cast(schema)
        pq.write_table(table, folder / f"{name}.parquet")
        lake.write(table_of(view), schema, [table], replace=("lead_id", ["nobody"]))
    return definitions
