"""Files that somebody deleted by hand, a full disk, and two writers: a sentence, and nothing lost."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.core.errors import LeadwiseError, StoreLost
from pipelines.lake.catalog import Lake
from tests.conftest import Impossible, MakeTenant

SCHEMA = pa.schema([("n", pa.int64()), ("_batch_id", pa.string())])


def rows(batch: str, numbers: list[int]) -> pa.Table:
    return pa.table({"n": numbers, "_batch_id": [batch] * len(numbers)}, schema=SCHEMA)


def write(lake: Lake, batch: str, *numbers: int) -> None:
    lake.write("clean.t", SCHEMA, [rows(batch, list(numbers))], replace=("_batch_id", [batch]))


def held(lake: Lake) -> list[int]:
    return sorted(lake.read("clean.t", columns=["n"])["n"].to_pylist())


@pytest.fixture
def lake(make_tenant: MakeTenant) -> Lake:
    lake = Lake(make_tenant())
    write(lake, "1", 1, 2)
    write(lake, "2", 3)
    return lake


def files(lake: Lake) -> list[str]:
    table = lake.table("clean.t")
    assert table is not None
    return [task.file.file_path for task in table.scan().plan_files()]


def delete(lake: Lake, *paths: str) -> None:
    table = lake.table("clean.t")
    assert table is not None
    for path in paths:
        table.io.delete(path)


@pytest.mark.parametrize("which", ["one file", "every file"])
def test_data_files_deleted_by_hand_are_told_with_table_file_and_way_out(lake: Lake, which: str) -> None:
    gone = files(lake)[:1] if which == "one file" else files(lake)
    delete(lake, *gone)
    with pytest.raises(StoreLost) as told:
        lake.read("clean.t")
    sentence = str(told.value)
    assert sentence.startswith("table clean.t of tenant 'demo': the file ")
    assert any(path.rpartition("/")[2] in sentence for path in gone)
    assert "bring catalog and lake back from one and the same backup" in sentence


def test_sql_over_a_table_that_lost_a_file_says_so_and_not_that_the_sql_is_wrong(lake: Lake) -> None:
    import duckdb

    from feature_repo.sql import failed

    delete(lake, files(lake)[0])
    with duckdb.connect() as connection:
        connection.register("rows", lake.scan("clean.t"))
        with pytest.raises(duckdb.Error) as told:
            connection.sql("SELECT sum(n) FROM rows").fetchall()
    assert isinstance(failed(told.value, "SELECT sum(n) FROM rows", Path("x.sql")), StoreLost)


def test_batches_whose_file_is_gone_are_written_anew_by_the_same_run(lake: Lake) -> None:
    delete(lake, *files(lake))
    write(lake, "1", 1, 2)
    write(lake, "2", 3)
    assert held(lake) == [1, 2, 3]


def test_a_catalog_that_points_to_a_missing_file_is_told_and_heals_with_the_file(lake: Lake) -> None:
    table = lake.table("clean.t")
    assert table is not None
    place = table.metadata_location
    with table.io.new_input(place).open() as stream:
        kept = stream.read()
    delete(lake, place)
    for attempt in (lambda: held(lake), lambda: write(lake, "3", 4), lambda: lake.count("clean.t")):
        with pytest.raises(StoreLost, match=place.rpartition("/")[2]):
            attempt()
    with table.io.new_output(place).create() as target:
        target.write(kept)
    assert held(lake) == [1, 2, 3]


@pytest.fixture
def small_disk(tmp_path: Path, impossible: Impossible) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        impossible(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.local
def test_a_full_disk_at_commit_loses_nothing_and_the_same_run_succeeds_with_room(
    small_disk: Path, make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADWISE_VAR", str(small_disk))
    lake = Lake(make_tenant())
    write(lake, "1", 1, 2)
    filler = small_disk / "filler"
    told: list[str] = []
    # From a disk that takes no byte to one that takes all: the data file, manifests, metadata and catalog fail in turn.
    for room in [*range(0, 60_000, 4_096), 200_000]:
        with filler.open("wb") as stream:
            stream.write(bytes(_free(small_disk) - room))
        try:
            write(lake, "2", *range(3, 1_000))
        except LeadwiseError as error:
            told.append(str(error))
            assert "the disk is full" in told[-1]
            assert told[-1].startswith("table clean.t of tenant 'demo': ")
            assert f" at {lake.tenant.lake_url}: make room" in told[-1]
        else:
            break
        filler.unlink()
        assert held(Lake(lake.tenant)) == [1, 2]
    assert len(told) > 3
    filler.unlink()
    write(lake, "2", *range(3, 1_000))
    assert held(lake) == list(range(1, 1_000))


def _free(folder: Path) -> int:
    import os

    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


_WRITER = """
import sys, pyarrow as pa
from pipelines.core.errors import Busy
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
schema = pa.schema([("n", pa.int64()), ("_batch_id", pa.string())])
lake, me, batches = Lake(Tenant.load("demo")), int(sys.argv[1]), sys.argv[2].split(",")
for turn in range(4):
    for batch in batches:
        for _ in range(50):
            try:
                rows = pa.table({"n": [1000 * me + turn] * 3, "_batch_id": [batch] * 3}, schema=schema)
                lake.write("clean.t", schema, [rows], replace=("_batch_id", [batch]))
                break
            except Busy:
                pass
        else:
            raise SystemExit("never got its turn")
"""


@pytest.mark.parametrize("batches", [("a", "b"), ("a", "a")], ids=["each its own batch", "the same batch"])
def test_two_writers_of_one_new_table_take_turns(batches: tuple[str, str], make_tenant: MakeTenant) -> None:
    lake = Lake(make_tenant())
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _WRITER, str(number), batch], stderr=subprocess.PIPE, text=True
        )
        for number, batch in enumerate(batches, 1)
    ]
    for child in children:
        _, said = child.communicate(timeout=200)
        assert child.returncode == 0, said
    last = {batch: {1000 * number + 3 for number, one in enumerate(batches, 1) if one == batch} for batch in batches}
    found = lake.read("clean.t").to_pylist()
    for batch, numbers in last.items():
        written = [row["n"] for row in found if row["_batch_id"] == batch]
        assert len(written) == 3  # one writer's rows, never a mixture
        assert len(set(written)) == 1
        assert set(written) <= numbers
    assert {row["_batch_id"] for row in found} == set(batches)
