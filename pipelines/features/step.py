"""The features step: compute as of each instant, tell Feast, bring the online store up to date."""

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.interval import Interval
from pipelines.core.locks import exclusive
from pipelines.core.report import Report
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from feature_repo.definitions import Definitions
    from pipelines.core.tenant import Tenant
    from pipelines.features.compute import Written
    from pipelines.features.history import Standing
    from pipelines.registry.runs import Run


def features(tenant: "Tenant", interval: Interval, rewrite: bool = False, without_champion: bool = False) -> Report:
    """Compute, apply and materialize the features of an interval. Run twice, it leaves equal tables.

    Where rows came since under a time that lies before instants computed already, those are computed again with it.

    Args:
        tenant: whose features.
        interval: days whose midnights are computed.
        rewrite: write the whole history of the views whose definition changed, or that are new, instead of the
            interval: of each view in one commit. The online store is written anew.
        without_champion: go on although a champion reads a feature that no view gives any more.

    Returns:
        Rows written by view, and entities brought online; in `notes` what was computed otherwise than before, and the
        models and runs that used an older definition.

    Raises:
        SqlError: SQL that fails, looks past its views or gives an entity twice.
        ContractError: a contract breaks the rows that are stored.
        ConfigError: a champion reads a feature that is gone.
        NotReady: no clean table yet, rows of an older definition that the interval does not cover, or another run is at
            work.
    """
    from pipelines.features import arrivals
    from pipelines.features.apply import apply, is_applied
    from pipelines.features.compute import compute, tables_of
    from pipelines.features.history import standing, unfinished, whole
    from pipelines.features.materialize import materialize, touch, was_touched

    lake = Lake(tenant)
    if not lake.names("clean"):
        raise NotReady(
            f"tenant '{tenant.name}' has no clean tables yet: run `leadwise ingest` and `leadwise validate` first"
        )
    contracts = load_contracts(tenant.contracts_dir)
    definitions = load_definitions(tenant, contracts)
    with exclusive(tenant, "features"):
        standings = {view.name: standing(lake, view) for view in definitions.views.values()}
        if not is_applied(tenant, definitions) and not without_champion:
            refuse_without(tenant, definitions)
        used = _users(tenant, definitions, standings)
        chosen, again = definitions, list[str]()
        with tables_of(tenant, definitions, contracts, arrivals.marks(contracts)) as asof:
            known = arrivals.fingerprints(lake, asof.connection, {name: contracts[name] for name in asof.snapshots})
            if rewrite:
                names = [one.view.name for one in unfinished(list(standings.values()))]
                chosen = replace(definitions, views={name: definitions.views[name] for name in names})
                interval = whole(list(standings.values())) or interval
            else:
                interval, again = arrivals.due(lake, known, interval)
            anew = rewrite or was_touched(tenant)
            touch(tenant)
            rows = compute(tenant, interval, chosen, contracts, lake, asof, rewrite) if chosen.views else {}
        if not rewrite:  # a rewrite leaves the other views as they were: what is due of them stays due
            arrivals.remember(lake, known, interval)
        applied = apply(tenant, definitions)
        online, notes = materialize(tenant, interval, definitions, lake, anew)
    report = Report("features", tenant.name, interval, notes=[*again, *notes, *_differ(rows)])
    report.counts["rows"] = sum(one.rows for one in rows.values())
    report.counts["online_entities"] = max(online.values(), default=0)
    report.counts |= {f"rows.{view}": one.rows for view, one in rows.items()}
    if differ := sum(one.differ for one in rows.values()):
        report.counts["rows_that_differ"] = differ
    report.notes += _anew(rows, standings, used)
    if rewrite and not rows:
        report.notes.append("every view's rows are of its definition of today: only the online store was written anew")
    if applied:
        report.notes.append(f"registered {len(definitions.views)} feature views with Feast")
    return report


def refuse_without(tenant: "Tenant", definitions: "Definitions") -> None:
    """Raise ConfigError where a champion reads a feature that these definitions do not give."""
    from pipelines.registry.definitions import champions, missing

    for target, version in champions(tenant).items():
        if gone := missing(version, definitions, target):
            raise ConfigError(
                f"version {version.version} of {tenant.model_name(target)}, the champion, reads the feature"
                f" '{gone[0]}', which {tenant.sql_dir} does not give any more, or gives as another kind: keep it, or go"
                " on with `leadwise features --rewrite --without-champion`, then train and promote; nothing was written"
            )


def _users(tenant: "Tenant", definitions: "Definitions", standings: "Mapping[str, Standing]") -> "dict[str, list[Run]]":
    """By view that changed, the runs that used an older definition."""
    changed = {name: one for name, one in standings.items() if one.word == "changed"}
    if not changed:
        return {}
    from pipelines.registry.definitions import users

    found = users(tenant, {f"features.{name}": definitions.views[name].sql_hash for name in changed})
    return {name.removeprefix("features."): used for name, used in found.items()}


def _differ(rows: "Mapping[str, Written]") -> list[str]:
    """A sentence per view whose instants gave other rows than before, by the same definition."""
    return [
        f"{one.differ} rows of view '{name}' are not what they were, by the same definition: data that arrived before"
        " these instants was loaded, mended or deleted since; what was trained on them knew the rows of then"
        for name, one in rows.items()
        if one.differ
    ]


def _anew(
    rows: "Mapping[str, Written]", standings: "Mapping[str, Standing]", used: "Mapping[str, list[Run]]"
) -> list[str]:
    """Which views were written anew after their definition changed, and who used what was there before."""
    notes = []
    for name, one in rows.items():
        before = standings[name]
        if before.older:
            notes.append(
                f"the history of view '{name}' was written anew: {one.rows} rows; of the {before.rows} that stood there"
                f" {before.older} were of an older definition"
            )
        if runs := used.get(name):
            from pipelines.registry.definitions import listed

            notes.append(f"trained on an older definition of view '{name}': {listed(runs)}: train and promote again")
    return notes


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
