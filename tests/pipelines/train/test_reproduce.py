"""A training is made again from what its run noted; what differs is said."""

import random
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.core.errors import NotReady
from pipelines.lake.catalog import Lake
from pipelines.lake.expiry import expire_snapshots, strike, sweep, tables
from pipelines.registry.tracking import connect
from pipelines.train import made_by
from pipelines.train.reproduce import Reproduced, reproduce
from pipelines.train.step import train
from tests.conftest import MakeTenant
from tests.pipelines.train.test_train import INTERVAL, VIEW, make, visits, write

NOW = timedelta(0)
GONE = pa.array(["g1", "g2"])


@pytest.fixture
def tenant(make_tenant: MakeTenant):
    return make(make_tenant)


def exact(found: Reproduced) -> bool:
    return found.same_rows and found.same_predictions and found.largest_difference == 0.0 and found.explained


def run_of(tenant) -> str:
    return str(connect(tenant).get_model_version_by_alias("demo.conversion", "challenger").run_id)


def test_the_same_rows_and_predictions_after_all_has_changed(tenant) -> None:
    """New rows, another SQL, other parameters: the run's own count."""
    write(tenant, visits(400))
    train(tenant, INTERVAL)
    assert exact(reproduce(tenant, "challenger"))

    write(tenant, [{**row, "spent": 0.0} for row in visits(300)])
    (tenant.sql_dir / "features_guest.sql").write_text(VIEW.replace("avg(spent)", "max(spent)"), encoding="utf-8")
    other = tenant.params.train.model_copy(update={"seed": 99, "holdout_share": 0.4})
    later = type(tenant)(tenant.name, tenant.params.model_copy(update={"train": other}), tenant.settings)
    found = reproduce(later, "v1")
    assert exact(found)
    assert found.notes == ["the SQL of features.guest changed since: the run's own was used"]
    assert not found.differences


def test_after_expiry_what_is_kept_can_be_made_again_and_the_rest_is_one_sentence(tenant) -> None:
    write(tenant, visits(400))
    train(tenant, INTERVAL)
    kept = connect(tenant).get_run(run_of(tenant)).data.params
    write(tenant, visits(300))
    lake = Lake(tenant)
    for name in tables(lake):
        expire_snapshots(lake, name, [int(kept[f"snapshot.{name}"])], NOW)
    sweep(lake, NOW)
    assert exact(reproduce(tenant, "v1"))
    for name in tables(lake):
        expire_snapshots(lake, name, [], NOW)
    sweep(lake, NOW)
    with pytest.raises(NotReady, match=r"its snapshots of clean\.visits, features\.guest are gone"):
        reproduce(tenant, "v1")


def test_forgotten_leads_are_counted_and_the_other_rows_are_the_same(tenant) -> None:
    rows = visits(400)
    write(tenant, rows)
    train(tenant, INTERVAL)
    kept = connect(tenant).get_run(run_of(tenant)).data.params
    matured = [row for row in rows if row["visited_at"] + timedelta(days=2) <= INTERVAL.end]
    theirs = sum(row["guest_id"] in ("g1", "g2") for row in matured)
    lake = Lake(tenant)
    for name in tables(lake):
        snapshots = [int(kept[f"snapshot.{name}"])]
        strike(lake, name, lambda one: pc.is_in(one["guest_id"], value_set=GONE), ["guest_id"], snapshots)
        expire_snapshots(lake, name, snapshots, NOW)
    sweep(lake, NOW)
    found = reproduce(tenant, "v1")
    assert theirs > 0
    assert (found.rows, found.rows_gone, found.rows_added) == (len(matured), theirs, 0)
    assert not found.same_rows
    assert found.explained
    assert f"{theirs} of {len(matured)} rows are gone, because leads were forgotten" in found.differences[0]


def test_other_versions_of_libraries_are_named(tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tenant, visits(400))
    train(tenant, INTERVAL)
    monkeypatch.setattr(made_by, "versions", lambda: {"lightgbm": "0.0", "python": "3.0"})
    told = reproduce(tenant, "v1").differences
    assert any("versions changed since" in one and "lightgbm" in one and "to 0.0" in one for one in told)


def test_a_run_without_what_it_was_made_by_is_a_sentence(tenant) -> None:
    import shutil

    write(tenant, visits(400))
    train(tenant, INTERVAL)
    for folder in Path(tenant.settings.mlflow_dir).rglob(made_by.FOLDER):
        shutil.rmtree(folder)
    with pytest.raises(NotReady, match="did not keep the SQL and contracts"):
        reproduce(tenant, "v1")


def test_no_name_of_an_entity_takes_part_in_the_order(make_tenant: MakeTenant) -> None:
    """The same visits, guests under other names, events at the same instants: the same training."""
    digests = []
    for seed in (1, 2):
        tenant = make(make_tenant)
        names = [f"g{number}" for number in range(60)]
        random.Random(seed).shuffle(names)
        renamed = dict(zip([f"g{number}" for number in range(60)], names, strict=True))
        rows = [
            {**row, "guest_id": renamed[row["guest_id"]], "visited_at": at, "seen_at": at}
            for row in visits(400)
            for at in [row["visited_at"].replace(hour=0, minute=0, second=0, microsecond=0)]
        ]
        write(tenant, rows)
        train(tenant, INTERVAL)
        digests.append(connect(tenant).get_run(run_of(tenant)).data.tags["training_digest"])
    assert digests[0] == digests[1]
