"""A market planted by hand: clean tables written straight into the lake, row by row."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import pytest

from expectations.contract import Contract, load_contracts
from feature_repo.definitions import Definitions, load_definitions
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.features.compute import Written, compute, table_of
from pipelines.features.join import point_in_time
from pipelines.lake.catalog import Lake

TIME = pa.timestamp("us")
_SYSTEM = [
    ("_arrived_at", TIME),
    ("_batch_id", pa.string()),
    ("_source_file", pa.string()),
    ("_source_row", pa.int64()),
]

DEFAULTS: dict[str, dict[str, Any]] = {
    "leads": {
        "lada": "33", "state": "JAL", "timezone": "America/Mexico_City", "carrier": "Telcel", "line_type": "mobile",
        "consent": True, "acquired_at": datetime(2025, 12, 1),
    },
    "validations": {
        "whatsapp_active": True, "instagram_active": False, "facebook_active": False, "google_active": False,
        "apple_active": False, "whatsapp_ms": 100,
    },
    "messages": {
        "campaign_id": "c1", "status": "delivered", "variant": "A", "length": 100, "cost": 0.5, "randomized": False,
        "propensity": 0.5,
    },
    "conversions": {"kind": "click"},
    "market": {"economic_index": 100.0, "holiday": False, "competitor_pressure": 0.5},
    "calls": {
        "age": 40, "job": "services", "marital": "single", "education": "primary", "credit_default": False,
        "balance": 10, "housing": False, "loan": False, "contact": "cellular", "duration": 60, "campaign": 1,
        "pdays": -1, "previous": 0, "poutcome": "unknown", "subscribed": False,
    },
}  # fmt: skip


def at(day: int, hour: float = 0.0) -> datetime:
    """An instant counted from 2026-01-01."""
    return datetime.fromtimestamp(datetime(2026, 1, 1).timestamp() + 86_400 * day + 3_600 * hour)


def days(start: int, end: int) -> Interval:
    """An interval counted from 2026-01-01, end excluded."""
    return Interval(at(start), at(end))


@dataclass
class World:
    """A tenant and what is needed to plant rows and read features."""

    tenant: Tenant
    contracts: dict[str, Contract]
    lake: Lake
    planted: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @cached_property
    def definitions(self) -> Definitions:
        return load_definitions(self.tenant, self.contracts)

    def plant(self, table: str, *rows: dict[str, Any], batch: str = "bulk") -> None:
        """Write rows; they arrive when they happen unless they say `_arrived_at`. A batch is written once."""
        contract = self.contracts[table]
        schema = pa.schema([*contract.clean_schema(), *_SYSTEM])
        full = []
        for number, row in enumerate(rows):
            one = {**DEFAULTS.get(table, {}), **row}
            happened = one.get(contract.event_time or "")
            arrived = one.pop("_arrived_at", None) or one.get(contract.arrived_at or "") or happened
            arrived = max(arrived, at(0)) if table == "leads" and "received_at" not in row else arrived
            full.append(
                {"received_at": arrived, **one, "_arrived_at": arrived, "_batch_id": batch, "_source_file": "planted",
                 "_source_row": number}
            )  # fmt: skip
        data = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in full], schema)
        self.lake.write(f"clean.{table}", schema, [data], replace=("_batch_id", [batch]))
        self.planted.setdefault(table, []).extend(full)

    def compute(self, interval: Interval, rewrite: bool = False) -> dict[str, Written]:
        return compute(self.tenant, interval, self.definitions, self.contracts, self.lake, rewrite=rewrite)

    def stored(self, view: str) -> pa.Table:
        """All stored rows of a view in a fixed order, without the wall clock."""
        found = self.definitions.views[view]
        table = self.lake.read(table_of(found)).drop_columns(["_loaded_at"])
        return table.sort_by([(found.entity, "ascending"), ("as_of", "ascending")])

    def as_of(self, entity: str, moment: datetime) -> dict[str, Any]:
        """The model features of one entity at a moment, by the point-in-time join."""
        name = next(iter(self.definitions.views.values())).entity
        spine = pa.table({name: [entity], "event_time": pa.array([moment], TIME)})
        return point_in_time(self.tenant, self.lake, self.definitions, spine).read_all().to_pylist()[0]


@pytest.fixture
def world(make_tenant: Callable[..., Tenant]) -> World:
    """The shipped SQL of the simulated market, and nothing planted yet."""
    tenant = make_tenant("demo", {"tenants": {"demo": {"run": {"start": date(2026, 1, 1), "dates": []}}}})
    return World(tenant, load_contracts(tenant.contracts_dir), Lake(tenant))


@pytest.fixture
def calls(make_tenant: Callable[..., Tenant]) -> World:
    """The shipped SQL of the phone campaigns, and nothing planted yet."""
    tenant = make_tenant("bank")
    return World(tenant, load_contracts(tenant.contracts_dir), Lake(tenant))
