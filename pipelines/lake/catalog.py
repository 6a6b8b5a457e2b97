"""Iceberg tables of one tenant: written once per batch, read by snapshot."""

import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from itertools import chain, count

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, ValidationException
from pyiceberg.expressions import AlwaysTrue, BooleanExpression, In
from pyiceberg.io.pyarrow import _dataframe_to_data_files, bin_pack_record_batches
from pyiceberg.table import DataScan, Table, Transaction
from sqlalchemy.exc import DBAPIError

from pipelines.core.errors import Busy, ConfigError, LeadwiseError
from pipelines.core.stores import sentences
from pipelines.core.tenant import Tenant
from pipelines.lake.access import opened
from pipelines.lake.fields import plain as plain
from pipelines.lake.fields import refit
from pipelines.lake.reading import by_file, planned, streamed

NAMESPACES = ("raw", "clean", "quarantine", "identity", "features", "deliver", "watch")

# Files of this size (Arrow bytes in memory) keep a streamed write flat in memory.
_FILE_BYTES = 64 * 1024 * 1024
_PROPERTIES = {
    "write.target-file-size-bytes": str(_FILE_BYTES),
    "commit.retry.num-retries": "20",
    "commit.retry.min-wait-ms": "10",
    "commit.retry.max-wait-ms": "500",
}

Batches = Iterable[pa.Table]


class Lake:
    """Tables named `<namespace>.<table>` in the tenant's catalog.

    Attributes:
        fixed: whether it is read at versions that were given, with the columns of their time.
    """

    fixed = False

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant

    def _sentences(self, name: str) -> AbstractContextManager[None]:
        return sentences(f"table {name} of tenant '{self.tenant.name}'", self.tenant.lake_url)

    @cached_property
    def catalog(self) -> SqlCatalog:
        """The Iceberg catalog, created with its namespaces where it is missing."""
        settings, folder = self.tenant.settings, self.tenant.lake_dir
        if settings.lake_url:
            folder = self.tenant.home
        try:
            if not (settings.lake_url and settings.catalog_url):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the folder {folder} can't be written ({error.strerror}): make room there or set LEADWISE_VAR"
            ) from None
        with sentences(f"catalog of tenant '{self.tenant.name}'", self.tenant.lake_url):
            for pause in (0.1, 0.2, 0.4):
                with suppress(DBAPIError):  # another process makes the same tables and namespaces at this moment
                    return self._opened()
                time.sleep(pause)
            return self._opened()

    def _opened(self) -> SqlCatalog:
        catalog = opened(self.tenant)
        for namespace in NAMESPACES:
            catalog.create_namespace_if_not_exists(namespace)
        return catalog

    @property
    def _begun(self) -> bool:
        """Whether there may be tables: a look at a local lake that was never written makes none."""
        return self.tenant.served or self.tenant.lake_dir.is_dir()

    def table(self, name: str) -> Table | None:
        """The Iceberg table, or None where nothing was written yet."""
        if not self._begun:
            return None
        with self._sentences(name):
            try:
                return self.catalog.load_table(name)
            except NoSuchTableError:
                return None

    def names(self, namespace: str) -> list[str]:
        """Tables of a namespace, without it, sorted."""
        if not self._begun:
            return []
        with sentences(f"catalog of tenant '{self.tenant.name}'", self.tenant.lake_url):
            return sorted(identifier[-1] for identifier in self.catalog.list_tables(namespace))

    def exists(self, name: str) -> bool:
        """Whether the table was ever written."""
        return self.table(name) is not None

    def snapshot_id(self, name: str) -> int | None:
        """Id of the newest snapshot; None for an unwritten or empty table."""
        table = self.table(name)
        snapshot = table.current_snapshot() if table else None
        return snapshot.snapshot_id if snapshot else None

    def write(
        self,
        name: str,
        schema: pa.Schema,
        batches: Batches,
        *,
        replace: tuple[str, Sequence[object]] | BooleanExpression,
        summary: dict[str, str] | None = None,
        properties: dict[str, str] | None = None,
        exact: bool = False,
    ) -> int | None:
        """Replace part of a table in one commit: a killed or repeated write never leaves half of it.

        Args:
            name: `<namespace>.<table>`, created where it is missing.
            schema: Arrow schema of the batches; new columns are added to the table.
            batches: rows, streamed: memory stays at one data file.
            replace: rows that these ones take the place of: (column, values) or an Iceberg expression.
            summary: properties of the snapshot.
            properties: of the table, set in the same commit.
            exact: give the table these columns and no others; only where `replace` is all of its rows.

        Returns:
            Id of the table's newest snapshot, None if it never held a row.

        Raises:
            LeadwiseError: a column changed its type, or the disk is full.
            StoreUnreachable: a server went away; what was published before stays, and nothing of these rows is.
            Busy: other writers were faster each time.
        """
        stale = In(replace[0], list(replace[1])) if isinstance(replace, tuple) else replace
        with self._sentences(name):
            try:
                table = self._prepare(name, schema, properties or {}, exact)
                return _replace(table, schema, batches, stale, summary or {}, properties or {}, exact)
            except (CommitFailedException, ValidationException):
                raise Busy(
                    f"another writer changed table {name} of tenant '{self.tenant.name}' at the same time:"
                    " nothing of these rows was published, run this again"
                ) from None

    def _prepare(self, name: str, schema: pa.Schema, properties: dict[str, str], exact: bool) -> Table:
        table = self.table(name)
        if table is None:
            return self.catalog.create_table_if_not_exists(name, schema=schema, properties=_PROPERTIES | properties)
        if exact:
            return table
        known = table.schema().as_arrow()
        if set(schema.names) - set(known.names):
            with table.update_schema() as update:
                update.union_by_name(schema)
            known = table.schema().as_arrow()
        for field in schema:
            stored = known.field(field.name).type
            if plain(stored) != plain(field.type):
                raise LeadwiseError(
                    f"column '{field.name}' of table {name} is {plain(stored)}, and the new rows have"
                    f" {plain(field.type)}:"
                    " bring the source back to the old type, or start over in an empty LEADWISE_VAR"
                )
        return table

    def scan(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        where: BooleanExpression | str | None = None,
        snapshot_id: int | None = None,
    ) -> pa.RecordBatchReader:
        """Stream a table's rows.

        Args:
            name: `<namespace>.<table>`.
            columns: which ones; None is all.
            where: an Iceberg expression or its text.
            snapshot_id: the version to read, with the columns of its time; None is the newest.

        Raises:
            LeadwiseError: nothing was written to that table yet.
        """
        return streamed(*self.planned(name, columns=columns, where=where, snapshot_id=snapshot_id))

    def planned(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        where: BooleanExpression | str | None = None,
        snapshot_id: int | None = None,
    ) -> tuple[Table, DataScan]:
        """What `scan` reads: the table, and which of its files and columns."""
        table = self.table(name)
        if table is None:
            raise LeadwiseError(
                f"tenant '{self.tenant.name}' has no table {name} yet: run the step that writes it first"
            )
        return table, planned(table, columns, where, snapshot_id)

    def read(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        where: BooleanExpression | str | None = None,
        snapshot_id: int | None = None,
    ) -> pa.Table:
        """`scan`, in memory at once."""
        return self.scan(name, columns=columns, where=where, snapshot_id=snapshot_id).read_all()

    def count(self, name: str, where: BooleanExpression | str | None = None) -> int:
        """Rows of a table; 0 where it does not exist."""
        table = self.table(name)
        with self._sentences(name):
            return table.scan(row_filter=AlwaysTrue() if where is None else where).count() if table else 0


