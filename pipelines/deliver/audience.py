"""The audience of a date: its scores in order of rank, without leads who opted out or never gave consent."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from expectations.contract import Contract
from pipelines.core.errors import ConfigError
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.deliver.files import defuse, replacing
from pipelines.deliver.table import TABLE, of_date
from pipelines.lake.asof import AsOf
from pipelines.lake.catalog import Lake
from pipelines.lake.identities import Identities

_ROWS = 50_000
_MEMORY = "256MB"
OWN = ("score_id", "target", "probability", "tier", "rank", "as_of", "model_version")


def write_audience(
    tenant: Tenant,
    interval: Interval,
    contracts: Mapping[str, Contract],
    lake: Lake,
    entity: str,
    with_phone: bool = False,
    beside: Sequence[str] = (),
) -> dict[str, int]:
    """Write `audience.parquet` and `audience.csv` from the scores of the interval's date.

    Args:
        tenant: whose audience.
        interval: its end is the instant whose consent and opt-outs count.
        contracts: by table name; their `consent`, `opt_out` and `segment` columns are what is looked at.
        lake: of the tenant.
        entity: name of what is scored, e.g. lead_id.
        with_phone: join the phones, at the very end.
        beside: other targets, whose values stand beside the probability.

    Returns:
        Rows written (`audience`), and scores left out: `opted_out`, `no_consent` (a lead may be in both).

    Raises:
        ConfigError: phones are asked for and the use case keeps none; the folder can't be written.
    """
    if with_phone:
        check_phones(tenant, contracts)
    folder = tenant.audience_dir / interval.label
    with _scores(lake, interval, beside) as connection:
        concerned = {name: contract for name, contract in contracts.items() if _concerns(contract, entity)}
        _attach(connection, concerned, lake, interval.as_of)
        counts = _suppressed(connection)
        result = connection.sql(_ranked(connection, entity, beside))
        identities = Identities(lake) if with_phone else None
        paths = (folder / "audience.parquet", folder / "audience.csv")
        with replacing(*paths, private=with_phone) as (parquet, table):
            reader = result.to_arrow_reader(_ROWS)
            schema = reader.schema.append(pa.field("phone", pa.string())) if identities else reader.schema
            rows = 0
            with pq.ParquetWriter(parquet, schema) as columns, pyarrow.csv.CSVWriter(table, schema) as lines:
                for batch in reader:
                    part = _with_phones(pa.Table.from_batches([batch]), entity, identities)
                    columns.write_table(part)
                    lines.write_table(defuse(part))
                    rows += part.num_rows
    return {"audience": rows, **counts}


def check_phones(tenant: Tenant, contracts: Mapping[str, Contract]) -> None:
    """Raise ConfigError where no contract of the use case has a phone to join."""
    if not any(column.phone for contract in contracts.values() for column in contract.columns):
        raise ConfigError(f"use case '{tenant.use_case}' keeps no phones: leave --with-phone out")


@contextmanager
def _scores(lake: Lake, interval: Interval, beside: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB holding the scores of the date: on disk, so that ranking many leads takes time and not memory."""
    columns = ("score_id", "entity_id", "target", "probability", "tier", "as_of", "model_version", *beside)
    config = {"threads": lake.tenant.settings.threads, "memory_limit": _MEMORY, "preserve_insertion_order": False}
    for left in lake.tenant.home.glob(".ranking.*"):  # of a run that was killed: nobody else holds the lock
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=".ranking.", dir=lake.tenant.home) as folder:
        connection = duckdb.connect(Path(folder) / "scores.db", config={**config, "temp_directory": folder})
        try:
            connection.register("_lake", lake.scan(TABLE, columns=columns, where=of_date(interval.label)))
            connection.execute("CREATE TABLE scores AS SELECT * FROM _lake")
            connection.unregister("_lake")
            yield connection
        finally:
            connection.close()


def _concerns(contract: Contract, entity: str) -> bool:
    """Whether a contract says who may be written to, or segments of the entity."""
    speaks = any(column.consent or column.opt_out is not None for column in contract.columns)
    return contract.entity == entity and (speaks or bool(_segments(contract)))


