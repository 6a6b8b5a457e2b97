"""The features step: compute as of each instant, tell Feast, bring the online store up to date."""

import sqlite3
from typing import TYPE_CHECKING

from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from pipelines.core.errors import NotReady
from pipelines.core.interval import Interval
from pipelines.core.locks import exclusive
from pipelines.core.report import Report
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from feature_repo.definitions import Definitions
    from pipelines.core.tenant import Tenant


def features(tenant: "Tenant", interval: Interval) -> Report:
    """Compute, apply and materialize the features of an interval. Run twice, it leaves equal tables.

    Where rows came since under a time that lies before instants computed already, those are computed again with it.

    Args:
        tenant: whose features.
        interval: days whose midnights are computed.

    Returns:
        Rows written by view, and entities brought online.

    Raises:
        SqlError: SQL that fails, looks past its views or gives an entity twice.
        NotReady: no clean table yet, or another run is at work.
    """
    from pipelines.features import arrivals
    from pipelines.features.apply import apply
    from pipelines.features.compute import compute, tables_of
    from pipelines.features.materialize import materialize, touch, was_touched

    contracts = load_contracts(tenant.contracts_dir)
    definitions = load_definitions(tenant, contracts)
    lake = Lake(tenant)
    if not lake.names("clean"):
        raise NotReady(
            f"tenant '{tenant.name}' has no clean tables yet: run `leadwise ingest` and `leadwise validate` first"
        )
    with exclusive(tenant, "features"):
        whole = was_touched(tenant)
        touch(tenant)
        with tables_of(tenant, definitions, contracts) as asof:
            known = arrivals.fingerprints(asof.connection, {name: contracts[name] for name in asof.snapshots})
            wide, again = arrivals.due(lake, known, interval)
            rows = compute(tenant, wide, definitions, contracts, lake, asof)
        arrivals.remember(lake, known, wide)
        applied = apply(tenant, definitions)
        online, notes = materialize(tenant, wide, definitions, lake, whole)
    report = Report("features", tenant.name, interval, notes=[*again, *notes, *_mixed(lake, definitions)])
    report.counts["rows"] = sum(rows.values())
    report.counts["online_entities"] = max(online.values(), default=0)
    report.counts |= {f"rows.{view}": count for view, count in rows.items()}
    if applied:
        report.notes.append(f"registered {len(definitions.views)} feature views with Feast")
    return report


def _mixed(lake: Lake, definitions: "Definitions") -> list[str]:
    """A sentence per view that holds rows of an older SQL beside those of today's."""
    from pyiceberg.expressions import NotEqualTo

    from pipelines.features.compute import table_of

    older = {
        view.name: lake.count(table_of(view), NotEqualTo("_sql_hash", view.sql_hash))
        for view in definitions.views.values()
    }
    return [
        f"{rows} rows of view '{name}' were computed by an older {definitions.views[name].path.name}:"
        " run `leadwise features` over all days to compute them anew"
        for name, rows in older.items()
        if rows
    ]


def feature_status(tenant: "Tenant") -> dict[str, dict[str, int]]:
    """`{view: {"rows", "online_entities"}}`, zeros before the first run. Does not load Feast."""
    lake = Lake(tenant)
    names = sorted(path.stem.removeprefix("features_") for path in tenant.sql_dir.glob("features_*.sql"))
    online = _online_entities(tenant, names)
    return {name: {"rows": lake.count(f"features.{name}"), "online_entities": online.get(name, 0)} for name in names}


def _online_entities(tenant: "Tenant", names: list[str]) -> dict[str, int]:
    """Entities in the online store by view, counted in Feast's own tables or hashes."""
    if tenant.settings.online_url is not None:
        return _redis_entities(tenant, tenant.settings.online_url, names)
    file = tenant.feast_dir / "online.db"
    if not file.is_file():
        return {}
    prefix = f"{tenant.feast_project}_"
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table.removeprefix(prefix): connection.execute(
                f'SELECT count(DISTINCT entity_key) FROM "{table}"'
            ).fetchone()[0]
            for table in tables
            if table.startswith(prefix)
        }
    finally:
        connection.close()


def _redis_entities(tenant: "Tenant", url: str, names: list[str]) -> dict[str, int]:
    from redis import Redis

    from pipelines.features.address import reached
    from pipelines.features.engine.redis import count_entities

    with reached(tenant.settings), Redis.from_url(url) as client:
        return count_entities(client, tenant.feast_project, names)
