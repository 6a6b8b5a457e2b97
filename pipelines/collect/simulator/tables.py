"""Turns the draws into tables as someone's export would have them: Arrow, one row a record, with its arrival."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.collect.simulator.kit import DAY_SECONDS, Columns, Ints, arrival_lag, stream
from pipelines.collect.simulator.outcomes import KINDS
from pipelines.collect.simulator.story import CARRIERS, LINE_TYPES, OBJECTIVES, PLATFORMS, VARIANTS
from pipelines.collect.simulator.traffic import Traffic
from pipelines.collect.simulator.world import World

INSTANT = pa.timestamp("us")
KEYS = {
    "leads": ("phone",),
    "validations": ("validation_id",),
    "campaigns": ("campaign_id",),
    "messages": ("message_id",),
    "conversions": ("conversion_id",),
    "market": ("state", "day"),
}
"""The tables and what identifies a record of each."""
EVENT_TIMES = {
    "leads": "acquired_at",
    "validations": "validated_at",
    "campaigns": "started_at",
    "messages": "sent_at",
    "conversions": "occurred_at",
    "market": "day",
}


@dataclass(frozen=True)
class Arrivals:
    """Draws when rows arrive."""

    world: World
    rng: np.random.Generator

    @classmethod
    def of(cls, world: World) -> "Arrivals":
        """Arrivals by the seed of `world`."""
        return cls(world, stream(world.params.seed, "arrival"))

    def after(self, at: Ints) -> Ints:
        """Instants at which records made at `at` arrive: mostly minutes later, some days."""
        return at + arrival_lag(self.rng, len(at), self.world.params.late_share, self.world.story)


def instants(seconds: Ints, missing: Any = None) -> pa.Array:
    """Seconds since 1970 as naive UTC timestamps; null where `missing` is true."""
    return pa.array(seconds.astype(np.int64) * 1_000_000, mask=missing).cast(INSTANT)


def words(options: tuple[str, ...], index: Ints) -> pa.Array:
    """The options at `index`."""
    return pa.array(options).take(pa.array(index))


def ids(prefix: str, size: int, width: int = 9) -> pa.Array:
    """Identifiers such as m000000041."""
    numbers = pc.utf8_lpad(pa.array(np.arange(size)).cast(pa.string()), width=width, padding="0")
    return pc.binary_join_element_wise(pa.scalar(prefix), numbers, pa.scalar(""))


def lead_rows(world: World, lead: Ints, received: Ints, carrier: Ints, consent: Any) -> pa.Table:
    """Rows of `leads` for the given leads, as they stood on arrival."""
    people, places = world.people, world.places
    return pa.table(
        {
            "phone": phones(world, lead),
            "lada": words(places.ladas, people.lada[lead]),
            "state": words(places.states, people.state[lead]),
            "timezone": words(places.timezones, people.lada[lead]),
            "carrier": words(CARRIERS, carrier),
            "line_type": words(LINE_TYPES, people.line[lead]),
            "consent": consent,
            "acquired_at": instants(people.acquired[lead]),
            "received_at": instants(received),
        }
    )


def phones(world: World, lead: Ints) -> pa.Array:
    """Phone numbers of leads."""
    return pa.array(world.people.phones[lead], pa.string())


def leads_table(world: World) -> pa.Table:
    """Every lead's first row."""
    people = world.people
    return lead_rows(world, np.arange(len(people)), people.received, people.carrier, people.consent)


def validations_table(world: World, found: Columns, arrivals: Arrivals, numbers: pa.Array) -> pa.Table:
    """One row a validation; `numbers` are the phones of all leads."""
    columns: dict[str, Any] = {
        "validation_id": ids("v", len(found["lead"])),
        "phone": numbers.take(pa.array(found["lead"])),
        "validated_at": instants(found["at"]),
    }
    for name in PLATFORMS:
        columns[f"{name}_active"] = found[f"{name}_active"]
    for name in PLATFORMS:
        columns[f"{name}_ms"] = pa.array(found[f"{name}_ms"], pa.int64(), mask=found[f"{name}_ms"] < 0)
    return pa.table({**columns, "received_at": instants(arrivals.after(found["at"]))})


