"""Runs a mapping over the collected batches and hands out typed chunks, in flat memory."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expectations.rules import UNIQUE_RULES
from feature_repo.sql import failed
from pipelines.quality.sources import Collected

if TYPE_CHECKING:
    from expectations.contract import Contract
    from feature_repo.mappings import MappingSql
    from pipelines.core.errors import LeadwiseError
    from pipelines.lake.catalog import Lake

HASH = "_hash_"

# What DuckDB says of rows, also where Arrow passes it on; the machine's troubles are not the SQL's.
_OF_ROWS = re.compile(r"(Conversion|Out of Range|Invalid Input|Binder|Constraint|Invalid Type|Mismatch Type) Error")


@dataclass(frozen=True)
class Mapped:
    """One contract table's mapping, ready to run.

    Attributes:
        contract: what the rows have to keep.
        mapping: its SQL as it stands in its file.
        sources: what was collected, by name.
        sql: typed SELECT around the mapping: contract columns, texts of unreadable cells, lineage, latest instant,
            hashes.
        runs: batch ids of each run: all at once where rows stand alone, else batch by batch.
        streamed: the one source that is read as a stream; None loads the sources first.
        narrow: a SELECT of the hashes, and the source columns it needs (None: all).
        dated_by_run: whether rows that say nothing of arrival arrive at the end of the run that reads them, not of a
            day or file of their own.
    """

    contract: "Contract"
    mapping: "MappingSql"
    sources: Mapping[str, Collected]
    sql: str
    runs: tuple[tuple[str, ...], ...]
    streamed: str | None
    narrow: tuple[str, tuple[str, ...] | None]
    dated_by_run: bool

    @property
    def batches(self) -> tuple[str, ...]:
        """All batch ids that these rows replace."""
        return tuple(batch for run in self.runs for batch in run)

    @property
    def has_files(self) -> bool:
        """Whether there is anything to run on."""
        return any(source.files for source in self.sources.values())

    def chunks(self, lake: "Lake", rows: int) -> Iterator[pa.Table]:
        """The typed rows, about `rows` at once."""
        yield from _gathered(self._run(lake, self.sql, None, rows), rows)

    def repeated(self, lake: "Lake", groups: int) -> list[npt.NDArray[np.uint64]]:
        """Hashes that occur more than once, for each group of columns: a superset of the keys that do."""
        sql, columns = self.narrow
        found: list[list[npt.NDArray[np.uint64]]] = [[] for _ in range(groups)]
        for chunk in self._run(lake, sql, columns, 1_000_000):
            for number in range(groups):
                found[number].append(chunk[f"{HASH}{number}"].to_numpy())
        return [_repeated(parts) for parts in found]

    def _run(self, lake: "Lake", sql: str, columns: Sequence[str] | None, rows: int) -> Iterator[pa.Table]:
        for run in self.runs:
            with spilling(lake) as connection:
                self._load(connection, lake, run, columns)
                batch = run[0].replace("'", "''") if len(run) == 1 else ""
                try:
                    for part in connection.sql(sql.replace("$batch", f"'{batch}'")).to_arrow_reader(rows):
                        if part.num_rows:
                            yield pa.Table.from_batches([part])
                except (duckdb.Error, OSError) as error:
                    if not _OF_ROWS.match(str(error)) or "get_next failed" in str(error):
                        raise
                    raise self._failed(lake, run, error) from None

    def _load(
        self, connection: duckdb.DuckDBPyConnection, lake: "Lake", run: tuple[str, ...], columns: Sequence[str] | None
    ) -> None:
        """Give `connection` the rows of a run, and nothing else."""
        for name, source in self.sources.items():
            reader = source.rows(lake, run if set(run) <= set(source.batches) else None, columns)
            if name == self.streamed:
                connection.register(name, reader)
            else:
                connection.register("_incoming", reader)
                connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM _incoming').fetchall()
                connection.unregister("_incoming")
        _lock(connection)

    def _failed(self, lake: "Lake", run: tuple[str, ...], error: duckdb.Error | OSError) -> "LeadwiseError":
        """The sentence about a run that failed; the mapping is run as it is written, for its line."""
        mapping = self.mapping
        with spilling(lake) as connection:
            self._load(connection, lake, run, None)
            try:
                for _ in connection.sql(mapping.sql).to_arrow_reader(10_000):
                    pass
            except (duckdb.Error, OSError) as again:
                if _OF_ROWS.match(str(again)):
                    return failed(again, mapping.sql, mapping.path, mapping.first_line)
        text = str(error).split("\nLINE ")[0]  # a line of the SQL around the mapping says nothing
        return failed(duckdb.Error(text), mapping.sql, mapping.path, max(mapping.first_line, 1))


def _gathered(parts: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Small batches put together, so that a chunk is worth its overhead."""
    waiting: list[pa.Table] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += part.num_rows
        if size >= rows:
            yield pa.concat_tables(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def _repeated(parts: list[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    if not parts:
        return np.empty(0, dtype=np.uint64)
    values = np.concatenate(parts)
    parts.clear()
    values.sort()
    return np.unique(values[1:][values[1:] == values[:-1]])


def alike(contract: "Contract") -> list[tuple[str, ...]]:
    """Groups of columns by which rows are alike: the key, then those of each rule that compares rows."""
    keys = tuple(column.name for column in contract.columns if column.key)
    return [keys, *(rule.columns for rule in contract.expectations if rule.type in UNIQUE_RULES)]


@contextmanager
def spilling(lake: "Lake") -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB for one task, that spills into the tenant's folder."""
    tenant = lake.tenant
    with duckdb.connect(config={"threads": tenant.settings.threads}) as connection:
        connection.execute(f"SET temp_directory = '{tenant.home / 'tmp' / 'duckdb'}'").fetchall()
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        yield connection


def _lock(connection: duckdb.DuckDBPyConnection) -> None:
    """From here on the SQL sees its views and nothing else."""
    for setting, value in (
        ("enable_external_access", "false"),
        ("python_enable_replacements", "false"),
        ("lock_configuration", "true"),
    ):
        connection.execute(f"SET {setting} = {value}").fetchall()
