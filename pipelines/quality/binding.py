"""Binds a mapping to what was collected, and builds the SQL that reads its result as the contract's types."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from expectations.suites import LATEST
from feature_repo.sql import failed, tables_of
from pipelines.collect.files import BULK
from pipelines.core.errors import BatchRejected, nearest
from pipelines.quality.cast import UNREAD, family, reading
from pipelines.quality.lineage import ORIGIN, carry, is_plain
from pipelines.quality.mapped import HASH, Mapped, alike
from pipelines.quality.sources import LINEAGE, Collected, check_columns

if TYPE_CHECKING:
    from expectations.contract import Contract
    from feature_repo.mappings import MappingSql

_SYSTEM = tuple(ORIGIN.values())
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


def prepare(
    contract: "Contract",
    mapping: "MappingSql",
    collected: Mapping[str, Collected],
    run_end: datetime,
    threads: int,
) -> Mapped:
    """Bind a mapping to what was collected, before a row of it is read.

    Args:
        contract: of the table.
        mapping: its section, or the source as it is.
        collected: every source of the tenant.
        run_end: the last instant a source without days may speak of.
        threads: for DuckDB.

    Raises:
        BatchRejected: a column is missing, unknown, or of a type that can't be read as the contract's.
        SqlError: the mapping fails.
    """
    sources = {name: collected[name] for name in sorted(tables_of(mapping.sql, collected))}
    as_it_is = mapping.first_line == 0
    if as_it_is:
        check_columns(contract, collected[contract.name])
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        for name, source in sources.items():
            connection.register(name, pa.schema([*source.schema, *_lineage_fields()]).empty_table())
        _bind(connection, mapping, contract, sources)
        carried = carry(mapping.sql, set(sources))
        inner, root = carried if carried and _binds(connection, carried[0]) else (_numbered(mapping.sql), "")
        columns = _types(connection, inner)
    origin = sources.get(root) or _first_daily(sources)
    plain = bool(root) and is_plain(mapping.sql)
    runs = (origin.batches,) if plain or (root and not origin.daily) else tuple((batch,) for batch in origin.batches)
    typed = _typed_sql(contract, inner, columns, as_it_is and sources[contract.name].typed, mapping, run_end)
    groups = _hashes(contract)
    hashes = ", ".join(f"{expression} AS {HASH}{number}" for number, expression in enumerate(groups))
    streamed = next(iter(sources)) if plain else None
    needed = _hash_columns(contract)
    narrow_typed = _typed_sql(contract, inner, columns, False, mapping, run_end, set(needed)) if as_it_is else typed
    return Mapped(
        contract,
        mapping,
        sources,
        f"SELECT *, {hashes} FROM ({typed})",
        runs,
        streamed,
        (f"SELECT {hashes} FROM ({narrow_typed})", tuple(needed) if as_it_is else None),
        dated_by_run=not root or BULK in origin.batches,
    )


def _first_daily(sources: Mapping[str, Collected]) -> Collected:
    return next((source for source in sources.values() if source.daily), next(iter(sources.values())))


def _lineage_fields() -> list[pa.Field]:
    kinds = {"_source_row": pa.int64(), "_interval_end": pa.timestamp("us")}
    return [pa.field(new, kinds.get(old, pa.string())) for old, new in LINEAGE.items()]


def _numbered(sql: str) -> str:
    """Rows that are no rows of a source: numbered within their batch, without a file."""
    return (
        "SELECT *, '' AS _source_file, row_number() OVER () AS _source_row, $batch AS _batch_id,"
        f" NULL::TIMESTAMP AS _interval_end FROM (\n{sql}\n)"
    )


def _bind(
    connection: duckdb.DuckDBPyConnection, mapping: "MappingSql", contract: "Contract", sources: Mapping[str, Collected]
) -> None:
    try:
        columns = connection.sql(mapping.sql).columns
    except duckdb.Error as error:
        absent = re.search(r'column "(\w+)" not found', str(error))
        sentence = failed(error, mapping.sql, mapping.path, mapping.first_line)
        if absent is None:
            raise sentence from None
        place, names = (
            str(sentence).split(": DuckDB")[0],
            [n for source in sources.values() for n in source.schema.names],
        )
        raise BatchRejected(
            f"table '{contract.name}': {place} asks for the column '{absent[1]}', which its source does not have:"
            f" nothing was published; {nearest(absent[1], names)}"
        ) from None
    known, lineage = contract.source_columns, set(LINEAGE.values())
    for name in columns:
        if name not in known and name not in lineage:
            raise BatchRejected(
                f"table '{contract.name}': {mapping.path} gives the column '{name}', which {contract.path} does not"
                f" know: nothing was published; {nearest(name, known)}"
            )
    for name in known:
        if name not in columns and any(source.files for source in sources.values()):
            raise BatchRejected(
                f"table '{contract.name}': {mapping.path} does not give the column '{name}' that {contract.path} asks"
                " for: nothing was published; add it to the SELECT"
            )


def _binds(connection: duckdb.DuckDBPyConnection, sql: str) -> bool:
    try:
        return set(_SYSTEM) <= set(connection.sql(sql).columns)
    except duckdb.Error:
        return False


def _types(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, str]:
    relation = connection.sql(sql.replace("$batch", "''"))
    return {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}


def _typed_sql(
    contract: "Contract",
    inner: str,
    types: Mapping[str, str],
    typed: bool,
    mapping: "MappingSql",
    run_end: datetime,
    only: set[str] | None = None,
) -> str:
    parts = []
    for column in contract.columns:
        if only is not None and column.name not in only:
            continue
        given = types.get(column.name, '"NULL"')
        pair = reading(column, given, typed)
        if pair is None:
            raise BatchRejected(
                f"table '{contract.name}': column '{column.name}' is of type {family(given) or given}, and"
                f" {contract.path} asks for {column.type}: nothing was published; export it as {column.type}"
            )
        parts.append(f'{pair[0]} AS "{column.name}"')
        if pair[1] is not None:
            parts.append(f'{pair[1]} AS "{UNREAD}{column.name}"')
    day = " + INTERVAL 1 DAY" if contract.arrived_at else ""  # files may be cut by the days of another time zone
    latest = (
        f"CASE WHEN _batch_id = '{BULK}' OR _interval_end IS NULL"
        f" THEN greatest(coalesce(_interval_end, TIMESTAMP '{run_end}'), TIMESTAMP '{run_end}')"
        # A file of a growing folder is read some time after the interval's end, and may hold what happened by then.
        f" WHEN NOT regexp_full_match(_batch_id, '{_DAY}')"
        f" THEN greatest(_interval_end + INTERVAL 1 DAY, TIMESTAMP '{run_end}')"
        f" ELSE _interval_end{day} END AS {LATEST}"
    )
    return f"SELECT {', '.join([*parts, *_SYSTEM, latest])} FROM (\n{inner}\n)"


def _hash_columns(contract: "Contract") -> list[str]:
    return sorted({name for group in alike(contract) for name in group})


def _hashes(contract: "Contract") -> list[str]:
    """One hash per group, within the batch; phones by their digits, so that two ways to write one meet."""
    found = []
    for group in alike(contract):
        cells = [
            f"ltrim(regexp_replace(\"{name}\", '[^0-9]', '', 'g'), '0')" if contract.column(name).phone else f'"{name}"'
            for name in group
        ]
        found.append(f"hash(_batch_id, {', '.join(cells)})")
    return found
