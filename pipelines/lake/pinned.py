"""A lake that stands still: each table is read at one snapshot, whatever is written meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.lake.catalog import Lake
from pipelines.lake.expiry import standing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.table import DataScan, Table

    from pipelines.core.tenant import Tenant


class PinnedLake(Lake):
    """To be read only. What `AsOf` and joins see through it belongs together, and can be seen again later."""

    def __init__(self, tenant: Tenant, snapshots: Mapping[str, int | None] | None = None) -> None:
        """Pin the tables.

        Args:
            tenant: whose lake.
            snapshots: the version of each table, None for one that did not exist; None pins each table to the version
                it has when it is first looked at.
        """
        super().__init__(tenant)
        self._given = snapshots
        self.fixed = snapshots is not None
        self._tables: dict[str, Table | None] = {}

    def table(self, name: str) -> Table | None:
        """The table as it was when it was first looked at; None for one that did not exist at the snapshot given."""
        if name not in self._tables:
            gone = self._given is not None and self._given.get(name) is None
            self._tables[name] = None if gone else super().table(name)
        return self._tables[name]

    def snapshot_id(self, name: str) -> int | None:
        """The snapshot given, or the one the table had when it was first looked at."""
        return super().snapshot_id(name) if self._given is None else self._given.get(name)

    def missing(self) -> list[str]:
        """Tables whose snapshot is no longer there."""
        given = self._given or {}
        return sorted(name for name, wanted in given.items() if wanted is not None and self._standing(name) is None)

    def replaced(self) -> list[str]:
        """Tables whose snapshot gave way to one without leads that were forgotten."""
        given = self._given or {}
        return sorted(name for name, wanted in given.items() if wanted is not None and self._standing(name) != wanted)

    def planned(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        where: BooleanExpression | str | None = None,
        snapshot_id: int | None = None,
    ) -> tuple[Table, DataScan]:
        """See `Lake`; without `snapshot_id` the pinned one is read."""
        wanted = snapshot_id or (self._standing(name) if self._given is not None else None)
        return super().planned(name, columns=columns, where=where, snapshot_id=wanted)

    def _standing(self, name: str) -> int | None:
        """The snapshot that is read: the given one, or what took its place when leads were forgotten."""
        wanted = None if self._given is None else self._given.get(name)
        table = self.table(name)
        return None if table is None or wanted is None else standing(table, wanted)
