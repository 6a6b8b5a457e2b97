"""All that a tenant's steps leave for others, as text that two runs can be compared by."""

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.lake.forgotten import DIGESTS, Forgotten
from pipelines.lake.pinned import PinnedLake
from pipelines.registry.kept import kept_snapshots
from pipelines.registry.ledger import Ledger
from pipelines.registry.standing import standing
from tests.leaks import Search
from tests.tables import IDENTITIES, contents, text

_OF_THE_CLOCK = {"gate.check scoring time"}
"""Tags that hold what was measured with a clock."""

_OF_THE_RUN = {"run_id", "data_snapshots", "git_commit", "git_dirty", "card"}
"""Tags of a version that name what another run made anew, or the state of this repository."""


def outcome(tenant: Tenant, gone: str | None = None) -> dict[str, list[str]]:
    """Tables, online store, audience, reports, exports, registry, and what should not be there any more.

    Args:
        tenant: whose.
        gone: phone of a lead that was forgotten.
    """
    plain = bool(os.environ.get("PLAIN_IDS"))
    found = {f"table {name}": rows for name, rows in contents(tenant, plain_ids=plain).items()}
    if gone is not None:
        del found[f"table {DIGESTS}"]  # keyed with a secret that each run makes for itself
        found["kept away"] = _kept_away(tenant, gone)
        found["traces of the phone"] = _traces(tenant, gone)
        found["what runs rest on"] = _versions(tenant)
    found["identities"] = _identities(tenant)
    found["online store"] = _online(tenant)
    found["audience"] = _files(tenant.audience_dir)
    found["reports"] = _files(tenant.reports_dir)
    found["exports"] = _files(tenant.source_dir)
    found["registry"] = _registry(tenant)
    found["ledger"] = _ledger(tenant)
    found["left over"] = _leftovers(tenant)
    return found


def lead_of(tenant: Tenant, phone: str) -> str:
    """Id of the lead with that phone."""
    [row] = Lake(tenant).read(IDENTITIES, where=f"phone = '{phone}'").to_pylist()
    return str(row["lead_id"])


def _kept_away(tenant: Tenant, gone: str) -> list[str]:
    """Those of two phones that are kept out of old batches: the second one was never forgotten."""
    phones = [gone, gone[:-1] + "5"]
    hidden = Forgotten(Lake(tenant)).hidden(pa.array(phones), datetime(2026, 1, 1)).to_pylist()
    until = {str(row["until"]) for row in Lake(tenant).read(DIGESTS).to_pylist()}
    return [*(phone for phone, away in zip(phones, hidden, strict=True) if away), *sorted(until)]


def _traces(tenant: Tenant, gone: str) -> list[str]:
    """Files that hold the phone, but for the exports."""
    exports = tenant.home / "in"
    hits = Search([(gone[1:3], gone[3:])]).folder(tenant.settings.var)
    return sorted({str(hit.path) for hit in hits if not hit.path.is_relative_to(exports)})


def _versions(tenant: Tenant) -> list[str]:
    """The rows of every version of a table that a run was trained on."""
    found = []
    for name, wanted in sorted(kept_snapshots(tenant).items()):
        for one in wanted:
            rows = PinnedLake(tenant, {name: one}).read(name).to_pylist()
            found.append(f"{name} {hashlib.sha256(str(sorted(map(text, rows))).encode()).hexdigest()}")
    return sorted(found)


def _identities(tenant: Tenant) -> list[str]:
    """Phones with the batch that brought them; a phone with two ids stands there twice."""
    lake = Lake(tenant)
    if not lake.exists(IDENTITIES):
        return []
    rows = lake.read(IDENTITIES, columns=["phone", "_batch_id"]).to_pylist()
    return sorted(text(row).replace(str(tenant.home), "") for row in rows)


def _online(tenant: Tenant) -> list[str]:
    file = tenant.feast_dir / "online.db"
    if not file.is_file():
        return []
    found = []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        tables = sorted(row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        for table in tables:
            rows = connection.execute(f'SELECT entity_key, feature_name, value, value_text, event_ts FROM "{table}"')
            found += [f"{table} {row}" for row in rows]
    return sorted([*found, *_watermarks(tenant)])


def _watermarks(tenant: Tenant) -> list[str]:
    from pipelines.features.apply import open_store, quiet

    with quiet():
        views = open_store(tenant).list_feature_views()
    ends = {view.name: max((end for _, end in view.materialization_intervals), default=None) for view in views}
    return [f"{name} up to {end}" for name, end in ends.items()]


def _files(folder: Path) -> list[str]:
    """Every file by its rows or its bytes; of a report only the figures, for its page has random ids."""
    return sorted(
        f"{path.relative_to(folder)} {'' if path.suffix == '.html' else _content(path)}"
        for path in folder.rglob("*")
        if path.is_file()
    )


def _content(path: Path) -> str:
    if path.suffix == ".parquet":
        return hashlib.sha256(str(pq.read_table(path).to_pylist()).encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _registry(tenant: Tenant) -> list[str]:
    """Versions with tags, aliases and words, and the runs by status: each training has one of either."""
    if not (tenant.settings.mlflow_dir / "mlflow.db").is_file():
        return []
    from pipelines.registry.tracking import connect

    client = connect(tenant)
    found, with_version = [], set()
    for target in tenant.target():
        name = tenant.model_name(target)
        models = client.search_registered_models(f"name = '{name}'")
        aliases = dict(models[0].aliases) if models else {}
        for one in client.search_model_versions(f"name = '{name}'"):
            with_version.add(one.run_id)
            tags = {key: value for key, value in sorted(one.tags.items()) if key not in _OF_THE_RUN | _OF_THE_CLOCK}
            names = sorted(alias for alias, version in aliases.items() if str(version) == str(one.version))
            said = str(one.description).replace(one.run_id, "RUN")
            found.append(f"{name} {one.version} {names} {said} {json.dumps(tags)}")
    experiment = client.get_experiment_by_name(tenant.experiment)
    for run in client.search_runs([experiment.experiment_id]) if experiment else []:
        if run.info.status != "KILLED":  # marked as what it is: the first half of a training
            data = {**run.data.params, **run.data.metrics}
            has = "has a version" if run.info.run_id in with_version else "without a version"
            found.append(f"run {run.info.status} {has} {_figures(data)}")
    return sorted(found)


def _ledger(tenant: Tenant) -> list[str]:
    """Decisions and looks, without the wall clock; and what is wrong between ledger and alias."""
    ledger, found = Ledger(tenant), []
    for target in tenant.target():
        for entry in ledger.entries(target):
            found.append(f"{target} {entry.seq} {entry.action} {entry.version} {entry.previous} {entry.why}")
        found += [f"{target} look {look.version} {look.against} {look.passed}" for look in ledger.looks(target)]
        found.append(f"{target} {standing(tenant, target).problem(tenant)}")
    return found


def _figures(data: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in sorted(data.items()) if not key.startswith("snapshot.")})


def _leftovers(tenant: Tenant) -> list[str]:
    """What a killed run left behind: drafts may hold phones."""
    places = [tenant.home / "tmp", tenant.home / "deliveries"]
    found = [path for place in places for path in place.glob("*") if path.name != "duckdb"]
    found += [path for path in tenant.home.glob(".*") if path.is_dir()]
    found += [path for path in (tenant.audience_dir, tenant.reports_dir) for path in path.rglob(".*")]
    found += [*tenant.lake_dir.glob(".*"), *tenant.source_dir.rglob("*.fresh"), *tenant.feast_dir.glob("*.tmp")]
    return sorted(str(path.relative_to(tenant.home)) for path in found)
