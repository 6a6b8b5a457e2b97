"""Rows leave every version that is kept, versions nobody needs are forgotten, and files nobody knows are deleted."""

from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow.fs import FileInfo, FileType

from pipelines.core.interval import utc_now
from pipelines.lake.access import opened
from pipelines.lake.catalog import Lake
from pipelines.lake.expiry import _changed, expire_snapshots, standing, strike, sweep
from pipelines.lake.pinned import PinnedLake
from tests.conftest import MakeTenant
from tests.leaks import Search
from tests.tables import warehouse

SCHEMA = pa.schema([("who", pa.string()), ("n", pa.int64()), ("_batch_id", pa.string())])
TABLE = "clean.t"
NOW = timedelta(0)
ANA, EVA, LUZ = "5512345678", "5512345679", "5512345680"


@pytest.fixture
def lake(make_tenant: MakeTenant) -> Lake:
    return Lake(make_tenant())


def write(lake: Lake, batch: str, *rows: tuple[str, int], table: str = TABLE) -> int:
    data = pa.table(
        {"who": [who for who, _ in rows], "n": [n for _, n in rows], "_batch_id": [batch] * len(rows)}, schema=SCHEMA
    )
    found = lake.write(table, SCHEMA, [data], replace=("_batch_id", [batch]))
    assert found is not None
    return found


def held(lake: Lake, snapshot: int | None = None) -> list[tuple[str, int]]:
    rows = lake.read(TABLE, snapshot_id=snapshot).to_pylist()
    return sorted((row["who"], row["n"]) for row in rows)


def is_(who: str):
    return lambda rows: pc.equal(rows["who"], who)


def files(lake: Lake) -> list[Path]:
    return [path for path in warehouse(lake.tenant).rglob("*") if path.is_file()]


def holding(lake: Lake, number: str) -> list[Path]:
    """Files with a number in them, also among the bounds that Iceberg keeps."""
    return [hit.path for hit in Search([("52", number)]).folder(warehouse(lake.tenant))]


def leave(lake: Lake, name: str) -> Path:
    """Write a file that no version knows, which holds a number."""
    with opened(lake.tenant)._load_file_io().new_output(f"{lake.tenant.lake_url}/{name}").create() as file:
        file.write(ANA.encode())
    assert holding(lake, ANA)
    return warehouse(lake.tenant) / name


def test_a_row_leaves_every_kept_version_and_the_others_stay_exactly(lake: Lake) -> None:
    first = write(lake, "1", (ANA, 1), (EVA, 2))
    second = write(lake, "2", (ANA, 3), (LUZ, 4))
    write(lake, "3", (LUZ, 5))

    assert strike(lake, TABLE, is_(ANA), ["who"], [first, second]) == 2
    table = lake.table(TABLE)
    assert table is not None
    expire_snapshots(lake, TABLE, [first, second], NOW)
    swept = sweep(lake, NOW)

    assert swept.files > 0
    assert held(lake) == [(EVA, 2), (LUZ, 4), (LUZ, 5)]
    assert held(PinnedLake(lake.tenant, {TABLE: first})) == [(EVA, 2)]
    assert held(PinnedLake(lake.tenant, {TABLE: second})) == [(EVA, 2), (LUZ, 4)]
    assert not holding(lake, ANA)
    assert holding(lake, LUZ)


def test_struck_again_the_first_name_still_leads_there(lake: Lake) -> None:
    first = write(lake, "1", (ANA, 1), (EVA, 2), (LUZ, 3))
    write(lake, "2", (LUZ, 4))
    for who in (ANA, EVA):
        strike(lake, TABLE, is_(who), ["who"], [first])
        expire_snapshots(lake, TABLE, [first], NOW)
        sweep(lake, NOW)
    assert held(PinnedLake(lake.tenant, {TABLE: first})) == [(LUZ, 3)]
    assert not holding(lake, EVA)


def test_the_version_of_today_that_a_run_knows_has_an_heir_too(lake: Lake) -> None:
    newest = write(lake, "1", (ANA, 1), (EVA, 2))
    strike(lake, TABLE, is_(ANA), None)
    expire_snapshots(lake, TABLE, [newest], NOW)
    write(lake, "2", (LUZ, 3))
    assert held(PinnedLake(lake.tenant, {TABLE: newest})) == [(EVA, 2)]


