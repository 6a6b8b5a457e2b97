"""What a tenant has, as plain values: the shape of `leadwise status --json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expectations.contract import Contract
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake

# What tells one source row from another in quarantine.
_ROW = ("_batch_id", "_source_file", "_source_row")


def collect(tenant: Tenant) -> dict[str, Any]:
    """Read the state of `tenant`; nothing is created, and what is not there yet is empty.

    Returns:
        `tenant`, `use_case`, and by name `tables`, `features`, `models`, then `scores` and `drift` of the newest date.
    """
    from expectations.contract import load_contracts
    from pipelines.deliver.score import score_status
    from pipelines.features.step import feature_status
    from pipelines.lake.catalog import Lake
    from pipelines.registry.status import model_status
    from pipelines.watch.monitor import drift_status

    lake = Lake(tenant)
    contracts = load_contracts(tenant.contracts_dir)
    return {
        "tenant": tenant.name,
        "use_case": tenant.use_case,
        "tables": {name: _table(lake, contract) for name, contract in contracts.items()},
        "features": feature_status(tenant),
        "models": model_status(tenant),
        "scores": score_status(tenant),
        "drift": drift_status(tenant),
    }


def _table(lake: Lake, contract: Contract) -> dict[str, Any]:
    """Distinct keys of a clean table, bad source rows, the version, and when the newest event was."""
    name = f"clean.{contract.name}"
    newest = None
    if contract.event_time and lake.exists(name):
        newest = _query(lake, name, [contract.event_time], f'SELECT max("{contract.event_time}") FROM rows')
    return {
        "rows": _distinct(lake, name, contract.keys),
        "quarantined": _distinct(lake, f"quarantine.{contract.name}", _ROW),
        "snapshot_id": lake.snapshot_id(name),
        "newest_event": newest.isoformat() if newest else None,
    }


def _distinct(lake: Lake, name: str, columns: Sequence[str]) -> int:
    """How many different values of `columns` a table holds; 0 where it does not exist."""
    if not lake.exists(name):
        return 0
    quoted = ", ".join(f'"{column}"' for column in columns)
    return int(_query(lake, name, columns, f"SELECT count(*) FROM (SELECT DISTINCT {quoted} FROM rows)"))


def _query(lake: Lake, name: str, columns: Sequence[str], sql: str) -> Any:
    """The one value that `sql` gives over a table, streamed as `rows`."""
    import duckdb

    with duckdb.connect(config={"threads": lake.tenant.settings.threads}) as connection:
        connection.register("rows", lake.scan(name, columns=columns))
        row = connection.execute(sql).fetchone()
    return row[0] if row else None
