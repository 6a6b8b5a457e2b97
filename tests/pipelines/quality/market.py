"""A small use case of the tests' own: visits of leads to shops, from CSV or Parquet, one file a day."""

import csv
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

CONTRACT = """
kind: DataContract
apiVersion: v3.2.0
id: visits
version: 1.0.0
status: active
schema:
  - name: visits
    quality:
      - name: left_after_came
        type: custom
        engine: greatExpectations
        description: One leaves after one came.
        implementation:
          type: expect_column_pair_values_a_to_be_greater_than_b
          kwargs: {column_A: left_at, column_B: came_at, or_equal: true, ignore_row_if: either_value_is_missing}
      - name: one_visit_per_ticket
        type: custom
        engine: greatExpectations
        description: A ticket lets one visit in.
        implementation:
          type: expect_compound_columns_to_be_unique
          kwargs: {column_list: [ticket, received_at]}
    properties:
      - {name: visit_id, logicalType: string, primaryKey: true, primaryKeyPosition: 1}
      - name: phone
        logicalType: string
        required: true
        classification: restricted
        customProperties: [{property: entity, value: lead_id}, {property: phone, value: true}]
      - {name: came_at, logicalType: timestamp, customProperties: [{property: event_time, value: true}]}
      - {name: left_at, logicalType: timestamp}
      - {name: spent, logicalType: number, logicalTypeOptions: {minimum: 0}}
      - {name: things, logicalType: integer, required: true, logicalTypeOptions: {minimum: 0, maximum: 99}}
      - {name: shop, logicalType: string, required: true, enum: [{value: north}, {value: south}]}
      - {name: member, logicalType: boolean}
      - {name: ticket, logicalType: string}
      - {name: received_at, logicalType: timestamp, customProperties: [{property: arrived_at, value: true}]}
"""

COLUMNS = ("visit_id", "phone", "came_at", "left_at", "spent", "things", "shop", "member", "ticket", "received_at")
DAY = datetime(2026, 3, 1)


def visit(number: int, **change: Any) -> dict[str, Any]:
    """A good row, with changes."""
    row: dict[str, Any] = {
        "visit_id": f"v{number}",
        "phone": f"+52551234{number % 10_000:04d}",
        "came_at": "2026-03-01 10:00:00",
        "left_at": "2026-03-01 11:00:00",
        "spent": "12.5",
        "things": "3",
        "shop": "north",
        "member": "yes",
        "ticket": f"t{number}",
        "received_at": "2026-03-01 12:00:00",
    }
    return {**row, **change}


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> Path:
    """The rows as a CSV file; None is an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    return path


PARAMS: dict[str, Any] = {
    "tenants": {
        "demo": {
            "use_case": "visiting",
            "sources": {"visits": {"path": "{home}/in/visits/{date}.csv", "sparse": True}},
        }
    }
}