def _replace(
    table: Table,
    schema: pa.Schema,
    batches: Batches,
    stale: BooleanExpression,
    summary: dict[str, str],
    properties: dict[str, str],
    exact: bool,
) -> int | None:
    stream = (batch.cast(schema) if batch.schema != schema else batch for batch in batches if batch.num_rows)
    first = next(iter_ := iter(stream), None)
    with table.transaction() as transaction, warnings.catch_warnings():
        # Replacing nothing is the ordinary first write, not worth a warning.
        warnings.filterwarnings("ignore", message="Delete operation did not match")
        if exact:
            refit(transaction, schema)
        if any(table.properties.get(key) != value for key, value in properties.items()):
            transaction.set_properties(properties)
        if table.current_snapshot() is not None:
            transaction.delete(stale, snapshot_properties=summary)
        if first is not None:
            _append(transaction, table, _record_batches(chain([first], iter_)), summary)
    snapshot = table.current_snapshot()
    return snapshot.snapshot_id if snapshot else None


def _record_batches(tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    for table in tables:
        yield from table.to_batches()


def _append(transaction: Transaction, table: Table, batches: Iterator[pa.RecordBatch], summary: dict[str, str]) -> None:
    """Write one data file after the other and commit them together.

    Given the whole stream, PyIceberg hands every file's rows to its pool before the first is written.
    """
    counter = count()
    with transaction.update_snapshot(snapshot_properties=summary).fast_append() as snapshot:
        for part in bin_pack_record_batches(batches, _FILE_BYTES):
            for file in _dataframe_to_data_files(
                table_metadata=transaction.table_metadata,
                df=pa.Table.from_batches(part),
                io=table.io,
                write_uuid=snapshot.commit_uuid,
                counter=counter,
            ):
                snapshot.append_data_file(file)


def write_anew(transaction: Transaction, table: Table, names: dict[str, str]) -> None:
    """Replace all rows of a table by themselves, in the columns that the transaction gave it.

    Memory stays at one data file.

    Args:
        transaction: on the table; its columns are those of now.
        table: as it was before.
        names: of each column that has values, its name before.
    """
    columns = transaction.table_metadata.schema().as_arrow()
    schema = pa.schema([pa.field(field.name, plain(field.type)) for field in columns])

    def rows() -> Iterator[pa.RecordBatch]:
        for batch in by_file(table, table.scan()):
            arrays = [
                batch.column(names[field.name]).cast(field.type)
                if field.name in names
                else pa.nulls(batch.num_rows, field.type)
                for field in schema
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    summary = {"leadwise.written": "anew"}
    transaction.delete(AlwaysTrue(), snapshot_properties=summary)
    _append(transaction, table, rows(), summary)
