"""The tables of a tenant as text that two runs can be compared by."""

from pathlib import Path
from typing import Any

from pipelines.core.tenant import Tenant
from pipelines.features.arrivals import ARRIVALS
from pipelines.lake.catalog import NAMESPACES, Lake

IDENTITIES = "identity.identities"
_OWN = {"score_id", "run_id"}
"""Columns that hang on a random salt, or on MLflow's."""


def warehouse(tenant: Tenant) -> Path:
    """Folder in which the files of the lake lie: the tenant's own, or below the one that the S3 server serves."""
    folder = tenant.settings.lake_url and tenant.settings.services_dir / "s3"
    return folder / tenant.lake_url.removeprefix("s3://") if folder else tenant.lake_dir


def contents(tenant: Tenant, plain_ids: bool = False) -> dict[str, list[str]]:
    """Every table of the lake: its rows as sorted text, without the wall clock.

    Args:
        tenant: whose lake.
        plain_ids: put what a lead id stands for in its place, and no folder: for a comparison of two tenants, whose
            salts differ.
    """
    lake = Lake(tenant)
    names = [f"{namespace}.{table}" for namespace in NAMESPACES for table in lake.names(namespace)]
    found = {name: lake.read(name).to_pylist() for name in names}
    if plain_ids:
        found.pop(ARRIVALS, None)  # fingerprints of rows with their lead ids
    else:
        return {name: sorted(map(text, rows)) for name, rows in found.items()}
    for table, rows in found.items():
        for row in rows if table.startswith(("deliver.", "watch.")) else ():
            for name in _OWN & row.keys():
                del row[name]
    known = {row["lead_id"]: row["phone"] for row in found.pop(IDENTITIES, [])}
    home = str(tenant.home)
    return {
        name: sorted(text({key: _plain(value, known, home) for key, value in row.items()}) for row in rows)
        for name, rows in found.items()
    }


def _plain(value: Any, known: dict[str, str], home: str) -> Any:
    return known.get(value, value.replace(home, "")) if isinstance(value, str) else value


def text(row: dict[str, Any]) -> str:
    """A row as text; sums in another order may differ in the last digits."""
    return str(
        {
            name: float(f"{value:.10g}") if isinstance(value, float) else value
            for name, value in row.items()
            if name != "_loaded_at"
        }
    )
