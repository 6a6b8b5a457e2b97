"""The simulated market: draws in, tables out, nothing read or written."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.collect.simulator.corrections import add_corrections
from pipelines.collect.simulator.dirt import add_dirt
from pipelines.collect.simulator.kit import NEVER
from pipelines.collect.simulator.story import Story
from pipelines.collect.simulator.tables import all_tables, instants, last_instant, phones
from pipelines.collect.simulator.traffic import Traffic, run_traffic
from pipelines.collect.simulator.world import World, create_world
from pipelines.core.params import SimulateParams


@dataclass(frozen=True)
class Drawn:
    """A drawn market.

    Attributes:
        tables: what the export holds, by name, sorted by arrival; every row arrives within the period.
        truth: what no export would hold: `messages` (probability of a click or purchase within seven days), `leads`
            (quality, when silent, when opted out), `fraud` (phone and ring), `dirt` (which rows were spoilt, how).
    """

    tables: dict[str, pa.Table]
    truth: dict[str, pa.Table]


@dataclass(frozen=True)
class Market:
    """A market that `draw` simulates; the same fields give the same tables.

    Attributes:
        params: size, period, seed and shares.
        drift: from two thirds of the period on, platforms, response times and conversions shift.
        fraud: some leads form rings with consecutive numbers, implausibly fast answers and bursts of clicks.
        story: the constants behind it.
    """

    params: SimulateParams
    drift: bool = False
    fraud: bool = False
    story: Story = field(default_factory=Story)

    def draw(self) -> Drawn:
        """Simulate the whole period.

        Raises:
            ConfigError: more leads or days than can be drawn.
        """
        world = create_world(self.params, self.story, drift=self.drift, fraud=self.fraud)
        traffic = run_traffic(world)
        tables = add_corrections(world, traffic, all_tables(world, traffic))
        message_ids = tables["messages"]["message_id"]
        tables, dirt = add_dirt(world, tables)
        end = last_instant(world) * 1_000_000
        tables = {name: _arrived(table, end) for name, table in tables.items()}
        truth = _truth(world, traffic, message_ids, tables["messages"])
        return Drawn(tables, {**truth, "dirt": _arrived(dirt, end)})


def _arrived(table: pa.Table, end: int) -> pa.Table:
    """The rows that arrive before the instant `end` (microseconds), in order of arrival."""
    received = table["received_at"].cast(pa.int64()).to_numpy()
    order = np.argsort(received, kind="stable")
    return table.take(pa.array(order[: np.searchsorted(received, end, sorter=order)])).combine_chunks()


def _truth(world: World, traffic: Traffic, message_ids: pa.ChunkedArray, exported: pa.Table) -> dict[str, pa.Table]:
    """What was drawn but is not in the export, of messages only those that are exported."""
    people, sent = world.people, traffic.messages
    everyone = np.arange(len(people))
    messages = pa.table(
        {
            "message_id": message_ids,
            "phone": pa.array(people.phones, pa.string()).take(pa.array(sent["lead"])),
            "sent_at": instants(sent["sent"]),
            "probability": sent["probability"],
            "converted": sent["converted"],
        }
    )
    silent = world.start + np.minimum(people.silent_day, 10**6) * 86_400
    leads = pa.table(
        {
            "phone": phones(world, everyone),
            "quality": people.quality.astype(np.float64),
            "silent_at": instants(silent, people.silent_day >= world.params.drawn_days),
            "opted_out_at": instants(traffic.opted_out, traffic.opted_out >= NEVER),
        }
    )
    fraud = np.flatnonzero(people.ring >= 0)
    return {
        "messages": messages.filter(pc.is_in(messages["message_id"], value_set=exported["message_id"])),
        "leads": leads,
        "fraud": pa.table({"phone": phones(world, fraud), "ring": people.ring[fraud]}),
    }
