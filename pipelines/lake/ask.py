"""Questions to a tenant's lake: read-only SQL over what there is, as of an instant, without personal data.

Each table stands as a view over its data files, read where a query needs it: only the tables it names, their columns
and the parts of the files that its conditions leave.
"""

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from feature_repo.sql import bare, check_sql, failed
from pipelines.core.errors import LeadwiseError, SqlError, nearest
from pipelines.lake.asof import close
from pipelines.lake.catalog import Lake
from pipelines.lake.evolve import stored_names
from pipelines.lake.fields import columns_of
from pipelines.lake.files import literal, local_files, read_parquet
from pipelines.lake.shown import QUARANTINE, Shown, newest, shown
from pipelines.lake.versions import ORDER, SYSTEM, known

if TYPE_CHECKING:
    import pandas as pd
    from pyiceberg.table import Table

    from expectations.contract import Contract

ROWS = 100_000
"""Rows of a batch of an answer."""

QUERY = Path("query")
"""What sentences about a question call it."""

_PERSONAL = ("raw.", "identity.")
_ABSENT = re.compile(r'(?:Referenced column|does not have a column named) "([^"]+)"')


@dataclass(frozen=True)
class Answer:
    """A checked query.

    Attributes:
        schema: of the result; of columns with one name, such as a, the second is a_1.
        batches: its rows, streamed; the query starts with the first.
        as_of: the instant of the clean tables, naive UTC.
        connection: that works on it; `interrupt()` ends it from another thread.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    as_of: datetime
    connection: duckdb.DuckDBPyConnection

    def table(self) -> pa.Table:
        """All rows, in memory."""
        return pa.Table.from_batches(self.batches, self.schema)


def sql(tenant: str, query: str, as_of: str | date | None = None) -> "pd.DataFrame":
    """Ask a tenant's tables, from a notebook: `sql("demo", "select count(*) from messages")`.

    Args:
        tenant: its name in `params.yaml`.
        query: one SELECT in DuckDB's dialect, over the tables that `leadwise sql --tables` lists.
        as_of: a day (the midnight it begins with) or an instant, UTC; None is everything.

    Raises:
        ConfigError: an unknown tenant, or no day and no instant.
        NotReady: nothing was published yet.
        SqlError: see `ask`.
    """
    from expectations.contract import load_contracts
    from pipelines.core.interval import parse_instant
    from pipelines.core.tenant import Tenant

    whose = Tenant.load(tenant)
    instant = None if as_of is None else parse_instant(as_of)
    with ask(Lake(whose), load_contracts(whose.contracts_dir), query, instant) as answer:
        found: pd.DataFrame = answer.table().to_pandas()
        return found


@contextmanager
def ask(lake: Lake, contracts: "Mapping[str, Contract]", sql: str, as_of: datetime | None = None) -> Iterator[Answer]:
    """Run one SELECT over the tables of `shown`.

    Args:
        lake: of the tenant.
        contracts: by table.
        sql: in DuckDB's dialect.
        as_of: naive UTC instant; clean tables hold what had arrived by then, features, scores and drift what had been
            computed. None is everything.

    Raises:
        NotReady: nothing was published yet.
        SqlError: anything but one SELECT over these tables, an unknown table or column, or a failure while it runs.
    """
    tables = shown(lake, contracts)
    _check(sql, tables)
    used = {name: tables[name] for name in tables if name.lower() in _named(sql)}
    instant = as_of or newest(lake, contracts)
    with duckdb.connect(config={"threads": lake.tenant.settings.threads}) as connection:
        connection.execute(f"SET temp_directory = '{lake.tenant.home / 'tmp' / 'duckdb'}'")
        connection.execute("SET TimeZone = 'UTC'")
        with suppress(duckdb.InvalidInputException):  # a notebook without widgets has no bar to switch off
            connection.execute("SET enable_progress_bar = false")  # it would be drawn into the answer
        connection.execute("SET VARIABLE as_of = $as_of::TIMESTAMP", {"as_of": instant})
        _make_views(connection, lake, used, bounded=as_of is not None)
        close(connection)
        with _sentences(sql, used):
            relation = connection.sql(bare(sql))
            schema = relation.limit(0).to_arrow_table().schema
        batches = _told(relation, schema, sql, used)
        try:
            yield Answer(schema, batches, instant, connection)
        finally:
            batches.close()


def _check(sql: str, tables: Mapping[str, Shown]) -> None:
    """Raise SqlError where the SQL is not one SELECT over the tables."""
    with suppress(SqlglotError):  # told below
        for name in sorted(_named(sql)):
            if name.startswith(_PERSONAL):
                raise SqlError(
                    f"{QUERY}: '{name}' holds personal data and can't be asked:"
                    " ask the clean tables, which have a lead id in the place of a phone"
                )
            if "." in name and name not in {one.lower() for one in tables}:
                raise SqlError(f"{QUERY}: there is no table '{name}': {nearest(name, tables)}")
    check_sql(sql, QUERY, tables, params=())


def _named(sql: str) -> set[str]:
    """The tables that the SQL names, in lower case, with their schema where it says one."""
    found = sqlglot.parse_one(sql, dialect="duckdb").find_all(exp.Table)
    return {".".join(part for part in (one.catalog, one.db, one.name) if part).lower() for one in found}


def _make_views(connection: duckdb.DuckDBPyConnection, lake: Lake, used: Mapping[str, Shown], bounded: bool) -> None:
    connection.execute("CREATE SCHEMA _store")
    for namespace in sorted({name.partition(".")[0] for name in used if "." in name}):
        connection.execute(f'CREATE SCHEMA "{namespace}"')
    files = {name: _files(lake, one.table) for name, one in used.items()}
    every = [path for paths in files.values() for path in paths or ()]
    allowed = ", ".join(literal(path) for path in every)
    connection.execute(f"SET allowed_paths = [{allowed}]")
    for number, (name, one) in enumerate(used.items()):
        stored = f"_store.t{number}"
        _store(connection, lake, one, stored, files[name])
        made = _versions(one.contract, stored) if one.contract else _listed(one, stored, bounded)
        connection.execute(f"CREATE VIEW {_quoted(name)} AS {made}")


def _store(connection: duckdb.DuckDBPyConnection, lake: Lake, one: Shown, stored: str, files: list[str] | None) -> None:
    """A view of a table's rows as the lake has them; a copy where its files can't be read one by one."""
    table = lake.table(one.table)
    names = _names(table, one)
    connection.register("_columns", _columns(table, one, names).empty_table())
    connection.execute(f"CREATE TABLE {stored}_columns AS SELECT * FROM _columns")
    connection.unregister("_columns")
    # The empty table gives names and types: what is stored may lack a column that came later.
    rows = f"SELECT * FROM {stored}_columns"
    if files is None:
        connection.register("_rows", lake.scan(one.table))
        connection.execute(f"CREATE TABLE {stored}_rows AS SELECT * FROM _rows")
        connection.unregister("_rows")
        shown = ", ".join(f'"{name}" AS "{names[name]}"' for name in names)
        rows += f" UNION ALL BY NAME SELECT {shown} FROM {stored}_rows"
    elif files and table is not None:
        rows += f" UNION ALL BY NAME SELECT * FROM {read_parquet(files, table.schema(), names)}"
    try:
        connection.execute(f"CREATE VIEW {stored} AS {rows}")
    except duckdb.IOException:
        raise LeadwiseError(
            f"a data file of table '{one.name}' in {lake.tenant.lake_url} is gone or can't be read:"
            " run the step that writes the table again over all its days"
        ) from None


def _names(table: "Table | None", one: Shown) -> dict[str, str]:
    """What to call each stored column: as the contract of today does, also where it was not applied yet."""
    if table is None:
        return {}
    names = {name: name for name in table.schema().column_names}
    if one.contract is not None:
        names |= {held: name for name, held in stored_names(table, one.contract).items() if held is not None}
    return names


def _columns(table: "Table | None", one: Shown, names: Mapping[str, str]) -> pa.Schema:
    """Columns as the lake has them, and those that the contract has beyond, in the contract's types."""
    declared = [*one.contract.clean_schema(), *SYSTEM] if one.contract else []
    stored = [] if table is None else [pa.field(names[name], kind) for name, kind in columns_of(table).items()]
    known = {field.name for field in declared}
    return pa.schema([*declared, *(field for field in stored if field.name not in known)])


