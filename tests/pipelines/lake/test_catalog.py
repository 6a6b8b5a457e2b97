"""Tables are written once per batch and read by snapshot."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.core.errors import LeadwiseError
from pipelines.lake.catalog import Lake
from pipelines.lake.pinned import PinnedLake
from tests.conftest import MakeTenant

SCHEMA = pa.schema([("n", pa.int64()), ("at", pa.timestamp("us")), ("_batch_id", pa.string())])


def rows(batch: str, *numbers: int) -> pa.Table:
    at = [datetime(2026, 1, 1, 12)] * len(numbers)
    return pa.table({"n": list(numbers), "at": at, "_batch_id": [batch] * len(numbers)}, schema=SCHEMA)


@pytest.fixture
def lake(make_tenant: MakeTenant) -> Lake:
    return Lake(make_tenant())


def numbers(lake: Lake, **where: object) -> list[int]:
    return sorted(lake.read("clean.t", columns=["n"], **where)["n"].to_pylist())  # type: ignore[arg-type]


def write(lake: Lake, *tables: pa.Table) -> int | None:
    batches = sorted({batch for table in tables for batch in table["_batch_id"].to_pylist()})
    return lake.write("clean.t", SCHEMA, tables, replace=("_batch_id", batches))


def test_writing_twice_writes_once(lake: Lake) -> None:
    for _ in range(2):
        write(lake, rows("1", 1, 2), rows("2", 3))

    assert numbers(lake) == [1, 2, 3]


def test_a_batch_takes_the_place_of_its_own_rows_only(lake: Lake) -> None:
    write(lake, rows("1", 1, 2), rows("2", 3))
    write(lake, rows("2", 4, 5))

    assert numbers(lake) == [1, 2, 4, 5]


def test_an_older_snapshot_stays_readable(lake: Lake) -> None:
    first = write(lake, rows("1", 1))
    write(lake, rows("1", 2))

    assert numbers(lake, snapshot_id=first) == [1]
    assert lake.snapshot_id("clean.t") != first


def test_a_writer_that_fails_half_way_publishes_nothing(lake: Lake) -> None:
    write(lake, rows("1", 1))

    def broken():
        yield rows("1", 2)
        raise RuntimeError("source went away")

    with pytest.raises(RuntimeError):
        lake.write("clean.t", SCHEMA, broken(), replace=("_batch_id", ["1"]))

    assert numbers(Lake(lake.tenant)) == [1]


def test_replacing_by_nothing_empties(lake: Lake) -> None:
    write(lake, rows("1", 1), rows("2", 2))
    lake.write("clean.t", SCHEMA, [], replace=("_batch_id", ["1"]))

    assert numbers(lake) == [2]


def test_a_new_column_is_added_and_old_rows_stay(lake: Lake) -> None:
    write(lake, rows("1", 1))
    wider = rows("2", 2).append_column("extra", pa.array(["x"]))
    lake.write("clean.t", wider.schema, [wider], replace=("_batch_id", ["2"]))

    assert lake.read("clean.t").sort_by("n")["extra"].to_pylist() == [None, "x"]


def test_a_changed_type_is_refused(lake: Lake) -> None:
    write(lake, rows("1", 1))
    schema = SCHEMA.set(0, pa.field("n", pa.string()))

    with pytest.raises(LeadwiseError, match=r"column 'n' of table clean\.t is int64.*string"):
        lake.write("clean.t", schema, [], replace=("_batch_id", ["2"]))


def test_an_unwritten_table_is_a_sentence(lake: Lake) -> None:
    with pytest.raises(LeadwiseError, match=r"no table clean\.t yet"):
        lake.read("clean.t")
    assert lake.count("clean.t") == 0
    assert lake.snapshot_id("clean.t") is None


@pytest.mark.local
def test_a_folder_that_is_a_file_is_a_sentence(make_tenant: MakeTenant, var: Path) -> None:
    tenant = make_tenant()
    var.write_text("in the way")

    with pytest.raises(LeadwiseError, match="can't be written"):
        Lake(tenant).write("clean.t", SCHEMA, [], replace=("_batch_id", []))


def test_a_pinned_lake_sees_a_table_as_it_was_at_the_first_look(lake: Lake) -> None:
    write(lake, rows("1", 1))
    pinned = PinnedLake(lake.tenant)
    assert numbers(pinned) == [1]
    write(lake, rows("1", 2, 3))
    assert numbers(pinned) == [1]
    assert numbers(lake) == [2, 3]


def test_many_processes_may_be_the_first_to_open_a_lake(lake: Lake) -> None:
    """Each would make the catalog's tables and namespaces."""
    script = "from pipelines.core.tenant import Tenant\nfrom pipelines.lake.catalog import Lake\n"
    script += "input()\nassert Lake(Tenant.load('demo')).catalog.list_namespaces()"
    command = [sys.executable, "-c", script]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [(process.communicate()[1], process.returncode) for process in processes]
    assert ended == [("", 0)] * 4