def test_nothing_to_strike_commits_nothing(lake: Lake) -> None:
    newest = write(lake, "1", (ANA, 1))
    assert strike(lake, TABLE, is_(EVA), ["who"], [newest]) == 0
    assert lake.snapshot_id(TABLE) == newest
    assert strike(lake, "clean.none", is_(EVA), ["who"]) == 0


def test_only_the_newest_the_kept_and_the_young_stay(lake: Lake) -> None:
    ids = [write(lake, "1", (ANA, n)) for n in range(4)]
    assert expire_snapshots(lake, TABLE, []) == 0  # all are younger than the grace
    before = len(files(lake))
    assert sweep(lake).files == 0
    assert expire_snapshots(lake, TABLE, [ids[1], 12345], NOW) > 0
    assert sweep(lake, NOW).files > 0
    assert len(files(lake)) < before
    assert held(lake, ids[1]) == [(ANA, 1)]
    assert held(lake) == [(ANA, 3)]
    table = lake.table(TABLE)
    assert table is not None
    assert standing(table, ids[0]) is None
    assert PinnedLake(lake.tenant, {TABLE: ids[0]}).missing() == [TABLE]
    assert sweep(lake, NOW).files == 0


def test_a_dropped_table_and_a_killed_writer_leave_no_file(lake: Lake) -> None:
    write(lake, "1", (ANA, 1))
    write(lake, "1", (ANA, 1), table="clean.dropped")
    lake.catalog.drop_table("clean.dropped")
    orphan = leave(lake, "clean/t/data/half written.parquet")
    sweep(lake, NOW)
    assert not orphan.exists()
    assert not [path for path in files(lake) if "dropped" in path.parts]
    assert held(lake) == [(ANA, 1)]


def test_a_young_orphan_stays(lake: Lake) -> None:
    write(lake, "1", (ANA, 1))
    orphan = leave(lake, "being written.parquet")
    assert sweep(lake).files == 0
    assert orphan.exists()


@pytest.mark.parametrize("told", [None, 0.0])
def test_a_file_whose_time_the_store_does_not_know_is_young(told: float | None) -> None:
    info = FileInfo("x", type=FileType.File, mtime=told)
    assert abs(_changed(info) - utc_now()) < timedelta(minutes=1)


def test_pins_hold_while_others_write(lake: Lake) -> None:
    write(lake, "1", (ANA, 1))
    pinned = PinnedLake(lake.tenant)
    assert held(pinned) == [(ANA, 1)]
    write(lake, "1", (EVA, 2))
    assert held(pinned) == [(ANA, 1)]
    assert pinned.snapshot_id(TABLE) != lake.snapshot_id(TABLE)


names = st.sampled_from([ANA, EVA, LUZ])
batches = st.tuples(st.sampled_from("123"), st.lists(st.tuples(names, st.integers(0, 9)), min_size=1, max_size=4))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(batches, min_size=1, max_size=5), st.data())
def test_against_plain_python(make_tenant: MakeTenant, history: list, data: st.DataObject) -> None:
    """Any history, any versions kept, any name struck: each kept version is its old rows without that name."""
    lake = Lake(make_tenant())
    table = f"clean.t{datetime.now().timestamp()}".replace(".", "_").replace("clean_", "clean.")
    now: dict[str, list] = {}
    versions: list[tuple[int, list]] = []
    for batch, rows in history:
        now[batch] = rows
        versions.append((write(lake, batch, *rows, table=table), sorted(chain.from_iterable(now.values()))))
    kept = data.draw(st.lists(st.sampled_from(versions), unique_by=lambda one: one[0]))
    who = data.draw(names)
    ids = [one for one, _ in kept]
    strike(lake, table, is_(who), ["who"], ids)
    expire_snapshots(lake, table, ids, NOW)
    sweep(lake, NOW)
    for snapshot, rows in [*kept, (None, versions[-1][1])]:
        reader = PinnedLake(lake.tenant, {table: snapshot}) if snapshot else lake
        found = reader.read(table).to_pylist()
        assert sorted((row["who"], row["n"]) for row in found) == [row for row in rows if row[0] != who]
