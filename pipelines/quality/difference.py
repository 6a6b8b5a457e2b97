"""What sending batches through the gate again would change: rows by rule, shares, and the days that differ."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.expressions import In

from pipelines.lake.evolve import as_of_today
from pipelines.quality.mapped import spilling

if TYPE_CHECKING:
    import duckdb

    from pipelines.lake.catalog import Lake
    from pipelines.quality.gate import Outcome
    from pipelines.quality.staging import Stage

ROW = ("_batch_id", "_source_file", "_source_row")
"""What tells one source row from another."""

_WALL_CLOCK = "_loaded_at"
_KEYS = ", ".join(f'"{name}"' for name in ROW)


@dataclass
class ByRule:
    """Rows of one rule and column.

    Attributes:
        before: rows it had put into quarantine.
        still: those of them that are in quarantine now, by whatever rule.
        released: those of them that are clean now.
        newly: rows that it puts into quarantine now and that were not there before.
    """

    before: int = 0
    still: int = 0
    released: int = 0
    newly: int = 0

    @property
    def left_out(self) -> int:
        """Those that are neither: they repeat another row, or the mapping leaves them out."""
        return self.before - self.still - self.released

    def add(self, other: "ByRule") -> None:
        """Count the rows of other batches in."""
        self.before += other.before
        self.still += other.still
        self.released += other.released
        self.newly += other.newly


@dataclass
class Difference:
    """A table before and after.

    Attributes:
        rules: by rule and column.
        clean_before, clean_after, bad_before, bad_after: rows in the clean table and in quarantine.
        days: on which rows arrived that are in one of the two clean tables only.
        changed: whether anything differs, in the clean table or in quarantine.
    """

    rules: dict[tuple[str, str], ByRule] = field(default_factory=dict)
    clean_before: int = 0
    clean_after: int = 0
    bad_before: int = 0
    bad_after: int = 0
    days: set[date] = field(default_factory=set)
    changed: bool = False

    def add(self, other: "Difference") -> None:
        """Count other batches of the same table in."""
        for name, rows in other.rules.items():
            self.rules.setdefault(name, ByRule()).add(rows)
        self.clean_before += other.clean_before
        self.clean_after += other.clean_after
        self.bad_before += other.bad_before
        self.bad_after += other.bad_after
        self.days |= other.days
        self.changed |= other.changed

    @property
    def shares(self) -> tuple[float, float]:
        """The share of rows in quarantine, before and after."""
        return (
            self.bad_before / max(self.bad_before + self.clean_before, 1),
            self.bad_after / max(self.bad_after + self.clean_after, 1),
        )


def difference(lake: "Lake", outcome: "Outcome") -> Difference:
    """Hold what the gate let through and what it refused against what the lake has of the same batches.

    Memory grows with the rows in quarantine alone: clean rows are streamed.
    """
    batches = outcome.mapped.batches
    with spilling(lake) as connection:
        _keep(connection, "before", _stored(lake, f"quarantine.{outcome.name}", batches), outcome.bad.schema)
        _keep(connection, "after", outcome.bad.reader(), outcome.bad.schema)
        _found(connection, outcome.clean)
        schema = outcome.clean.schema
        system = pa.schema([field for field in schema if field.name.startswith("_")])
        stored = as_of_today(lake, outcome.contract, system, In("_batch_id", list(batches)))
        old = _by_day(connection, stored, schema)
        new = _by_day(connection, outcome.clean.reader(), schema)
        days = {day for day in old.keys() | new.keys() if old.get(day) != new.get(day)}
        [[bad_before]], [[bad_after]] = (
            connection.sql(f'SELECT count(*) FROM "{name}"').fetchall() for name in ("before", "after")
        )
        other = "(SELECT * FROM {} EXCEPT ALL SELECT * FROM {})"
        sides = (other.format("before", "after"), other.format("after", "before"))
        unequal = any(connection.sql(f"SELECT 1 FROM {side} LIMIT 1").fetchall() for side in sides)
        return Difference(
            rules=_by_rule(connection),
            clean_before=sum(rows for rows, _ in old.values()),
            clean_after=sum(rows for rows, _ in new.values()),
            bad_before=int(bad_before),
            bad_after=int(bad_after),
            days=days,
            changed=bool(days) or unequal,
        )


def _by_rule(connection: "duckdb.DuckDBPyConnection") -> dict[tuple[str, str], ByRule]:
    rules: dict[tuple[str, str], ByRule] = {}
    went = connection.sql(
        f'SELECT rule, "column", count(*), count(*) FILTER (a._in), count(*) FILTER (a._in IS NULL AND c._in)'
        f" FROM before LEFT JOIN (SELECT DISTINCT {_KEYS}, true AS _in FROM after) AS a USING ({_KEYS})"
        f" LEFT JOIN (SELECT DISTINCT {_KEYS}, true AS _in FROM found) AS c USING ({_KEYS}) GROUP BY ALL"
    )
    for rule, column, before, still, released in went.fetchall():
        rules[(rule, column)] = ByRule(before, still, released)
    came = connection.sql(f'SELECT rule, "column", count(*) FROM after ANTI JOIN before USING ({_KEYS}) GROUP BY ALL')
    for rule, column, newly in came.fetchall():
        rules.setdefault((rule, column), ByRule()).newly = newly
    return rules


def _keep(
    connection: "duckdb.DuckDBPyConnection", name: str, rows: pa.RecordBatchReader | None, schema: pa.Schema
) -> None:
    """A table of quarantined rows, without the wall clock."""
    connection.register("_rows", schema.empty_table() if rows is None else rows)
    connection.execute(f'CREATE TABLE "{name}" AS SELECT * EXCLUDE ("{_WALL_CLOCK}") FROM _rows').fetchall()
    connection.unregister("_rows")


def _found(connection: "duckdb.DuckDBPyConnection", clean: "Stage") -> None:
    """Those of the rows that were in quarantine which are clean now."""
    connection.register("_rows", clean.reader())
    connection.execute(f"CREATE TABLE found AS SELECT {_KEYS} FROM _rows SEMI JOIN before USING ({_KEYS})").fetchall()
    connection.unregister("_rows")


def _by_day(
    connection: "duckdb.DuckDBPyConnection", rows: pa.RecordBatchReader | None, schema: pa.Schema
) -> dict[date, tuple[int, int]]:
    """Rows by the day they arrived on, and a sum over all their cells that tells two sets of rows apart.

    What arrives at midnight counts as of that very midnight, so it belongs to the day that ends then.
    """
    if rows is None:
        return {}
    names = sorted({*schema.names, *rows.schema.names} - {_WALL_CLOCK})
    cells = ", ".join(f'"{name}"' if name in rows.schema.names else "NULL" for name in names)
    connection.register("_rows", rows)
    found: list[tuple[Any, ...]] = connection.sql(
        f"SELECT CAST(_arrived_at - INTERVAL 1 microsecond AS DATE), count(*), sum(hash({cells})) FROM _rows GROUP BY 1"
    ).fetchall()
    connection.unregister("_rows")
    return {day: (int(count), int(total)) for day, count, total in found}


def _stored(lake: "Lake", name: str, batches: Sequence[str]) -> pa.RecordBatchReader | None:
    return lake.scan(name, where=In("_batch_id", list(batches))) if lake.exists(name) else None