def _attach(
    connection: duckdb.DuckDBPyConnection, contracts: Mapping[str, Contract], lake: Lake, as_of: datetime
) -> None:
    """Add tables as known at `as_of`: `opted_out`, and `consented_n` and `segment_n` per contract with such columns."""
    opted_out = [pa.table({"entity_id": pa.array([], pa.string())})]
    consents, segments = [], []
    with AsOf(lake, contracts) as views:
        for contract in contracts.values():
            for column in contract.columns:
                if column.opt_out is not None:
                    sql = _entities(contract, f'"{column.name}"::VARCHAR = $value')
                    opted_out.append(views.query(sql, as_of, {"value": column.opt_out}))
                if column.consent:
                    consents.append(views.query(_entities(contract, f'"{column.name}"'), as_of))
            if names := _segments(contract):
                segments.append(views.query(_newest(contract, names), as_of))
    _create(connection, "opted_out", pa.concat_tables(opted_out))
    for index, table in enumerate(consents):
        _create(connection, f"consented_{index}", table)
    for index, table in enumerate(segments):
        _create(connection, f"segment_{index}", table)


def _entities(contract: Contract, condition: str) -> str:
    """The entities of which a row fulfils `condition`."""
    column = f'"{contract.entity}"'
    source = f'SELECT DISTINCT {column}::VARCHAR AS entity_id FROM "{contract.name}"'
    return f"{source} WHERE {condition} AND {column} IS NOT NULL"


def _segments(contract: Contract) -> list[str]:
    """Segment columns that the clean table has: personal ones never left it."""
    kept = set(contract.clean_schema().names)
    return [column.name for column in contract.columns if column.segment and column.name in kept]


def _newest(contract: Contract, names: list[str]) -> str:
    """The segments of each entity's newest event."""
    columns = ", ".join(f'"{name}"' for name in names)
    order = ", ".join(f'"{name}" DESC' for name in (contract.event_time, *contract.keys) if name)
    return (
        f'SELECT "{contract.entity}"::VARCHAR AS entity_id, {columns} FROM "{contract.name}"'
        f' QUALIFY row_number() OVER (PARTITION BY "{contract.entity}" ORDER BY {order}) = 1'
    )


def _create(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("_rows", rows)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _rows")
    connection.unregister("_rows")


def _tables(connection: duckdb.DuckDBPyConnection, prefix: str) -> list[str]:
    return sorted(str(name) for (name,) in connection.execute("SHOW TABLES").fetchall() if str(name).startswith(prefix))


def _refusals(connection: duckdb.DuckDBPyConnection) -> tuple[str, str]:
    """SQL conditions on `scores`: opted out; without consent."""
    without = [f"entity_id NOT IN (FROM {name})" for name in _tables(connection, "consented_")]
    return "entity_id IN (FROM opted_out)", " OR ".join(without) or "false"


def _suppressed(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    opted_out, no_consent = _refusals(connection)
    row = connection.execute(
        f"SELECT count(*) FILTER ({opted_out}), count(*) FILTER ({no_consent}) FROM scores"
    ).fetchone()
    assert row is not None
    return {"opted_out": int(row[0]), "no_consent": int(row[1])}


def _ranked(connection: duckdb.DuckDBPyConnection, entity: str, beside: Sequence[str]) -> str:
    """The audience: best first, rank 1 the best of its target, equal probabilities in order of id."""
    opted_out, no_consent = _refusals(connection)
    taken = {*OWN, *beside, entity, "phone", "entity_id"}
    extra, joins = "".join(f', "{name}"' for name in beside), ""
    for name in _tables(connection, "segment_"):
        joins += f" LEFT JOIN {name} USING (entity_id)"
        for column in connection.table(name).columns[1:]:
            if column not in taken:
                extra += f', {name}."{column}"'
                taken.add(column)
    order = "ORDER BY probability DESC, entity_id"
    return (
        f'SELECT score_id, entity_id AS "{entity}", target, probability, tier,'
        f" row_number() OVER (PARTITION BY target {order}) AS rank, as_of, model_version{extra}"
        f" FROM scores{joins} WHERE NOT ({opted_out}) AND NOT ({no_consent}) ORDER BY target, rank"
    )


def _with_phones(part: pa.Table, entity: str, identities: Identities | None) -> pa.Table:
    if identities is None:
        return part
    return part.append_column("phone", pc.cast(identities.phones(part[entity]), pa.string()))
