"""A small use case whose every step takes about a second: visits of leads to shops, and a growing folder of members."""

import csv
import random
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from pipelines.core.settings import ROOT
from tests.gates import EASY

TENANT = "shop"
FIRST = date(2026, 3, 1)
DAYS = 14
CUT = FIRST + timedelta(days=12)
END = FIRST + timedelta(days=DAYS)
LEADS = 60
GONE = "+525512340004"
"""Phone of the lead that is forgotten."""

_WEST = "{value: south}"

VISITS = """
kind: DataContract
apiVersion: v3.2.0
id: visits
version: 1.0.0
status: active
schema:
  - name: visits
    properties:
      - {name: visit_id, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - name: phone
        logicalType: string
        required: true
        classification: restricted
        customProperties: [{property: entity, value: lead_id}, {property: phone, value: true}]
      - {name: came_at, logicalType: timestamp, required: true, customProperties: [{property: event_time, value: true}]}
      - {name: spent, logicalType: number, logicalTypeOptions: {minimum: 0}}
      - {name: shop, logicalType: string, required: true, enum: [{value: north}, {value: south}]}
      - {name: bought, logicalType: boolean}
      - name: received_at
        logicalType: timestamp
        required: true
        customProperties: [{property: arrived_at, value: true}]
"""

MEMBERS = """
kind: DataContract
apiVersion: v3.2.0
id: members
version: 1.0.0
status: active
schema:
  - name: members
    properties:
      - name: phone
        logicalType: string
        required: true
        primaryKey: true
        primaryKeyPosition: 1
        classification: restricted
        customProperties: [{property: entity, value: lead_id}, {property: phone, value: true}]
      - name: joined_at
        logicalType: timestamp
        required: true
        customProperties: [{property: event_time, value: true}]
      - {name: gold, logicalType: boolean, required: true}
      - {name: consent, logicalType: boolean, customProperties: [{property: consent, value: true}]}
"""

SQL = {
    "features_visits.sql": """
select lead_id, count(*) as visits, sum(spent) as spent, count(*) filter (where shop = 'north') as north
from visits where came_at > $as_of - interval 7 days group by lead_id
""",
    "features_members.sql": "select lead_id, gold, joined_at from members",
    "labels/conversion.sql": """
select lead_id, came_at as event_time, bought as label, came_at + to_days($horizon_days::int) as known_at
from visits where came_at <= $as_of order by visit_id
""",
    "candidates.sql": "select distinct lead_id from visits where came_at <= $as_of order by lead_id",
}

_CHANGED = {
    "features_visits.sql": SQL["features_visits.sql"].replace("7 days", "5 days"),
    "features_members.sql": "select lead_id, gold, joined_at, consent as agreed from members",
}

PARAMS: dict[str, Any] = {
    "use_case": "shopping",
    "sources": {
        "visits": {"path": "{home}/in/visits/{date}.csv"},
        "members": {"path": "{home}/in/members/*.csv", "grows": True, "settle_seconds": 0},
    },
    "run": {"start": f"{FIRST}", "end": f"{END}", "dates": [f"{CUT}"]},
    "train": {
        "targets": {"conversion": {"horizon_days": 1}},
        "min_rows": 40,
        "lightgbm": {"num_boost_round": 5},
        "scorer": {"members": ["lightgbm", "linear"], "forward_folds": 2, "half_lives": []},
    },
    "promotion": {"gate": EASY},
    "retention": {"raw_days": 5, "quarantine_days": 5},
    "score": {"tiers": {"A": 2.0, "B": 1.0, "C": 0.5}},
}


def settle(folder: Path, tenants: Sequence[str] = (TENANT,)) -> dict[str, str]:
    """Write contracts, SQL and parameters below `folder`, and the files that every tenant's sources read.

    Returns:
        The environment of a process that works on these tenants.
    """
    write_rules(folder)
    common = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    common["tenants"] = dict.fromkeys(tenants, PARAMS)
    (folder / "params.yaml").write_text(yaml.safe_dump(common, sort_keys=False), encoding="utf-8")
    for tenant in tenants:
        write_sources(folder / "var" / tenant / "in")
    return {
        "LEADWISE_VAR": str(folder / "var"),
        "LEADWISE_PARAMS": str(folder / "params.yaml"),
        "LEADWISE_EXPECTATIONS": str(folder / "expectations"),
        "LEADWISE_FEATURE_REPO": str(folder / "feature_repo"),
    }


def write_rules(folder: Path, mended: bool = False, changed: bool = False) -> None:
    """Contracts and SQL.

    Args:
        folder: to write to.
        mended: there is a shop in the west, whose visits were refused before.
        changed: a view looks back over fewer days, and another has one feature more.
    """
    visits = VISITS.replace(_WEST, f"{_WEST}, {{value: west}}") if mended else VISITS
    files = {"expectations/shopping/visits.yaml": visits, "expectations/shopping/members.yaml": MEMBERS}
    files |= {f"feature_repo/shopping/{name}": text for name, text in (SQL | (_CHANGED if changed else {})).items()}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def write_sources(folder: Path) -> None:
    """Fourteen days of visits, some late, corrected, repeated or bad, and the files of members."""
    chance = random.Random(7)
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        write_csv(folder / "visits" / f"{day}.csv", [_visit(chance, day, n) for n in range(42)])
    for number in range(3):
        add_members(folder, number)


def add_members(folder: Path, number: int) -> None:
    """File `number` of the growing folder: members, the last two of whom stand in the next file again."""
    joined = datetime.combine(FIRST, datetime.min.time()) - timedelta(days=30 - number)
    rows = [
        {"phone": phone(n), "joined_at": joined, "gold": gold(n), "consent": n % 7 > 0}
        for n in range(number * 20, number * 20 + 22)
    ]
    write_csv(folder / "members" / f"{number:03d}.csv", rows)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """The rows as a CSV file; None is an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    return path


def phone(lead: int) -> str:
    return f"+52551234{lead:04d}"


def gold(lead: int) -> bool:
    return lead % 3 == 0


def _visit(chance: random.Random, day: date, number: int) -> dict[str, Any]:
    """A visit that came in that day: of the day itself, or late, or the correction of an earlier one."""
    lead = chance.randrange(LEADS)
    back = chance.choice([0, 0, 0, 0, 1, 3])
    came = datetime.combine(day, datetime.min.time()) - timedelta(days=back) + timedelta(minutes=number)
    key = f"{came:%m%d}-{number}"  # a late one bears the number of one that came in time: a correction
    return {
        "visit_id": key,
        "phone": phone(lead) if number else "12",
        "came_at": came,
        "spent": chance.randrange(1, 40),
        "shop": "west" if number == 1 else "north" if gold(lead) else "south",
        "bought": chance.random() < (0.95 if gold(lead) else 0.05),
        "received_at": datetime.combine(day, datetime.min.time()) + timedelta(hours=12, seconds=number),
    }
