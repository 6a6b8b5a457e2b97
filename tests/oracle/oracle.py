"""The training set of the little shop, worked out a second time in plain Python from the Parquet files alone.

It imports nothing of Leadwise, and goes row by row: slow, and easy to see through.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

DAY = timedelta(days=1)
KEYS = {"people": "person_id", "orders": "order_id", "visits": "visit_id", "payments": "payment_id"}
REQUIRED = {
    "people": ("person_id", "joined_at", "seen_at"),
    "orders": ("order_id", "person_id", "ordered_at", "seen_at"),
    "visits": ("visit_id", "person_id", "visited_at"),
    "payments": ("payment_id", "person_id", "paid_at"),
}
EVENT = {"people": "joined_at", "orders": "ordered_at", "visits": "visited_at", "payments": "paid_at"}
HORIZON = DAY
HOLDOUT = 0.2
FEATURES = (
    "visits_2d", "paid", "orders_3d", "amount_3d", "returned_3d", "open_3d", "city", "days_since_order",
    "days_since_joined",
)  # fmt: skip

Row = dict[str, Any]
Version = tuple[datetime, tuple[str, int], Row]


class Oracle:
    """What was known when, from files `<folder>/<table>/<day>.parquet`."""

    def __init__(self, folder: Path, start: datetime, days: int) -> None:
        self._start, self._days = start, days
        self.versions = {table: list(_versions(folder / table, table)) for table in KEYS}
        self._features = {
            view: {start + number * DAY: rows(self, start + number * DAY) for number in range(days + 1)}
            for view, rows in VIEWS.items()
        }

    def visible(self, table: str, now: datetime) -> list[Row]:
        """The newest version of each key that had arrived."""
        newest: dict[str, Version] = {}
        for version in self.versions[table]:
            arrived, place, row = version
            if arrived <= now:
                held = newest.get(row[KEYS[table]])
                if held is None or (held[0], held[1]) < (arrived, place):
                    newest[row[KEYS[table]]] = version
        return [row for _, _, row in newest.values()]

    def at(self, person: str, moment: datetime) -> Row:
        """The features of a person at a moment: of each view the last row as of a midnight before it, or at it."""
        found: Row = dict.fromkeys((*FEATURES, "_order", "_joined"))
        for instants in self._features.values():
            known = [now for now, rows in instants.items() if now <= moment and person in rows]
            found |= instants[max(known)][person] if known else {}
        for stored, name in (("_order", "days_since_order"), ("_joined", "days_since_joined")):
            time = found.pop(stored)
            found[name] = None if time is None else (moment - time).total_seconds() / 86_400
        return found

    def training_set(self) -> list[Row]:
        """Every row, in order, with its part."""
        now = self._start + self._days * DAY
        visits = [(row["person_id"], row["visited_at"]) for row in self.visible("visits", now)]
        rows = []
        for order in self.visible("orders", now):
            event, person = order["ordered_at"], order["person_id"]
            known = event + HORIZON
            if event <= now and known <= now:
                label = any(who == person and event < when <= known for who, when in visits)
                row = {"person_id": person, "event_time": event, "known_at": known, "label": int(label)}
                rows.append(row | self.at(person, event))
        rows.sort(key=_place)
        cut = len(rows) - round(len(rows) * HOLDOUT)
        for number, row in enumerate(rows):
            learnt = row["known_at"] <= rows[cut]["event_time"]
            row["part"] = "holdout" if number >= cut else "train" if learnt else "purged"
        return rows


def _place(row: Row) -> list[Any]:
    """What rows are ordered by: empty cells last, and the person only where all else is alike."""
    columns = ("event_time", "known_at", "label", *FEATURES, "person_id")
    return [(row[name] is None, "" if row[name] is None else row[name]) for name in columns]


def _versions(folder: Path, table: str) -> Iterator[Version]:
    """(arrival, place, row) of every row that is let in, in the order of days and rows."""
    for file in sorted(folder.glob("*.parquet")):
        day = datetime.fromisoformat(file.stem)
        seen: list[Row] = []
        for number, written in enumerate(pl.read_parquet(file).to_dicts()):
            row = {name: _utc(value) for name, value in written.items()}
            if table == "visits":
                row["visited_at"] = _wall_clock(row.pop("local_at"), row.pop("zone"))
            if row in seen:  # the first of those that are equal
                continue
            seen.append(row)
            arrived = _arrival(table, row, day + DAY)
            if arrived is not None:
                yield arrived, (file.stem, number), row


def _arrival(table: str, row: Row, batch_end: datetime) -> datetime | None:
    """When a row counts as known; None for one that belongs into quarantine."""
    if any(row[name] is None for name in REQUIRED[table]):
        return None
    event: datetime = row[EVENT[table]]
    if "seen_at" in row:
        seen: datetime = row["seen_at"]
        return seen if event <= seen <= batch_end + DAY else None
    if event > batch_end:
        return None
    return event + timedelta(hours=30) if table == "payments" else batch_end


def _utc(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(ZoneInfo("UTC")).replace(tzinfo=None)
    return value


def _wall_clock(local: datetime | None, zone: str) -> datetime | None:
    """UTC of what a clock on a wall said; the later reading where it stood still or went back."""
    if local is None:
        return None
    readings = [local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(ZoneInfo("UTC")) for fold in (0, 1)]
    return max(readings).replace(tzinfo=None)


def _people(known: Oracle, now: datetime) -> dict[str, Row]:
    return {
        row["person_id"]: {"city": row["city"], "_joined": row["joined_at"]} for row in known.visible("people", now)
    }


def _orders(known: Oracle, now: datetime) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in known.visible("orders", now):
        if not now - 3 * DAY < row["ordered_at"] <= now:
            continue
        one = found.setdefault(
            row["person_id"], {"orders_3d": 0, "amount_3d": None, "returned_3d": 0, "open_3d": 0, "_order": None}
        )
        one["orders_3d"] += 1
        if row["amount"] is not None:
            one["amount_3d"] = (one["amount_3d"] or 0) + row["amount"]
        returned = row["returned"] if row["ordered_at"] + 2 * DAY <= now else None
        one["returned_3d"] += returned is True
        one["open_3d"] += returned is None
        one["_order"] = max(one["_order"] or row["ordered_at"], row["ordered_at"])
    return found


def _activity(known: Oracle, now: datetime) -> dict[str, Row]:
    visits, payments = known.visible("visits", now), known.visible("payments", now)
    found = {}
    for person in (row["person_id"] for row in known.visible("people", now)):
        paid = [row["amount"] for row in payments if row["person_id"] == person and row["amount"] is not None]
        found[person] = {
            "visits_2d": sum(v["person_id"] == person and now - 2 * DAY < v["visited_at"] <= now for v in visits),
            "paid": sum(paid) if paid else None,
        }
    return found


VIEWS: dict[str, Callable[[Oracle, datetime], dict[str, Row]]] = {
    "activity": _activity,
    "orders": _orders,
    "profile": _people,
}
