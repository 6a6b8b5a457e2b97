"""The point-in-time training set: 200,000 events and three views, against Feast with its default file store."""

import sys
import tempfile
from pathlib import Path

import duckdb
import pandas as pd

from pipelines.core.settings import get_settings
from pipelines.core.tenant import Tenant
from tests.benchmarks.lakes import feature_rows
from tests.benchmarks.measure import Row, run_python

EVENTS, LEADS, EACH = 200_000, 40_000, 15
VIEWS = ["conversions", "messages", "validations"]

OURS = """
from dataclasses import replace
import pyarrow.parquet as pq
from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from pipelines.core.tenant import Tenant
from pipelines.features.join import point_in_time
from pipelines.lake.catalog import Lake
tenant = Tenant.load("demo")
every = load_definitions(tenant, load_contracts(tenant.contracts_dir))
definitions = replace(every, views={{name: every.views[name] for name in {views!r}}})
spine = pq.read_table({folder!r} + "/spine.parquet")
pq.write_table(point_in_time(tenant, Lake(tenant), definitions, spine).read_all(), {folder!r} + "/ours.parquet")
"""

# Feast as its documentation shows it: a local repository, Parquet files, no engine named.
FEAST = """
import warnings; warnings.simplefilter("ignore")
from datetime import timedelta
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, FileSource, RepoConfig, ValueType
folder, columns = {folder!r}, {columns!r}
config = RepoConfig(project="bench", provider="local", registry=folder + "/feast.db",
                    offline_store={{"type": "file"}}, entity_key_serialization_version=3)
store = FeatureStore(config=config)
lead = Entity(name="lead", join_keys=["lead_id"], value_type=ValueType.STRING)
views = [
    FeatureView(name=name, entities=[lead], ttl=timedelta(0),
                source=FileSource(path=folder + f"/{{name}}.parquet", timestamp_field="as_of"))
    for name in columns
]
store.apply([lead, *views])
spine = pd.read_parquet(folder + "/spine.parquet").rename(columns={{"event_time": "event_timestamp"}})
wanted = [f"{{name}}:{{column}}" for name, found in columns.items() for column in found]
store.get_historical_features(spine, wanted).to_df().to_parquet(folder + "/feast.parquet")
"""


def run() -> list[Row]:
    """Seconds and memory from the stored feature rows to a Parquet file, start-up included; the rows are compared."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        tenant = Tenant.load("demo", get_settings().model_copy(update={"var": folder}))
        definitions = feature_rows(tenant, folder, VIEWS, LEADS, EACH)
        spine = (
            f"SELECT range AS n, 'lead' || hash(range) % {LEADS + LEADS // 50} AS lead_id,"
            " TIMESTAMP '2025-12-25' + to_seconds(hash(range, 't') % 8640000) AS event_time"
        )
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({spine} FROM range({EVENTS})) TO '{folder}/spine.parquet'").fetchall()
        columns = {name: [field.name for field in definitions.inputs_of(definitions.views[name])] for name in VIEWS}
        env = {"LEADWISE_VAR": home}
        ours = run_python(OURS.format(folder=home, views=VIEWS), env)
        feast = run_python(FEAST.format(folder=home, columns=columns), env)
        _compare(folder, [name for found in columns.values() for name in found])
    return [
        Row.of(
            f"{EVENTS:,} events × 3 views", ours.seconds, feast.seconds, "s", "Feast, file store; reach: not slower"
        ),
        Row.of("peak memory", ours.peak_mb, feast.peak_mb, "MB", "Feast, file store; reach: half"),
    ]


def _compare(folder: Path, names: list[str]) -> None:
    """Make sure that both joined the same rows, every cell; Feast leaves out events without any feature row."""
    ours, theirs = (
        pd.read_parquet(folder / f"{whose}.parquet").set_index("n").sort_index() for whose in ("ours", "feast")
    )
    assert len(ours) == EVENTS, len(ours)
    left_out = ours.drop(theirs.index)[names]
    assert left_out.isna().all(axis=None), left_out.dropna().head()
    assert len(left_out) < EVENTS / 5, len(left_out)
    found = ours.loc[theirs.index, names].astype(object)
    pd.testing.assert_frame_equal(found, theirs[names].astype(object), check_dtype=False)
    print(
        f"{len(theirs)} rows × {len(names)} features are equal; Feast drops {len(left_out)} without any",
        file=sys.stderr,
    )
