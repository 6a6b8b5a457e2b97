"""The step as a whole, on a small use case of the test's own: one table, one view, one target."""

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.expressions import AlwaysTrue

from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from pipelines.core.errors import ConfigError, NotReady, SqlError
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.features.compute import compute
from pipelines.lake.catalog import Lake
from pipelines.promotion.promote import promote
from pipelines.registry.status import model_status
from pipelines.registry.tracking import HOLDOUT, connect, run_table
from pipelines.train.step import train
from tests.conftest import MakeTenant
from tests.gates import easy

CONTRACT = """
kind: DataContract
apiVersion: v3.1.0
id: visits
version: 1.0.0
status: active
schema:
  - name: visits
    properties:
      - {name: visit_id, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: guest_id, logicalType: string, required: true, customProperties: [{property: entity, value: guest_id}]}
      - {name: visited_at, logicalType: timestamp, required: true,
         customProperties: [{property: event_time, value: true}]}
      - {name: spent, logicalType: number}
      - {name: room, logicalType: string}
      - {name: returned, logicalType: boolean, customProperties: [{property: known_after, value: P2D}]}
      - {name: seen_at, logicalType: timestamp, required: true,
         customProperties: [{property: arrived_at, value: true}]}
"""
VIEW = """
select guest_id, count(*) as visits, avg(spent) as mean_spent, arg_max(room, visited_at) as last_room,
    max(visited_at) as last_visit_at
from visits
where visited_at <= $as_of
group by guest_id
"""
LABEL = """
select guest_id, visited_at as event_time, returned as label, visited_at + to_days($horizon_days::int) as known_at
from visits
where visited_at <= $as_of
"""
START = datetime(2026, 1, 1)
DAYS = 20
INTERVAL = Interval.of_days(date(2026, 1, 1), date(2026, 1, 21))
SYSTEM = [
    ("_arrived_at", pa.timestamp("us")),
    ("_batch_id", pa.string()),
    ("_source_file", pa.string()),
    ("_source_row", pa.int64()),
    ("_loaded_at", pa.timestamp("us")),
]
SMALL = {"num_boost_round": 15, "early_stopping_rounds": 5}


def visits(count: int) -> list[dict[str, object]]:
    """Guests who spent much come back."""
    rng = np.random.default_rng(0)
    habit = rng.normal(size=60)
    rows = []
    for i in range(count):
        guest = int(rng.integers(60))
        at = START + timedelta(days=DAYS * i / count)
        rows.append(
            {
                "visit_id": f"v{i}",
                "guest_id": f"g{guest}",
                "visited_at": at,
                "spent": float(50 + 20 * habit[guest] + rng.normal()),
                "room": None if i % 9 == 0 else ("east" if habit[guest] > 0 else "west"),
                "returned": bool(rng.random() < 1 / (1 + np.exp(-2 * habit[guest]))),
                "seen_at": at,
            }
        )
    return rows


def write(tenant: Tenant, rows: list[dict[str, object]]) -> None:
    """Clean rows as `validate` would leave them, and their features."""
    contracts = load_contracts(tenant.contracts_dir)
    schema = pa.schema([*contracts["visits"].clean_schema(), *SYSTEM])
    system = {"_batch_id": "b", "_source_file": "f", "_loaded_at": START}
    full = [{**row, **system, "_arrived_at": row["seen_at"], "_source_row": i} for i, row in enumerate(rows)]
    lake = Lake(tenant)
    lake.write("clean.visits", schema, [pa.Table.from_pylist(full, schema)], replace=AlwaysTrue())
    compute(tenant, INTERVAL, load_definitions(tenant, contracts), contracts, lake)


def make(make_tenant: MakeTenant) -> Tenant:
    """A tenant of this use case."""
    train_params = {
        "targets": {"conversion": {"horizon_days": 2}},
        "min_rows": 100,
        "lightgbm": {**SMALL, "min_child_samples": 5},
        "xgboost": SMALL,
    }
    sql = {
        "features_guest.sql": VIEW,
        "labels/conversion.sql": LABEL,
        "mapping.sql": "-- table: visits\nselect * from leads\n",
    }
    return make_tenant(params={"train": train_params}, contracts={"visits.yaml": CONTRACT}, sql=sql)


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make(make_tenant)


