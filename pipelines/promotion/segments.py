"""Segments of the rows held out: the columns that contracts declare, as a row's entity had them when it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.registry.tracking import ENTITY
from pipelines.train.artifacts import veiled
from pipelines.train.split import EVENT_TIME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa

    from expectations.contract import Contract
    from pipelines.core.tenant import Tenant


def declared(tenant: Tenant, target: str) -> dict[str, Contract]:
    """The columns that contracts of the target's entity declare as segments, and the contract of each."""
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions

    contracts = load_contracts(tenant.contracts_dir)
    entity = load_definitions(tenant, contracts).label(target).entity
    found: dict[str, Contract] = {}
    for contract in contracts.values():
        if contract.entity == entity:
            for column in contract.columns:
                if column.segment:
                    found.setdefault(column.name, contract)
    return found


def with_segments(tenant: Tenant, holdout: pa.Table, columns: Mapping[str, Contract], as_of: datetime) -> pa.Table:
    """Rows held out, with those segments that no feature of the same name tells.

    A segment is what the entity's newest event said when the row happened, as the audience has it. One that nobody can
    tell of any row is not added, and the gate says so; nor is one of rows without a time, or one that becomes known
    later: it could part the rows by their outcome.

    Args:
        tenant: whose lake.
        holdout: of a run, with the digests of its entities; without them nothing is added.
        columns: as `declared` gives them.
        as_of: instant until which rows had to have arrived.
    """
    if ENTITY not in holdout.schema.names or not holdout.num_rows:
        return holdout
    asked: dict[str, list[str]] = {}
    for name, contract in columns.items():
        column = contract.clean_columns.get(name)
        if name not in holdout.schema.names and column is not None and contract.event_time and not column.known_after:
            asked.setdefault(contract.name, []).append(name)
    for names in asked.values():
        contract = columns[names[0]]
        told = _newest(holdout, _events(tenant, contract, names, as_of), names)
        for name in names:
            if told[name].null_count < told.num_rows:
                holdout = holdout.append_column(name, told[name])
    return holdout


def _events(tenant: Tenant, contract: Contract, names: Sequence[str], as_of: datetime) -> pa.Table:
    """Entity (as a digest), time and segments of each event that had arrived; of several at once the last key's."""
    from pipelines.lake.asof import AsOf
    from pipelines.lake.catalog import Lake

    moment = f'"{contract.event_time}"'
    order = ", ".join(f'"{name}" DESC' for name in contract.keys) or "1"
    listed = ", ".join(f'"{name}"' for name in names)
    sql = (
        f'SELECT "{contract.entity}"::VARCHAR AS entity, {moment}::TIMESTAMP AS moment, {listed} FROM "{contract.name}"'
        f" WHERE entity IS NOT NULL AND moment IS NOT NULL"
        f" QUALIFY row_number() OVER (PARTITION BY entity, moment ORDER BY {order}) = 1"
    )
    wanted = [contract.entity, contract.event_time, *contract.keys, *names]
    reads = {contract.name: [name for name in dict.fromkeys(wanted) if name]}
    with AsOf(Lake(tenant), {contract.name: contract}, reads) as views:
        events = views.query(sql, as_of)
    return events.set_column(0, "entity", veiled(events["entity"]))


def _newest(holdout: pa.Table, events: pa.Table, names: Sequence[str]) -> pa.Table:
    """The segments of each row, in the order of the rows: those of its entity's newest event by then."""
    import duckdb
    import numpy as np
    import pyarrow as pa

    rows = holdout.select([ENTITY, EVENT_TIME]).append_column("nth", pa.array(np.arange(holdout.num_rows)))
    listed = ", ".join(f'events."{name}"' for name in names)
    with duckdb.connect() as connection:
        connection.register("held", rows)
        connection.register("events", events)
        return connection.sql(
            f"SELECT {listed} FROM held ASOF LEFT JOIN events"
            f' ON held."{ENTITY}" = events.entity AND held."{EVENT_TIME}" >= events.moment ORDER BY held.nth'
        ).to_arrow_table()
