"""What the stored feature rows were computed from, so that a row that arrives afterwards under an old time is noticed.

Arrival is logical: a batch loaded for an old day arrives on that day, which may lie before instants that were computed
already. So a run keeps, for each clean table and midnight, a fingerprint of the rows that count from then on. The next
run finds the first midnight that changed, whatever changed it, and computes from there up to where features stand. A
step that ran again and wrote equal rows changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, NotEqualTo

from pipelines.collect.files import BULK
from pipelines.core.interval import Interval, utc_now
from pipelines.lake.versions import MARK, stored

if TYPE_CHECKING:
    from expectations.contract import Contract
    from pipelines.lake.catalog import Lake

ARRIVALS = "watch.arrivals"
"""The table that holds the fingerprints of the last run."""

_TIME = pa.timestamp("us")
_SCHEMA = pa.schema(
    [
        ("table", pa.string()),
        ("counts_from", _TIME),
        ("rows", pa.int64()),
        ("fingerprint", pa.string()),
        ("computed_from", _TIME),
        ("computed_to", _TIME),
        ("_loaded_at", _TIME),
    ]
)
_DAY = timedelta(days=1)
_Prints = dict[tuple[str, datetime], tuple[int, str]]


@dataclass(frozen=True)
class Known:
    """What features were computed from: fingerprints by table and midnight, and the first and last instant computed."""

    prints: _Prints
    first: datetime
    last: datetime


def due(lake: "Lake", now: _Prints, interval: Interval) -> tuple[Interval, list[str]]:
    """The interval that a run has to compute, and a sentence if it is longer than the one asked for.

    Args:
        lake: of the tenant; it holds what the last run was computed from, if there was one.
        now: from `fingerprints`.
        interval: asked for.
    """
    known = _known(lake)
    if known is None:
        return interval, []
    changed = sorted(
        (day, table) for table, day in now.keys() | known.prints.keys() if _differs(now, known, table, day)
    )
    if not changed or changed[0][0] > known.last:
        return interval, []
    first = max(changed[0][0], known.first)
    start = first if first == known.first else first - _DAY
    wider = Interval(min(start, interval.start), max(known.last, interval.end))
    if wider == interval:
        return interval, []
    tables = ", ".join(sorted({table for day, table in changed if day <= known.last}))
    told = (
        f"rows of {tables} that count from {changed[0][0]:%Y-%m-%d} on came, changed or went after features were"
        f" computed up to {known.last:%Y-%m-%d}: these days were computed again"
    )
    return wider, [told]


def remember(lake: "Lake", now: _Prints, interval: Interval) -> None:
    """Keep what the rows of `interval` were computed from; killed before, the next run computes them again."""
    known = _known(lake)
    first = min(known.first, interval.start) if known else interval.start
    last = max(known.last, interval.end) if known else interval.end
    rows = [
        {"table": table, "counts_from": day, "rows": count, "fingerprint": text, "computed_from": first,
         "computed_to": last, "_loaded_at": utc_now()}
        for (table, day), (count, text) in sorted(now.items())
    ]  # fmt: skip
    lake.write(ARRIVALS, _SCHEMA, [pa.Table.from_pylist(rows, _SCHEMA)], replace=AlwaysTrue())


def fingerprints(lake: "Lake", connection: duckdb.DuckDBPyConnection, contracts: "Mapping[str, Contract]") -> _Prints:
    """Number and fingerprint of the rows that count from a midnight on, by table.

    A row counts from the first midnight at or after its arrival on, unless a newer version of its key does too.

    Args:
        lake: of the tenant.
        connection: of an `AsOf` that was loaded with `marks`.
        contracts: of the tables it holds.
    """
    found: _Prints = {}
    for name, contract in contracts.items():
        if _arrives_anew(lake, contract):
            continue
        rows = connection.execute(
            f"SELECT {_midnight('_arrived_at')}, count(*), sum({MARK})::VARCHAR FROM {stored(name)}"
            f" WHERE {_midnight('_arrived_at')} < {_midnight('_superseded_at')} GROUP BY 1"
        ).fetchall()
        found |= {(name, day): (count, text) for day, count, text in rows}
    return found


def marks(contracts: "Mapping[str, Contract]") -> dict[str, str]:
    """SQL of the fingerprint of one row, by table, for `AsOf`.

    An empty cell adds nothing, and a renamed column keeps its id, so that neither a column that is gained nor one that
    is renamed changes a fingerprint.
    """
    return {name: _mark(contract) for name, contract in contracts.items()}


def _mark(contract: "Contract") -> str:
    cells = [
        f'CASE WHEN "{column}" IS NULL THEN 0::UBIGINT ELSE hash(\'{about.id or column}\', "{column}") END'
        for column, about in sorted(contract.clean_columns.items())
    ]
    return f"hash({reduce('xor({}, {})'.format, cells)})"


def _arrives_anew(lake: "Lake", contract: "Contract") -> bool:
    """Whether the table is one file that says nothing of arrival: each run replaces all of it.

    Rows that it holds no more are known no more, so its old days can't be computed again and are left as they are.
    """
    if contract.arrived_at or contract.arrival_delay is not None:
        return False
    return lake.count(f"clean.{contract.name}", NotEqualTo("_batch_id", BULK)) == 0


def _midnight(column: str) -> str:
    """SQL of the first midnight at or after a time."""
    following = f"date_trunc('day', {column} - INTERVAL 1 microsecond) + INTERVAL 1 day"
    return f"CASE WHEN isfinite({column}) THEN {following} ELSE {column} END"


def _differs(now: _Prints, known: Known, table: str, day: datetime) -> bool:
    return now.get((table, day)) != known.prints.get((table, day))


def _known(lake: "Lake") -> Known | None:
    """What the last run kept; None before the first, or where it found no row at all."""
    rows = lake.read(ARRIVALS).to_pylist() if lake.exists(ARRIVALS) else []
    if not rows:
        return None
    prints = {(row["table"], row["counts_from"]): (row["rows"], row["fingerprint"]) for row in rows}
    return Known(prints, rows[0]["computed_from"], rows[0]["computed_to"])
