"""The database of a tenant's catalog, in which small tables of ours lie beside Iceberg's."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.stores import sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from pipelines.core.tenant import Tenant


def begun(tenant: Tenant) -> bool:
    """Whether there may be tables: a look at a file that was never written makes none."""
    return bool(tenant.settings.catalog_url) or (tenant.home / "catalog.db").is_file()


@contextmanager
def transaction(tenant: Tenant, what: str, writing: bool = False) -> Iterator[Connection]:
    """One transaction: all of it is there afterwards, or nothing.

    Args:
        tenant: whose catalog.
        what: begins sentences, such as "ledger of tenant 'demo'".
        writing: make the tenant's folder where it is missing.

    Raises:
        StoreUnreachable: the database does not answer.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    served = bool(tenant.settings.catalog_url)
    if writing and not served:
        Path(tenant.home).mkdir(parents=True, exist_ok=True)
    patience = {"connect_timeout": 5} if served else {"timeout": 30}
    engine = create_engine(tenant.catalog_uri, poolclass=NullPool, connect_args=patience)
    with sentences(what, str(tenant.home)), engine.begin() as connection:
        yield connection
