"""The audience in a table of somebody else's database: a date is replaced in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from pipelines.core.connections import Connection, resolve
from pipelines.core.errors import ConfigError, LeadwiseError, StoreUnreachable

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.core.audience_params import TableParams
    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant

_ROWS = 5_000
_WAIT = 10
"""Seconds for a connection."""


def publish(tenant: Tenant, interval: Interval, where: TableParams, files: Sequence[Path]) -> int:
    """Put the rows of a date in the place of those that the table has of it; returns their number.

    Readers see the date as it was, or as it is. The table is made where it is missing, with the columns of the files
    and before them `tenant` and `date`, and never altered.

    Args:
        tenant: whose audience; rows of others stay.
        interval: its label is the date.
        where: the table.
        files: Parquet, of one shape; phones in them stay there.

    Raises:
        ConfigError: there is no such connection, it is no database, or its driver is missing.
        StoreUnreachable: the database does not answer or broke off: the table is as it was.
        LeadwiseError: it refuses the rows, such as those of a table with other columns: the table is as it was.
    """
    connection, day = resolve(where.connection), date.fromisoformat(interval.label)
    fields = [field for field in pq.read_schema(files[0]) if field.name != "phone"]
    with _engine(connection) as engine, _sentences(connection, where), engine.begin() as session:
        table = _table(where, fields)
        table.create(session, checkfirst=True)
        mine = (table.c.tenant == tenant.name) & (table.c.date == day)
        session.execute(table.delete().where(mine))
        rows = 0
        for part in _parts(files, [field.name for field in fields]):
            about = {"tenant": tenant.name, "date": day}
            session.execute(table.insert(), [{**about, **row} for row in part])
            rows += len(part)
    return rows


def _parts(files: Sequence[Path], names: list[str]) -> Iterator[list[dict[str, Any]]]:
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS, columns=names):
                if batch.num_rows:
                    yield batch.to_pylist()


def _table(where: TableParams, fields: Sequence[pa.Field]) -> sa.Table:
    columns = [sa.Column(field.name, _type(field.type)) for field in fields]
    return sa.Table(
        where.name,
        sa.MetaData(schema=where.db_schema),
        sa.Column("tenant", sa.String(128), nullable=False, index=True),
        sa.Column("date", sa.Date, nullable=False, index=True),
        *columns,
    )


def _type(kind: pa.DataType) -> Any:
    if pa.types.is_floating(kind):
        return sa.Double
    if pa.types.is_integer(kind):
        return sa.BigInteger
    if pa.types.is_boolean(kind):
        return sa.Boolean
    if pa.types.is_timestamp(kind):
        return sa.DateTime
    return sa.Date if pa.types.is_date(kind) else sa.Text


@contextmanager
def _engine(connection: Connection) -> Iterator[sa.Engine]:
    if connection.url is None:
        raise ConfigError(f"{connection} is no database: an audience's table needs one")
    waits = {"connect_timeout": _WAIT} if connection.kind == "postgresql" else {}
    try:
        engine = sa.create_engine(connection.url, poolclass=sa.NullPool, connect_args=waits)
    except (sa.exc.NoSuchModuleError, ModuleNotFoundError):
        raise ConfigError(
            f"{connection} needs a driver that is not installed: install the Python driver of that database"
        ) from None
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _sentences(connection: Connection, where: TableParams) -> Iterator[None]:
    try:
        yield
    except (sa.exc.DBAPIError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        if isinstance(error, OSError) or error.connection_invalidated or _passing(cause):
            raise StoreUnreachable(
                f"{connection} does not answer or broke off: its table '{where.name}' is as it was, the files of the"
                " audience are written; run again when it is back"
            ) from None
        raise LeadwiseError(
            f"{connection} refuses the rows of the audience for table '{where.name}' ({type(cause).__name__}): let its"
            " columns be those of audience.yaml, with tenant and date, or drop the table and let it be made anew"
        ) from None


def _passing(cause: BaseException) -> bool:
    """Whether the trouble may go away by itself: SQLite says the same of a missing column and of a lock."""
    text = str(cause)
    return type(cause).__name__ in ("OperationalError", "InterfaceError") and "column" not in text
