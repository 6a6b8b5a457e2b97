"""Spoils a few rows the way real exports are spoilt, and notes which."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.collect.simulator.kit import DAY_SECONDS, Ints, stream
from pipelines.collect.simulator.story import PLATFORMS
from pipelines.collect.simulator.tables import EVENT_TIMES, KEYS
from pipelines.collect.simulator.world import World

Spoiler = Callable[[pa.Table, np.random.Generator], tuple[str, pa.Array]]
"""Takes the rows to spoil and returns a column's name with its new values."""

_MICRO = 1_000_000


def add_dirt(world: World, tables: dict[str, pa.Table]) -> tuple[dict[str, pa.Table], pa.Table]:
    """Spoil `dirty_share` of the rows and export some rows twice.

    Returns:
        The tables, and a table of what was spoilt: table, key, received_at, fault; two key columns joined by "|".
    """
    rng = stream(world.params.seed, "dirt")
    spoilt, notes = dict(tables), [_note("leads", tables["leads"].slice(0, 0), "")]
    for name, faults in _FAULTS.items():
        spoilt[name], found = _spoil(rng, name, tables[name], faults, world.params.dirty_share)
        notes.extend(found)
    duplicates = world.story.duplicate_share if world.params.dirty_share > 0 else 0.0
    for name, table in spoilt.items():
        twice = np.flatnonzero(rng.random(len(table)) < duplicates)
        spoilt[name] = pa.concat_tables([table, table.take(pa.array(twice))])
    return spoilt, pa.concat_tables(notes)


def _spoil(
    rng: np.random.Generator, name: str, table: pa.Table, faults: dict[str, Spoiler], share: float
) -> tuple[pa.Table, list[pa.Table]]:
    """Give each chosen row one fault; opting out is never lost."""
    chosen = rng.random(len(table)) < share
    if name == "conversions":
        chosen &= pc.not_equal(table["kind"], "opt_out").to_numpy()
    kind = np.where(chosen, rng.integers(0, len(faults), len(table)), -1)
    notes = []
    for index, (fault, spoiler) in enumerate(faults.items()):
        rows = table.take(pa.array(np.flatnonzero(kind == index)))
        notes.append(_note(name, rows, fault))
        column, values = spoiler(rows, rng)
        mask = pa.array(kind == index)
        old = table[column].combine_chunks()
        new = pc.replace_with_mask(old, mask, values.cast(old.type))
        table = table.set_column(table.column_names.index(column), column, new)
    return table, notes


def _note(name: str, rows: pa.Table, fault: str) -> pa.Table:
    keys = [rows[key].cast(pa.string()) for key in KEYS[name]]
    joined = keys[0] if len(keys) == 1 else pc.binary_join_element_wise(*keys, pa.scalar("|"))
    return pa.table(
        {
            "table": pa.array([name] * len(rows), pa.string()),
            "key": joined,
            "received_at": rows["received_at"],
            "fault": pa.array([fault] * len(rows), pa.string()),
        }
    )


def _malformed_phone(rows: pa.Table, rng: np.random.Generator) -> tuple[str, pa.Array]:
    """Digits missing, no country code, letters, nothing."""
    forms: Sequence[Callable[[str], str]] = (
        lambda phone: phone[:-3],
        lambda phone: phone[3:],
        lambda phone: phone[:6] + "O" + phone[7:],
        lambda phone: phone + "00",
        lambda phone: "unknown",
    )
    form = rng.integers(0, len(forms), len(rows))
    phones = rows["phone"].to_pylist()
    return "phone", pa.array([forms[i](phone) for i, phone in zip(form, phones, strict=True)], pa.string())


def _constant(column: str, *values: Any) -> Spoiler:
    """Values that the column must not have."""

    def spoil(rows: pa.Table, rng: np.random.Generator) -> tuple[str, pa.Array]:
        picks = rng.integers(0, len(values), len(rows))
        return column, pa.array(values, rows.schema.field(column).type).take(pa.array(picks))

    return spoil


def _any_response(rows: pa.Table, rng: np.random.Generator) -> tuple[str, pa.Array]:
    """A response time below zero, on one platform."""
    platform = PLATFORMS[int(rng.integers(0, len(PLATFORMS)))]
    return f"{platform}_ms", pa.array(-rng.integers(1, 5_000, len(rows)), pa.int64())


def _future(name: str) -> Spoiler:
    """An event long after its own arrival."""

    def spoil(rows: pa.Table, rng: np.random.Generator) -> tuple[str, pa.Array]:
        ahead: Ints = rng.integers(30 * DAY_SECONDS, 700 * DAY_SECONDS, len(rows)) * _MICRO
        received = rows["received_at"].cast(pa.int64()).to_numpy()
        return EVENT_TIMES[name], pa.array(received + ahead).cast(pa.timestamp("us"))

    return spoil


def _delivered_before_sent(rows: pa.Table, rng: np.random.Generator) -> tuple[str, pa.Array]:
    """A delivery hours before the sending."""
    before: Ints = rng.integers(3600, 48 * 3600, len(rows)) * _MICRO
    sent = rows["sent_at"].cast(pa.int64()).to_numpy()
    return "delivered_at", pa.array(sent - before).cast(pa.timestamp("us"))


_FAULTS: dict[str, dict[str, Spoiler]] = {
    "leads": {
        "malformed phone": _malformed_phone,
        "unknown line type": _constant("line_type", "satellite", ""),
        "future time": _future("leads"),
    },
    "validations": {
        "malformed phone": _malformed_phone,
        "response time out of range": _any_response,
        "future time": _future("validations"),
    },
    "messages": {
        "malformed phone": _malformed_phone,
        "length out of range": _constant("length", 0, 481, 9_999),
        "cost out of range": _constant("cost", -1.0, -0.42),
        "delivered before sent": _delivered_before_sent,
        "future time": _future("messages"),
    },
    "conversions": {
        "malformed phone": _malformed_phone,
        "unknown kind": _constant("kind", "share", ""),
        "future time": _future("conversions"),
    },
    "market": {
        "pressure out of range": _constant("competitor_pressure", -0.2, 1.7),
        "index out of range": _constant("economic_index", -1.0),
    },
}