def _files(lake: Lake, name: str) -> list[str] | None:
    """Paths of a table's data files; None where they can't be read one by one."""
    table = lake.table(name)
    return [] if table is None else local_files(table.scan().plan_files())


def _versions(contract: "Contract", stored: str) -> str:
    """For each key the newest version that had arrived, as `AsOf` has it."""
    columns = ", ".join(known(contract, name) for name in contract.clean_columns)
    keys = ", ".join(f'"{key}"' for key in contract.keys)
    order = ", ".join(f"{name} DESC" for name in ORDER)
    return (
        f"SELECT {columns} FROM {stored} WHERE _arrived_at <= getvariable('as_of')"
        f" QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) = 1"
    )


def _listed(one: Shown, stored: str, bounded: bool) -> str:
    """The rows that there are, up to the instant where one is given."""
    names = [name for name, _ in one.columns]
    if one.table.startswith("quarantine."):
        columns = ", ".join(f'"{name}" AS "{name.lstrip("_")}"' for name in QUARANTINE)
        limit = "_arrived_at"
    else:
        columns = ", ".join(f'"{name}"' for name in names)
        limit = "as_of" if "as_of" in names else "date + INTERVAL 1 DAY" if "date" in names else ""
    where = f" WHERE {limit} <= getvariable('as_of')" if bounded and limit else ""
    return f"SELECT {columns} FROM {stored}{where}"


def _told(
    relation: duckdb.DuckDBPyRelation, schema: pa.Schema, sql: str, used: Mapping[str, Shown]
) -> Generator[pa.RecordBatch, None, None]:
    """The batches of a result, with sentences instead of DuckDB's errors; the query starts with the first one."""
    with _sentences(sql, used):
        for batch in relation.to_arrow_reader(ROWS):
            # Of columns with one name the reader repeats it, where the schema tells them apart.
            yield batch.rename_columns(schema.names)


@contextmanager
def _sentences(sql: str, used: Mapping[str, Shown]) -> Iterator[None]:
    try:
        yield
    except duckdb.InterruptException:
        raise
    except (duckdb.Error, OSError) as error:
        absent = _ABSENT.search(str(error))
        if absent is None:
            raise failed(error, sql, QUERY) from None
        names = sorted({name for one in used.values() for name, _ in one.columns})
        raise SqlError(
            f"{QUERY}: there is no column '{absent[1]}' in what it reads: {nearest(absent[1], names)}"
        ) from None


def _quoted(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))
