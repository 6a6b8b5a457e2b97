"""A little shop with every kind of arrival: contracts, SQL, and files drawn by hypothesis."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import strategies as st

Drawn = dict[str, list[tuple[Any, ...]]]
Rows = dict[str, list[tuple[int, bool, dict[str, Any]]]]
DAYS = 10
DAY = timedelta(days=1)
STARTS = (datetime(2026, 3, 4), datetime(2026, 10, 28))
"""Days in which clocks are put forward (8 March, also at midnight in Havana), and back (1 November)."""

_HEAD = """
kind: DataContract
apiVersion: v3.1.0
id: {0}
version: 1.0.0
status: active
schema:
  - name: {0}
"""
_KEY = "{{name: {0}, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1{1}}}"
_PERSON = "customProperties: [{property: entity, value: person_id}]"
_FLAG = "customProperties: [{{property: {0}, value: true}}]"
_WHO = f"{{name: person_id, logicalType: string, required: true, {_PERSON}}}"


def _contract(table: str, *columns: str, words: str = "") -> str:
    lines = "".join(f"      - {column}\n" for column in columns)
    return _HEAD.format(table) + words + "    properties:\n" + lines


def _time(name: str, word: str) -> str:
    return f"{{name: {name}, logicalType: timestamp, required: true, {_FLAG.format(word)}}}"


CONTRACTS = {
    "people.yaml": _contract(
        "people",
        _KEY.format("person_id", f", {_PERSON}"),
        "{name: city, logicalType: string}",
        _time("joined_at", "event_time"),
        _time("seen_at", "arrived_at"),
    ),
    "orders.yaml": _contract(
        "orders",
        _KEY.format("order_id", ""),
        _WHO,
        "{name: amount, logicalType: integer}",
        "{name: returned, logicalType: boolean, customProperties: [{property: known_after, value: P2D}]}",
        _time("ordered_at", "event_time"),
        _time("seen_at", "arrived_at"),
    ),
    # Arrives with its file.
    "visits.yaml": _contract("visits", _KEY.format("visit_id", ""), _WHO, _time("visited_at", "event_time")),
    # Arrives some time after it happened.
    "payments.yaml": _contract(
        "payments",
        _KEY.format("payment_id", ""),
        _WHO,
        "{name: amount, logicalType: integer}",
        _time("paid_at", "event_time"),
        words="    customProperties: [{property: arrived_at, value: PT30H}]\n",
    ),
}
SQL = {
    "mapping.sql": (
        "-- table: visits\n"
        "select visit_id, person_id, timezone(zone, local_at)::timestamp as visited_at from checkins\n"
    ),
    "features_profile.sql": "select person_id, city, joined_at from people",
    "features_orders.sql": """
        select person_id, count(*) as orders_3d, sum(amount) as amount_3d,
            count(*) filter (where returned) as returned_3d,
            count_if(returned is null) as open_3d, max(ordered_at) as last_order_at
        from orders
        where ordered_at > $as_of - interval 3 days and ordered_at <= $as_of
        group by person_id""",
    "features_activity.sql": """
        with v as (
            select person_id, count(*) as n from visits
            where visited_at > $as_of - interval 2 days and visited_at <= $as_of
            group by person_id
        ),
        p as (select person_id, sum(amount)::bigint as paid from payments group by person_id)
        select people.person_id, coalesce(v.n, 0) as visits_2d, p.paid
        from people left join v using (person_id) left join p using (person_id)""",
    "labels/conversion.sql": """
        select
            person_id,
            ordered_at as event_time,
            case when ordered_at + to_days($horizon_days::int) <= $as_of then exists (
                select 1 from visits
                where visits.person_id = orders.person_id
                  and visited_at > ordered_at and visited_at <= ordered_at + to_days($horizon_days::int)
            ) end as label,
            ordered_at + to_days($horizon_days::int) as known_at
        from orders
        where ordered_at <= $as_of""",
}
SOURCES = {"people": "people", "orders": "orders", "checkins": "visits", "payments": "payments"}
"""Folder of each source; the oracle calls it by its table."""


def params(start: datetime) -> dict[str, Any]:
    """Parameters of the shop: nothing is refused for being little or bad."""
    sources = {
        name: {"path": f"{{home}}/files/{folder}/{{date}}.parquet", "sparse": True} for name, folder in SOURCES.items()
    }
    run = {"start": start.date().isoformat(), "end": (start + DAYS * DAY).date().isoformat(), "dates": []}
    shop = {"use_case": "shop", "sources": sources, "run": run}
    return {
        "quality": {"max_quarantine_share": 1.0},
        "train": {"targets": {"conversion": {"horizon_days": 1}}, "min_rows": 20},
        "tenants": {"shop": shop},
    }


# Times are quarters of an hour after the start of the file's day; whole days, and so midnights and ties, come often.
_quarters = st.one_of(st.integers(-3, 3).map(lambda day: day * 96), st.integers(-300, 250))
_late = st.sampled_from([0, 0, 4, 96, 100, 288, 800, -8])
_days = st.integers(0, DAYS - 1)
_who = st.sampled_from(["a", "a", "b", "c", "nobody"])
_amount = st.one_of(st.none(), st.integers(-3, 9))
_zones = st.sampled_from(["America/New_York", "America/Havana", "Asia/Kolkata", "UTC"])
_held = st.booleans()
_seldom_empty = st.one_of(_who, _who, _who, st.none())
RECORDS = st.fixed_dictionaries(
    {
        "people": st.lists(
            st.tuples(_days, _held, st.sampled_from("abc"), st.sampled_from(["x", "y", None]), _quarters, _late),
            min_size=3,
            max_size=8,
        ),
        "orders": st.lists(
            st.tuples(
                _days, _held, st.sampled_from("123456"), _seldom_empty, _quarters, _late, _amount,
                st.sampled_from([True, False, None]),
            ),
            min_size=8,
            max_size=14,
        ),
        "visits": st.lists(
            st.tuples(_days, _held, st.sampled_from("1234"), _seldom_empty, _quarters, _zones), min_size=4, max_size=10
        ),
        "payments": st.lists(
            st.tuples(_days, _held, st.sampled_from("123"), _who, _quarters, _amount), min_size=2, max_size=6
        ),
    }
)  # fmt: skip
"""Rows of each table: day of the file, whether the first export of that day lacks it, and what makes the row."""

_SCHEMAS: dict[str, dict[str, Any]] = {
    "people": {"person_id": pl.String, "city": pl.String, "joined_at": pl.Datetime("us"),
               "seen_at": pl.Datetime("us", "Europe/Madrid")},
    "orders": {"order_id": pl.String, "person_id": pl.String, "amount": pl.Int64, "returned": pl.Boolean,
               "ordered_at": pl.Datetime("us", "America/New_York"), "seen_at": pl.Datetime("us")},
    "visits": {"visit_id": pl.String, "person_id": pl.String, "local_at": pl.Datetime("us"), "zone": pl.String},
    "payments": {"payment_id": pl.String, "person_id": pl.String, "amount": pl.Int64, "paid_at": pl.Datetime("us")},
}  # fmt: skip
_COLUMNS: dict[str, Callable[..., dict[str, Any]]] = {
    "people": lambda who, city, seen, late: {"person_id": who, "city": city, "seen_at": seen, "joined_at": seen - late},
    "orders": lambda key, who, seen, late, amount, returned: {
        "order_id": key, "person_id": who, "seen_at": seen, "ordered_at": seen - late, "amount": amount,
        "returned": returned,
    },
    "visits": lambda key, who, local, zone: {"visit_id": key, "person_id": who, "local_at": local, "zone": zone},
    "payments": lambda key, who, paid, amount: {"payment_id": key, "person_id": who, "paid_at": paid, "amount": amount},
}  # fmt: skip
_TIMED = {"people": (2, 3), "orders": (2, 3), "visits": (2, None), "payments": (2, None)}
"""Place of the time in a record, and of how late it is."""


def rows_of(
    drawn: dict[str, list[tuple[Any, ...]]], start: datetime
) -> dict[str, list[tuple[int, bool, dict[str, Any]]]]:
    """(day, held back, row) of each table: those drawn, and those that every training needs."""
    found = {table: [_row(table, record, start) for record in records] for table, records in drawn.items()}
    sure = [("p0", 0, 8), ("p0", 0, 12), *((f"p{number}", DAYS - 1, 0) for number in range(10, 30))]
    for number, (who, day, quarter) in enumerate(sure):
        record = (day, False, f"sure{number}", who, quarter, 0, 1, None)
        found["orders"].append(_row("orders", record, start))
    visits = [("p0", 0, 10), *((f"p{number}", DAYS - 1, 8) for number in range(10, 30, 2))]
    for number, (who, day, quarter) in enumerate(visits):
        found["visits"].append(_row("visits", (day, False, f"sure{number}", who, quarter, "UTC"), start))
    for day in range(DAYS):  # every day has its files
        found["people"].append(_row("people", (day, False, "z", "x", 1, 0), start))
        found["visits"].append(_row("visits", (day, False, f"z{day}", "z", 1, "UTC"), start))
        found["orders"].append(_row("orders", (day, False, f"z{day}", "z", 1, 0, 1, None), start))
        found["payments"].append(_row("payments", (day, False, f"z{day}", "z", 1, day), start))
    return found


def _row(table: str, record: tuple[Any, ...], start: datetime) -> tuple[int, bool, dict[str, Any]]:
    day, held, *parts = record
    when, late = _TIMED[table]
    parts[when] = start + day * DAY + parts[when] * timedelta(minutes=15)
    if late is not None:
        parts[late] = parts[late] * timedelta(minutes=15)
    return day, held, _COLUMNS[table](*parts)


def write(
    folder: Path,
    start: datetime,
    rows: dict[str, list[tuple[int, bool, dict[str, Any]]]],
    days: Sequence[int],
    held: bool,
) -> None:
    """Write the files of some days, with or without the rows that were held back at first."""
    for table, every in rows.items():
        (folder / table).mkdir(parents=True, exist_ok=True)
        for day in days:
            mine = [row for one, late, row in every if one == day and (held or not late)]
            file = folder / table / f"{(start + day * DAY).date()}.parquet"
            if not mine:
                continue
            zones = {name: kind.time_zone for name, kind in _SCHEMAS[table].items() if getattr(kind, "time_zone", None)}
            plain = {name: pl.Datetime("us") if name in zones else kind for name, kind in _SCHEMAS[table].items()}
            frame = pl.DataFrame(mine, schema=plain, orient="row")
            zoned = [
                pl.col(name).dt.replace_time_zone("UTC").dt.convert_time_zone(zone) for name, zone in zones.items()
            ]
            frame.with_columns(zoned).write_parquet(file)