def campaign_ids(size: int) -> pa.Array:
    """Identifiers of the campaigns."""
    return ids("c", size, 4)


def campaigns_table(world: World) -> pa.Table:
    """One row a campaign, known as soon as it starts."""
    campaigns = world.campaigns
    started = world.start + campaigns.first_day * DAY_SECONDS
    objective = words(OBJECTIVES, campaigns.objective)
    number = pa.array(np.arange(1, len(campaigns) + 1)).cast(pa.string())
    return pa.table(
        {
            "campaign_id": campaign_ids(len(campaigns)),
            "name": pc.binary_join_element_wise(objective, number, pa.scalar(" ")),
            "objective": objective,
            "started_at": instants(started),
            "budget": campaigns.budget,
            "received_at": instants(started + 60),
        }
    )


def messages_table(world: World, sent: Columns, arrivals: Arrivals, numbers: pa.Array) -> pa.Table:
    """One row a message; it arrives after its delivery."""
    failed = sent["delivered"] < 0
    known = np.maximum(sent["sent"], sent["delivered"])
    return pa.table(
        {
            "message_id": ids("m", len(sent["lead"])),
            "phone": numbers.take(pa.array(sent["lead"])),
            "campaign_id": campaign_ids(len(world.campaigns)).take(pa.array(sent["campaign"])),
            "sent_at": instants(sent["sent"]),
            "delivered_at": instants(sent["delivered"], failed),
            "status": words(("delivered", "failed"), failed.astype(np.int64)),
            "variant": words(VARIANTS, sent["variant"]),
            "length": sent["length"],
            "cost": sent["cost"],
            "randomized": sent["randomized"],
            "propensity": sent["propensity"],
            "received_at": instants(arrivals.after(known)),
        }
    )


def conversions_table(came: Columns, arrivals: Arrivals, numbers: pa.Array, message_ids: pa.ChunkedArray) -> pa.Table:
    """One row a reply, click, purchase or opting out."""
    return pa.table(
        {
            "conversion_id": ids("k", len(came["lead"])),
            "phone": numbers.take(pa.array(came["lead"])),
            "message_id": message_ids.take(pa.array(came["message"])),
            "occurred_at": instants(came["at"]),
            "kind": words(KINDS, came["kind"]),
            "revenue": pa.array(came["revenue"], mask=np.isnan(came["revenue"])),
            "received_at": instants(arrivals.after(came["at"])),
        }
    )


def market_table(world: World) -> pa.Table:
    """One row a state and day, known in the night after."""
    economy, states, days = world.economy, len(world.places.states), world.params.drawn_days
    midnight = np.tile(world.start + np.arange(days) * DAY_SECONDS, states)
    return pa.table(
        {
            "state": words(world.places.states, np.repeat(np.arange(states), days)),
            "day": instants(midnight),
            "economic_index": economy.index.ravel(),
            "holiday": np.tile(economy.holiday, states),
            "competitor_pressure": economy.pressure.ravel(),
            "received_at": instants(midnight + 2 * 3600),
        }
    )


def all_tables(world: World, traffic: Traffic) -> dict[str, pa.Table]:
    """Every table by name, before corrections and dirt, unsorted."""
    arrivals, numbers = Arrivals.of(world), pa.array(world.people.phones, pa.string())
    messages = messages_table(world, traffic.messages, arrivals, numbers)
    return {
        "leads": leads_table(world),
        "validations": validations_table(world, traffic.validations, arrivals, numbers),
        "campaigns": campaigns_table(world),
        "messages": messages,
        "conversions": conversions_table(traffic.conversions, arrivals, numbers, messages["message_id"]),
        "market": market_table(world),
    }


def last_instant(world: World) -> int:
    """The midnight that ends the period, in seconds."""
    return world.start + timedelta(days=world.params.drawn_days) // timedelta(seconds=1)
