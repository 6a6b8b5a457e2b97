"""Guests who come back or not, what was said of them each day, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa

from expectations.contract import Contract, load_contracts
from feature_repo.definitions import Definitions, load_definitions
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.deliver.shadow import SHADOW_SCHEMA, SHADOW_TABLE
from pipelines.deliver.table import score_rows, write_scores
from pipelines.lake.catalog import Lake
from pipelines.promotion.promote import promote
from pipelines.train.step import train
from tests.gates import easy
from tests.pipelines.train.test_train import INTERVAL, visits, write

TARGET = "conversion"
BEGIN = INTERVAL.as_of
"""The instant from which scores are given: what was known then, the models learnt from."""


@dataclass(frozen=True)
class World:
    """A tenant with the training visits of twenty days, and more of them."""

    tenant: Tenant

    @property
    def lake(self) -> Lake:
        return Lake(self.tenant)

    @property
    def contracts(self) -> Mapping[str, Contract]:
        return load_contracts(self.tenant.contracts_dir)

    @property
    def definitions(self) -> Definitions:
        return load_definitions(self.tenant, self.contracts)

    def until(self, days: int) -> Interval:
        """A run so many days after `BEGIN`."""
        return Interval.day((BEGIN + timedelta(days=days - 1)).date())

    def champions(self, count: int) -> None:
        """Train and promote so many versions, each on a few visits more than the one before."""
        for number in range(count):
            write(self.tenant, visits(500 + number))
            train(self.tenant, INTERVAL)
            promote(easy(self.tenant), INTERVAL)

    def said(self, days: int, version: str, chances: Mapping[str, float], *, shadow: bool = False) -> None:
        """What a version says of each guest, on so many days after `BEGIN`."""
        guests = list(chances)
        for day in range(days):
            as_of = BEGIN + timedelta(days=day)
            interval = Interval.day((as_of - timedelta(days=1)).date())
            values = pa.array(list(chances.values()), pa.float64())
            same = {"as_of": as_of, "model_version": version, "_loaded_at": as_of}
            if shadow:
                columns = {**same, "date": date.fromisoformat(interval.label), "target": TARGET}
                rows = [
                    {**columns, "entity_id": guest, "predicted": chance}
                    for guest, chance in zip(guests, values.to_pylist(), strict=True)
                ]
                table = pa.Table.from_pylist(rows, SHADOW_SCHEMA)
                self.lake.write(SHADOW_TABLE, SHADOW_SCHEMA, [table], replace=f"date == '{interval.label}'")
                continue
            more = {"tier": "A", "model_name": "demo.conversion", "feature_service": TARGET, "run_id": "r"}
            scored = score_rows(
                self.tenant, interval, TARGET, pa.array(guests), {**same, **more, "probability": values}
            )
            write_scores(self.lake, TARGET, interval.label, [scored])

    def came(self, days: int, a_day: int, chances: Mapping[str, float], seed: int = 0) -> list[dict[str, object]]:
        """Visits after `BEGIN`, whose guests come back with these chances; they are added to the clean table."""
        rng, guests, rows = np.random.default_rng(seed), list(chances), []
        for day in range(days):
            for i in range(a_day):
                guest = guests[int(rng.integers(len(guests)))]
                at = BEGIN + timedelta(days=day, hours=1, minutes=int(rng.integers(1200)))
                rows.append(
                    {
                        "visit_id": f"n{day}-{i}",
                        "guest_id": guest,
                        "visited_at": at,
                        "spent": 1.0,
                        "room": "east",
                        "returned": bool(rng.random() < chances[guest]),
                        "seen_at": at,
                    }
                )
        write(self.tenant, [*visits(500), *rows])
        return rows


def guests(count: int = 60, seed: int = 1) -> dict[str, float]:
    """Chances of coming back, about 30 % on average."""
    odds = np.random.default_rng(seed).normal(-1.0, 1.2, count)
    return {f"g{i}": float(1 / (1 + np.exp(-odd))) for i, odd in enumerate(odds)}


def opposite(chances: Mapping[str, float]) -> dict[str, float]:
    """The order of the guests turned round."""
    ordered = sorted(chances, key=chances.__getitem__)
    return dict(zip(ordered, sorted(chances.values(), reverse=True), strict=True))


def promotion(tenant: Tenant, **changes: object) -> Tenant:
    """The tenant with other numbers of promotion, such as `shadow_days=3`; `watch` is laid over what is there."""
    section = tenant.params.promotion
    if isinstance(watch := changes.get("watch"), dict):
        changes["watch"] = section.watch.model_copy(update=watch)
    return replace(tenant, params=tenant.params.model_copy(update={"promotion": section.model_copy(update=changes)}))


def instant(day: int, hour: int = 0) -> datetime:
    """A moment after `BEGIN`."""
    return BEGIN + timedelta(days=day, hours=hour)