def test_the_whole_step_twice(tenant: Tenant) -> None:
    write(tenant, visits(400))
    report = train(tenant, INTERVAL)
    assert [row["model"] for row in report.details] == ["lightgbm", "scorer", "linear", "base rate only"]
    assert sum(row["candidate"] == "yes" for row in report.details) == 1
    counts = {name.removeprefix("conversion: "): value for name, value in report.counts.items()}
    assert counts["matured rows"] == 361  # 20 a day; those of the last two days are not known yet
    assert counts["holdout rows"] == 72
    assert counts["purged rows"] == 39  # less than two days before the holdout
    assert counts["training rows"] == 361 - 72 - 39
    status = model_status(tenant)["conversion"]
    assert status["alias"] == "challenger"
    assert set(status["data_snapshots"]) == {"clean.visits", "features.guest"}
    assert status["data_snapshots"]["clean.visits"] == Lake(tenant).snapshot_id("clean.visits")

    write(tenant, visits(400))  # the same rows as new snapshots
    again = train(tenant, INTERVAL)
    assert "stays the challenger" in again.notes[0]
    assert again.details == report.details
    assert len(connect(tenant).search_model_versions("name = 'demo.conversion'")) == 1
    assert "promoted" in promote(easy(tenant), INTERVAL).notes[0]

    later = train(tenant, Interval.of_days(date(2026, 1, 1), date(2026, 1, 20)))
    assert "version 2" in later.notes[-2]


def test_the_holdout_is_the_latest_and_its_features_are_older(tenant: Tenant) -> None:
    """Against the rows themselves: the number of visits before the last midnight, counted by hand."""
    rows = visits(400)
    write(tenant, rows)
    train(tenant, INTERVAL)
    version = connect(tenant).get_model_version_by_alias("demo.conversion", "challenger")
    held = run_table(tenant.settings.tracking_uri, version.run_id, HOLDOUT)
    assert held is not None
    times = held["event_time"].to_pylist()
    assert times == sorted(times)
    matured = [row for row in rows if row["visited_at"] + timedelta(days=2) <= INTERVAL.end]
    assert times == [row["visited_at"] for row in matured[-72:]]
    assert held["label"].to_pylist() == [int(row["returned"]) for row in matured[-72:]]
    for row, counted in zip(matured[-72:], held["visits"].to_pylist(), strict=True):
        midnight = datetime.combine(row["visited_at"].date(), datetime.min.time())
        before = [r for r in rows if r["guest_id"] == row["guest_id"] and r["visited_at"] <= midnight]
        assert counted == len(before)
    assert pc.min(held["days_since_visit"]).as_py() >= 0


def test_the_run_has_a_card_and_the_version_links_to_it(tenant: Tenant) -> None:
    import mlflow

    write(tenant, visits(400))
    train(tenant, INTERVAL)
    version = connect(tenant).get_model_version_by_alias("demo.conversion", "challenger")
    page = mlflow.artifacts.load_text(f"runs:/{version.run_id}/card.html")
    assert "demo.conversion" in page
    assert f"{float(version.tags['logloss']):.4f}" in page
    assert version.tags["training_digest"] in page
    assert version.tags["card"] in version.description
    assert version.run_id in version.description
    assert not any(f">g{number}<" in page for number in range(60))  # no guest is named


def test_too_little_data_is_one_sentence(tenant: Tenant) -> None:
    write(tenant, visits(90))
    with pytest.raises(NotReady, match=r"\d+ rows have a known label as of 2026-01-21, fewer than the 100"):
        train(tenant, INTERVAL)


def test_nothing_matured_is_one_sentence(tenant: Tenant) -> None:
    write(tenant, visits(200))
    with pytest.raises(NotReady, match="no row has a label that is known as of 2026-01-02"):
        train(tenant, Interval.day(date(2026, 1, 1)))


def test_one_class_is_one_sentence(tenant: Tenant) -> None:
    write(tenant, [{**row, "returned": True} for row in visits(200)])
    with pytest.raises(NotReady, match="the training rows hold only the label 1"):
        train(tenant, INTERVAL)


def test_a_misspelt_target_is_helped(tenant: Tenant) -> None:
    with pytest.raises(ConfigError, match="did you mean 'conversion'"):
        train(tenant, INTERVAL, target="conversoin")


def test_a_label_that_fails_names_its_file(tenant: Tenant) -> None:
    write(tenant, visits(200))
    path: Path = tenant.sql_dir / "labels" / "conversion.sql"
    path.write_text(LABEL.replace("returned as label", "(room::int = 1) as label"), encoding="utf-8")
    with pytest.raises(SqlError, match=r"labels/conversion\.sql:\d+"):
        train(tenant, INTERVAL)
