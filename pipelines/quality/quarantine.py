"""Bad rows: kept with the rule they broke and the value that broke it, so that they can be looked at and replayed."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from expectations.suites import Check
from pipelines.quality.cast import UNREAD

if TYPE_CHECKING:
    from datetime import datetime

    from expectations.contract import Contract
    from pipelines.quality.judge import Mask

SCHEMA = pa.schema(
    [
        ("_batch_id", pa.string()),
        ("_source_file", pa.string()),
        ("_source_row", pa.int64()),
        ("rule", pa.string()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("record", pa.string()),
        ("_arrived_at", pa.timestamp("us")),
        ("_loaded_at", pa.timestamp("us")),
    ]
)
"""Columns of `quarantine.<table>`. Personal data may stand in `value` and `record`."""


def first_failures(found: Sequence[tuple[int, "Mask"]], rows: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """For each row the number of the first check it broke, -1 for a good row."""
    first = np.full(rows, -1, dtype=np.int64)
    for number, bad in reversed(found):
        first[bad] = number
    return first


def quarantined(
    contract: "Contract", checks: Sequence[Check], chunk: pa.Table, first: Any, arrived: pa.Array, now: "datetime"
) -> pa.Table:
    """The bad rows of a chunk, as the quarantine keeps them.

    Args:
        contract: of the table.
        checks: of its suite.
        chunk: typed rows with the texts of unreadable cells.
        first: from `first_failures`.
        arrived: when each row arrived.
        now: wall clock.
    """
    picked = np.flatnonzero(first >= 0)
    rows = chunk.take(pa.array(picked))
    records = [_record(contract, row) for row in rows.to_pylist()]
    broken = [checks[number] for number in first[picked]]
    return pa.table(
        {
            "_batch_id": rows["_batch_id"],
            "_source_file": rows["_source_file"],
            "_source_row": rows["_source_row"],
            "rule": [check.rule for check in broken],
            "column": [", ".join(check.columns) for check in broken],
            "value": [_value(check, record) for check, record in zip(broken, records, strict=True)],
            "record": [json.dumps(record, default=str, ensure_ascii=False) for record in records],
            "_arrived_at": arrived.take(pa.array(picked)),
            "_loaded_at": pa.repeat(pa.scalar(now, pa.timestamp("us")), len(picked)),
        }
    ).cast(SCHEMA)


def _record(contract: "Contract", row: dict[str, Any]) -> dict[str, Any]:
    """The mapped row as it came: the text of a cell where it could not be read."""
    found: dict[str, Any] = {}
    for name in contract.source_columns:
        unread = row.get(f"{UNREAD}{name}")
        found[name] = row[name] if unread is None else unread
    return found


def _value(check: Check, record: dict[str, Any]) -> str | None:
    cells = [record.get(name) for name in check.columns if name in record]
    if len(cells) == 1:
        return None if cells[0] is None else str(cells[0])
    return " | ".join("" if cell is None else str(cell) for cell in cells)
