"""The tables of a tenant that can be asked, and how far they go."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.conversions import from_bytes
from pyiceberg.types import TimestampType

from pipelines.core.errors import NotReady
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from expectations.contract import Contract

QUARANTINE = ("_batch_id", "_source_file", "_source_row", "rule", "column", "_arrived_at")
"""What is shown of quarantine: where a row stands and why it was refused, none of its cells."""

_NAMESPACES = ("features", "deliver", "watch", "quarantine")
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Shown:
    """A table that can be asked.

    Attributes:
        name: as SQL calls it: a contract's name, or `<schema>.<table>`.
        table: in the lake.
        contract: of a clean table, else None.
        columns: name and type, in order.
    """

    name: str
    table: str
    contract: "Contract | None"
    columns: tuple[tuple[str, str], ...]


def shown(lake: Lake, contracts: "Mapping[str, Contract]") -> dict[str, Shown]:
    """The tables that can be asked, by name: clean, features, scores, drift, and what is in quarantine.

    Raw rows, identities, and the values in quarantine hold personal data and are not among them.

    Raises:
        NotReady: nothing was published yet.
    """
    if not lake.names("clean") and not lake.names("quarantine"):
        raise NotReady(
            f"tenant '{lake.tenant.name}' has no tables yet: run `leadwise run --tenant {lake.tenant.name}` first"
        )
    found = {name: Shown(name, f"clean.{name}", one, _types(one.clean_schema())) for name, one in contracts.items()}
    for namespace in _NAMESPACES:
        for table in lake.names(namespace):
            name = f"{namespace}.{table}"
            found[name] = Shown(name, name, None, _types(_visible(lake, name)))
    return found


def newest(lake: Lake, contracts: "Mapping[str, Contract]") -> datetime:
    """The instant by which everything is known: the last arrival, or the end of the tenant's run if that is later.

    Read from the tables' statistics alone.
    """
    latest = lake.tenant.whole_run.end
    for name in contracts:
        table = lake.table(f"clean.{name}")
        if table is None:
            continue
        field = table.schema().find_field("_arrived_at")
        for task in table.scan().plan_files():
            bound = (task.file.upper_bounds or {}).get(field.field_id)
            if bound:
                latest = max(latest, _EPOCH + timedelta(microseconds=int(from_bytes(TimestampType(), bound))))
    return latest


def _visible(lake: Lake, name: str) -> pa.Schema:
    """Columns that are shown: not our own, and of quarantine only those that say where and why."""
    table = lake.table(name)
    full = table.schema().as_arrow() if table is not None else pa.schema([])
    if name.startswith("quarantine."):
        return pa.schema([full.field(column).with_name(column.lstrip("_")) for column in QUARANTINE])
    return pa.schema([field for field in full if not field.name.startswith("_")])


def _types(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    return tuple((field.name, str(field.type).removeprefix("large_")) for field in schema)
