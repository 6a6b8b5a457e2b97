"""Later versions of records that were sent before: the same key, another value, a newer arrival."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.collect.simulator.kit import DAY_SECONDS, NEVER, stream
from pipelines.collect.simulator.story import CARRIERS
from pipelines.collect.simulator.tables import instants, lead_rows
from pipelines.collect.simulator.traffic import Traffic
from pipelines.collect.simulator.world import World


def add_corrections(world: World, traffic: Traffic, tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """Append corrections: carriers and consent of leads, revenue of purchases, the economic index."""
    rng = stream(world.params.seed, "corrections")
    return {
        **tables,
        "leads": pa.concat_tables([tables["leads"], *_lead_changes(rng, world, traffic)]),
        "conversions": pa.concat_tables([tables["conversions"], _refunds(rng, world, tables["conversions"])]),
        "market": pa.concat_tables([tables["market"], _revisions(rng, world, tables["market"])]),
    }


def _lead_changes(rng: np.random.Generator, world: World, traffic: Traffic) -> list[pa.Table]:
    """Leads that change carrier, and leads that withdraw consent after they opted out."""
    people, n = world.people, len(world.people)
    period = world.params.drawn_days * DAY_SECONDS
    ported_at = people.received + rng.integers(DAY_SECONDS, max(period, DAY_SECONDS + 1), n)
    ported_at = np.where(rng.random(n) < world.story.ported_share, ported_at, NEVER)
    carrier = (people.carrier + rng.integers(1, len(CARRIERS), n)) % len(CARRIERS)
    left_at = traffic.opted_out + rng.integers(3600, 3 * DAY_SECONDS, n)
    withdraws = (rng.random(n) < world.story.withdrawn_share) & (traffic.opted_out < NEVER)
    left_at = np.where(withdraws, left_at, NEVER)
    ported, left = np.flatnonzero(ported_at < NEVER), np.flatnonzero(left_at < NEVER)
    still_there = people.consent & (left_at > ported_at)
    carrier_then = np.where(ported_at < left_at, carrier, people.carrier)
    return [
        lead_rows(world, ported, ported_at[ported], carrier[ported], still_there[ported]),
        lead_rows(world, left, left_at[left], carrier_then[left], np.zeros(len(left), dtype=bool)),
    ]


def _refunds(rng: np.random.Generator, world: World, conversions: pa.Table) -> pa.Table:
    """Purchases of which a part is paid back."""
    bought = np.flatnonzero(pc.equal(conversions["kind"], "purchase").to_numpy())
    rows = conversions.take(pa.array(bought[rng.random(len(bought)) < world.story.refund_share]))
    revenue = np.round(rows["revenue"].to_numpy() * rng.uniform(0.2, 0.9, len(rows)), 2)
    return _again(rng, rows, "revenue", revenue)


def _revisions(rng: np.random.Generator, world: World, market: pa.Table) -> pa.Table:
    """State days whose index is revised."""
    rows = market.take(pa.array(np.flatnonzero(rng.random(len(market)) < world.story.revised_share)))
    index = np.round(rows["economic_index"].to_numpy() + rng.normal(0, 0.8, len(rows)), 2)
    return _again(rng, rows, "economic_index", index)


def _again(rng: np.random.Generator, rows: pa.Table, column: str, values: Any) -> pa.Table:
    """The rows with new values in one column, arriving one to eight days after the first version."""
    received = rows["received_at"].cast(pa.int64()).to_numpy() // 1_000_000
    later = instants(received + rng.integers(DAY_SECONDS, 8 * DAY_SECONDS, len(rows)))
    changed = rows.set_column(rows.column_names.index(column), column, pa.array(values, pa.float64()))
    return changed.set_column(changed.column_names.index("received_at"), "received_at", later)
