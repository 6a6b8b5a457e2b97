"""Who is not written to, and why: rules over the scores of a date, none of which can be switched off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from expectations.contract import Column, Contract
from pipelines.deliver.blocked import blocked
from pipelines.lake.asof import AsOf

if TYPE_CHECKING:
    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake

RULES: Mapping[str, str] = {
    "opted_out": "wants no more messages",
    "no_consent": "never agreed to be contacted",
    "do_not_contact": "stands on a list of people who are never written to",
    "unreachable": "can receive no message: a landline",
    "invalid": "has no valid phone",
    "too_many_messages": "got as many messages within a week as are allowed",
    "quiet_hours": "would get the message at night, or lives where nobody knows",
}
"""Why somebody is left out, in the order in which reasons are named, and each in words."""

TABLE = "suppressed"
"""Table of the connection: `entity_id`, and `rule`: one row for each reason."""

_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Occasion:
    """What the rules are asked of.

    Attributes:
        tenant: whose audience.
        lake: of the tenant.
        interval: its end is the instant whose knowledge counts.
        contracts: by table name, those that concern the entity.
        entity: name of what is scored.
        sending: when the messages go out, naive UTC.
    """

    tenant: Tenant
    lake: Lake
    interval: Interval
    contracts: Mapping[str, Contract]
    entity: str
    sending: datetime


def speaks(contract: Contract) -> bool:
    """Whether a contract says anything that a rule looks at."""
    words = (column.consent or column.opt_out or column.unreachable or column.timezone for column in contract.columns)
    return contract.message or any(words)


def suppress(connection: duckdb.DuckDBPyConnection, views: AsOf, occasion: Occasion) -> dict[str, int]:
    """Write the table `suppressed` beside the table `scores`, and count the scores that each rule leaves out.

    Args:
        connection: holds `scores`, with a column `entity_id`.
        views: the tables of the contracts.
        occasion: what is asked.

    Returns:
        Scores by rule, in the order of `RULES`; one that several rules leave out counts for each.

    Raises:
        SourceError, ConfigError: a do_not_contact list can't be read: then there is no audience.
    """
    connection.execute(f"CREATE OR REPLACE TABLE {TABLE} (entity_id VARCHAR, rule VARCHAR)")
    for rule, found in _found(connection, views, occasion):
        connection.register("_found", found)
        connection.execute(
            f"INSERT INTO {TABLE} SELECT DISTINCT entity_id, '{rule}' FROM _found JOIN scores USING (entity_id)"
        )
        connection.unregister("_found")
    counted = dict(
        connection.execute(
            f"SELECT rule, count(*) FROM scores JOIN (SELECT DISTINCT * FROM {TABLE}) USING (entity_id) GROUP BY rule"
        ).fetchall()
    )
    return {rule: int(counted.get(rule, 0)) for rule in RULES}


def _found(connection: duckdb.DuckDBPyConnection, views: AsOf, occasion: Occasion) -> Iterator[tuple[str, pa.Table]]:
    """Entities by rule, a table with one column each."""

    def asked(sql: str, **params: object) -> pa.Table:
        return views.query(sql, occasion.interval.as_of, params)

    for contract in occasion.contracts.values():
        for column in contract.columns:
            yield from _of_column(connection, asked, contract, column, occasion)
        if contract.message and contract.event_time:
            yield "too_many_messages", _written_to(asked, contract, occasion)
    if any(column.pseudonymised for contract in occasion.contracts.values() for column in contract.columns):
        yield "invalid", _others(connection, _with_phones(occasion.lake))
    for source in occasion.tenant.params.audience.do_not_contact:
        yield "do_not_contact", blocked(occasion.tenant, occasion.lake, source, occasion.entity)


def _of_column(
    connection: duckdb.DuckDBPyConnection,
    asked: Callable[..., pa.Table],
    contract: Contract,
    column: Column,
    occasion: Occasion,
) -> Iterator[tuple[str, pa.Table]]:
    """What the words of one column leave out."""
    for rule, value in (("opted_out", column.opt_out), ("unreachable", column.unreachable)):
        if value is not None:
            yield rule, asked(_entities(contract, f'"{column.name}"::VARCHAR = $value'), value=value)
    if column.consent:
        yield "no_consent", _others(connection, asked(_entities(contract, f'"{column.name}"')))
    if column.timezone:
        yield "quiet_hours", _asleep(connection, asked, contract, column, occasion)


def _entities(contract: Contract, condition: str) -> str:
    """The entities of which a row fulfils `condition`."""
    column = f'"{contract.entity}"'
    source = f'SELECT DISTINCT {column}::VARCHAR AS entity_id FROM "{contract.name}"'
    return f"{source} WHERE {condition} AND {column} IS NOT NULL"


def _others(connection: duckdb.DuckDBPyConnection, good: pa.Table) -> pa.Table:
    """The scored entities that are not among these."""
    connection.register("_good", good)
    try:
        sql = "SELECT entity_id FROM scores ANTI JOIN _good USING (entity_id)"
        return connection.sql(sql).to_arrow_table()
    finally:
        connection.unregister("_good")


def _with_phones(lake: Lake) -> pa.Table:
    """Entities whose phone is known."""
    from pipelines.lake import identities

    if not lake.exists(identities.TABLE):
        return pa.table({"entity_id": pa.array([], pa.string())})
    return lake.read(identities.TABLE, columns=["lead_id"]).rename_columns(["entity_id"])


def _written_to(asked: Callable[..., pa.Table], contract: Contract, occasion: Occasion) -> pa.Table:
    """Entities that got as many messages in the week before the sending as are allowed."""
    most = occasion.tenant.params.audience.max_messages_per_week
    sql = (
        f'SELECT "{contract.entity}"::VARCHAR AS entity_id FROM "{contract.name}"'
        f' WHERE "{contract.event_time}" > $since AND "{contract.entity}" IS NOT NULL'
        " GROUP BY ALL HAVING count(*) >= $most"
    )
    return asked(sql, since=occasion.sending - _WEEK, most=most)


def _asleep(
    connection: duckdb.DuckDBPyConnection,
    asked: Callable[..., pa.Table],
    contract: Contract,
    column: Column,
    occasion: Occasion,
) -> pa.Table:
    """Entities in whose newest time zone the sending falls into quiet hours; and those without a zone."""
    quiet = occasion.tenant.params.audience.quiet_hours
    if quiet.start == quiet.end:
        return pa.table({"entity_id": pa.array([], pa.string())})
    zones = asked(newest(contract, [column.name]))
    names = [name for name in zones[column.name].unique().to_pylist() if name is not None]
    awake = [name for name in names if (hour := _hour(name, occasion.sending)) is not None and not quiet.holds(hour)]
    good = zones.filter(pc.is_in(zones[column.name], value_set=pa.array(awake, pa.string())))
    return _others(connection, good.select(["entity_id"]))


def newest(contract: Contract, names: list[str]) -> str:
    """SQL of some columns of each entity's newest event."""
    columns = ", ".join(f'"{name}"' for name in names)
    order = ", ".join(f'"{name}" DESC' for name in (contract.event_time, *contract.keys) if name)
    return (
        f'SELECT "{contract.entity}"::VARCHAR AS entity_id, {columns} FROM "{contract.name}"'
        f' QUALIFY row_number() OVER (PARTITION BY "{contract.entity}" ORDER BY {order}) = 1'
    )


def _hour(zone: str, moment: datetime) -> int | None:
    """The local hour; None in a zone that nobody knows."""
    try:
        return moment.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(zone)).hour
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
