"""Any other online store: Feast's own code path, behind a guard that lets no older row through."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast import FeatureView, RepoConfig
    from feast.infra.online_stores.online_store import OnlineStore

_READ = 1_000
"""Entities asked for at once."""


class Guarded:
    """An online store for Feast to write to: what it holds that is newer than `until` stays."""

    def __init__(self, store: "OnlineStore", until: datetime) -> None:
        self._store = store
        self._until = until

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def online_write_batch(
        self,
        config: "RepoConfig",
        table: "FeatureView",
        data: list[tuple[Any, dict[str, Any], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write the rows whose entity has nothing newer."""
        for start in range(0, len(data), _READ):
            part = data[start : start + _READ]
            stored = self._store.online_read(config, table, [row[0] for row in part], [table.features[0].name])
            kept = [row for row, (time, _) in zip(part, stored, strict=True) if time is None or not self._newer(time)]
            if kept:
                self._store.online_write_batch(config, table, kept, progress)

    def _newer(self, time: datetime) -> bool:
        naive = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
        return naive > self._until
