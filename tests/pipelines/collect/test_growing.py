"""A folder that grows: what is new, rewritten, unfinished; kills; and the gate that judges what came."""

import gzip
import os
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.collect import growing
from pipelines.collect.growing import _newest
from pipelines.collect.ingest import ingest
from pipelines.core.errors import SourceError
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.quality.validate import validate
from tests.pipelines.collect.conftest import DAY, MakeSource, read, rows

NEXT = DAY + timedelta(days=1)
_clock = [time.time() - 1_000_000]


def put(tenant: Tenant, name: str, *numbers: int, age: float | None = None) -> Path:
    """A CSV in the folder, last changed long ago or `age` seconds ago; every call is later than the one before."""
    path = tenant.home / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("place,n\n" + "".join(f"p{n},{n}\n" for n in numbers), encoding="utf-8")
    _clock[0] += 1
    moment = _clock[0] if age is None else time.time() - age
    os.utime(path, (moment, moment))
    return path


@pytest.fixture
def tenant(make_source: MakeSource) -> Tenant:
    return make_source(path="{home}/in/**/*", grows=True)


def held(tenant: Tenant) -> list[tuple[str, int, datetime]]:
    """Batch (below the folder), number and arrival of every raw row."""
    start = len(str(tenant.home / "in")) + 1
    return [(row["_batch_id"][start:], int(row["n"]), row["_interval_end"]) for row in rows(tenant)]


def arrival(day: date) -> datetime:
    return datetime(day.year, day.month, day.day) + timedelta(days=1)


def test_only_new_files_are_read_and_arrive_with_the_run_that_read_them(tenant: Tenant) -> None:
    put(tenant, "a.csv", 1)
    assert read(tenant).counts == {"market": 1}
    put(tenant, "x/b.csv", 2, 3)
    assert read(tenant, NEXT).counts == {"market": 2}
    assert read(tenant, NEXT).counts == {"market": 0}
    assert read(tenant).counts == {"market": 0}, "an earlier day again finds nothing new either"
    first, second = arrival(DAY), arrival(NEXT)
    assert held(tenant) == [("a.csv", 1, first), ("x/b.csv", 2, second), ("x/b.csv", 3, second)]


def test_a_rewritten_file_is_a_newer_arrival_and_told(tenant: Tenant) -> None:
    put(tenant, "a.csv", 1)
    read(tenant)
    put(tenant, "a.csv", 8)
    report = read(tenant, NEXT)
    assert held(tenant) == [("a.csv", 1, arrival(DAY)), ("a.csv@000002", 8, arrival(NEXT))]
    assert len(report.notes) == 1
    assert "a.csv was rewritten: its 1 rows were read as a newer arrival" in report.notes[0]
    put(tenant, "a.csv", 9)
    read(tenant, NEXT)
    assert [row[0] for row in held(tenant)] == ["a.csv", "a.csv@000002", "a.csv@000003"]


def test_a_touched_file_is_not_read_again_nor_hashed_each_time(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tenant, "a.csv", 1)
    read(tenant)
    put(tenant, "a.csv", 1)
    assert read(tenant, NEXT).counts == {"market": 0}
    monkeypatch.setattr(growing, "_content", lambda path: pytest.fail("the content was hashed again"))
    assert read(tenant, NEXT).counts == {"market": 0}
    assert len(held(tenant)) == 1


def _parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"place": ["p1"] * 1000, "n": [str(n) for n in range(1000)]}), sink)
    return bytes(sink.getvalue())


_GZIP = gzip.compress("".join(f"p{n},{n}\n" for n in range(5000)).encode())


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        (".a.csv", b"place,n\np,1\n", "hidden or temporary"),
        ("_temporary/a.csv", b"place,n\np,1\n", "hidden or temporary"),
        ("a.csv.part", b"place,n\np,1\n", "hidden or temporary"),
        ("a.tmp", b"place,n\np,1\n", "hidden or temporary"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"place,n\n", "no rows yet"),
        ("a.parquet", _parquet()[:-20], "its end is missing"),
        ("a.parquet", _parquet()[:400], "its end is missing"),
        ("a.csv.gz", _GZIP[:-5], "its end is missing"),
        ("a.csv.gz", _GZIP[:300], "its end is missing"),
        ("a.jsonl", b'{"place": "p", "n": 1}\n{"place": "q', "its end is missing"),
        ("a.json", b'[{"place": "p", "n": 1}, {"pl', "its end is missing"),
    ],
)
def test_unfinished_files_wait_and_the_others_are_read(tenant: Tenant, name: str, data: bytes, why: str) -> None:
    put(tenant, "good.csv", 7)
    path = put(tenant, name)
    moment = path.stat().st_mtime
    path.write_bytes(data)
    os.utime(path, (moment, moment))
    report = read(tenant)
    assert held(tenant) == [("good.csv", 7, arrival(DAY))]
    assert report.notes == [f"market: 1 file waits for the next run: {path} ({why})"]
    whole = put(tenant, "whole.csv", 1)
    whole.replace(tenant.home / "in" / "a2.csv")
    path.unlink()
    read(tenant, NEXT)
    assert [row[0] for row in held(tenant)] == ["a2.csv", "good.csv"]


def test_a_file_being_written_waits_until_it_rests(make_source: MakeSource) -> None:
    tenant = make_source(path="{home}/in/*.csv", grows=True, settle_seconds=1)
    path = put(tenant, "a.csv", 1, age=0)
    report = read(tenant)
    assert report.counts == {"market": 0}
    assert "changed less than 1 s ago" in report.notes[0]
    os.utime(path, (time.time() - 2,) * 2)
    assert read(tenant).counts == {"market": 1}


def test_a_file_that_changes_while_it_is_read_is_one_sentence(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tenant, "a.csv", 1)
    from pipelines.collect.files import Reader

    own = Reader.batches

    def grow(self: Reader, *args: Any) -> Any:
        yield from own(self, *args)
        put(tenant, "a.csv", 1, 2)

    monkeypatch.setattr(Reader, "batches", grow)
    with pytest.raises(SourceError, match=r"a\.csv changed while it was read: nothing of this source was written"):
        read(tenant)
    assert held(tenant) == []
    monkeypatch.setattr(Reader, "batches", own)
    assert read(tenant).counts == {"market": 2}


KILLED = """
import os, signal, sys
from datetime import date
from pipelines.collect import ingest, notes
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
notes.write = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
ingest.ingest(Tenant.load("demo"), Interval.day(date(2026, 3, 1)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("then", ["nothing", "rewritten", "gone"])
def test_a_kill_between_rows_and_notes_loses_and_doubles_nothing(tenant: Tenant, then: str) -> None:
    path = put(tenant, "a.csv", 1, 2)
    process = subprocess.run([sys.executable, "-c", KILLED], check=False, capture_output=True, text=True)
    assert process.returncode == -9, process.stderr
    assert len(held(tenant)) == 2
    assert not Lake(tenant).count("raw._files")
    first = [("a.csv", 1, arrival(DAY)), ("a.csv", 2, arrival(DAY))]
    if then == "rewritten":
        put(tenant, "a.csv", 3)
    elif then == "gone":
        path.unlink()
    assert read(tenant, NEXT).counts == {"market": 1 if then == "rewritten" else 0}
    assert held(tenant) == first + ([("a.csv@000002", 3, arrival(NEXT))] if then == "rewritten" else [])
    assert validate(tenant, Interval.day(DAY)).counts["rows"] == 2


@pytest.mark.slow
def test_a_kill_before_the_commit_leaves_the_file_new(tenant: Tenant) -> None:
    put(tenant, "a.csv", 1)
    early = KILLED.replace("notes.write", "notes.Delivery.announce")
    assert subprocess.run([sys.executable, "-c", early], check=False, capture_output=True).returncode == -9
    assert held(tenant) == []
    assert read(tenant, NEXT).counts == {"market": 1}
    assert not list((tenant.home / "tmp").glob("ingest-*"))


def test_the_gate_judges_what_each_run_brought(tenant: Tenant) -> None:
    put(tenant, "it's.csv", 1, 2)
    read(tenant)
    put(tenant, "b.csv", 3)
    read(tenant, NEXT)
    put(tenant, "c.csv", 4)
    read(tenant, NEXT)  # the same day again, with one file more
    read(tenant, NEXT)  # and with nothing new
    assert validate(tenant, Interval.day(NEXT)).counts["rows"] == 2
    assert Lake(tenant).count("clean.market") == 2
    assert validate(tenant, Interval.day(DAY)).counts["rows"] == 2
    again = validate(tenant, Interval.of_days(DAY, NEXT + timedelta(days=1)))
    assert again.counts["rows"] == Lake(tenant).count("clean.market") == 4
    assert validate(tenant, Interval.day(NEXT + timedelta(days=1))).counts["rows"] == 0


EVENTS = """
kind: DataContract
apiVersion: v3.2.0
id: market
version: 1.0.0
status: active
schema:
  - name: market
    properties:
      - {name: place, logicalType: string, primaryKey: true}
      - {name: n, logicalType: integer}
      - {name: at, logicalType: timestamp, customProperties: [{property: event_time, value: true}]}
"""


def test_arrival_is_the_end_of_the_run_and_never_before_the_event(make_source: MakeSource) -> None:
    tenant = make_source(path="{home}/in/*.csv", grows=True, contract=EVENTS)
    path = put(tenant, "a.csv")
    text = "place,n,at\nold,1,2025-01-01\nnew,2,2026-03-02 00:30:00\n"
    path.write_text(text, encoding="utf-8")
    os.utime(path, (1, 1))
    read(tenant)
    assert validate(tenant, Interval.day(DAY)).counts["rows"] == 2
    clean = {row["place"]: row["_arrived_at"] for row in Lake(tenant).read("clean.market").to_pylist()}
    assert clean == {"old": arrival(DAY), "new": datetime(2026, 3, 2, 0, 30)}


def test_a_run_of_older_days_leaves_new_files_to_a_run_of_the_newest(tenant: Tenant) -> None:
    put(tenant, "a.csv", 1)
    read(tenant)
    put(tenant, "a.csv", 7)
    read(tenant, NEXT)
    before = held(tenant)
    put(tenant, "a.csv", 99)
    report = read(tenant)
    assert held(tenant) == before, "an older run may not date a correction before what it corrects"
    assert "later days were read already" in report.notes[0]
    read(tenant, NEXT)
    assert held(tenant)[-1] == ("a.csv@000003", 99, arrival(NEXT))


def test_what_is_no_file_of_the_source_waits_and_the_others_are_read(tenant: Tenant) -> None:
    put(tenant, "good.csv", 1)
    readme = tenant.home / "in" / "readme.txt"
    readme.write_text("about this folder")
    os.utime(readme, (1, 1))
    ragged = put(tenant, "ragged.csv", 3)
    ragged.write_text("place,n\np9,3\np8\np7,2,1\n", encoding="utf-8")
    os.utime(ragged, (1, 1))
    [told] = read(tenant).notes
    assert held(tenant) == [("good.csv", 1, arrival(DAY))]
    assert "2 files wait" in told
    assert "its ending tells no format" in told
    put(tenant, "ragged.csv", 3)
    read(tenant)
    assert ("ragged.csv", 3, arrival(DAY)) in held(tenant)


def test_more_versions_than_three_digits_count() -> None:
    notes = [{"file": "a", "_batch_id": "a"}, *({"file": "a", "_batch_id": f"a@{n:03d}"} for n in range(2, 1002))]
    newest, versions = _newest(notes)
    assert newest["a"]["_batch_id"] == "a@1001"
    assert versions == {"a": 1001}


def test_a_mapping_that_groups_works_file_by_file(make_source: MakeSource) -> None:
    sql = "-- table: market\nselect place, cast(sum(n::int) as bigint) as n from market group by place\n"
    tenant = make_source(path="{home}/in/*.csv", grows=True, sql=sql)
    put(tenant, "it's.csv", 1, 1)
    put(tenant, "b.csv", 1)
    read(tenant)
    validate(tenant, Interval.day(DAY))
    assert sorted(row["n"] for row in Lake(tenant).read("clean.market").to_pylist()) == [1, 2]


def test_a_folder_without_files_is_one_sentence_until_something_was_read(tenant: Tenant) -> None:
    with pytest.raises(SourceError, match=r"has no file .*put it there"):
        read(tenant)
    path = put(tenant, "a.csv", 1)
    read(tenant)
    path.unlink()
    assert read(tenant, NEXT).counts == {"market": 0}
    assert len(held(tenant)) == 1


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans(), st.integers(1, 3)), min_size=1, max_size=6
    )
)
def test_any_history_keeps_every_version_once(make_source: MakeSource, steps: list[tuple[str, int, bool, int]]) -> None:
    """Oracle: a dict of what each file held when a run saw it, written down independently of notes and marks."""
    tenant = make_source(path="{home}/in/*.csv", grows=True, sparse=True)
    import shutil

    shutil.rmtree(tenant.home)
    tenant.home.mkdir()
    seen: dict[str, list[tuple[int, datetime]]] = {}
    waiting: dict[str, int] = {}
    for name, number, run, day in steps:
        put(tenant, f"{name}.csv", number)
        waiting[name] = number
        if run:
            span = Interval.day(date(2026, 3, day))
            ingest(tenant, span)
            if any(end > span.end for versions in seen.values() for _, end in versions):
                continue  # later days were read: what is new waits for a run of those
            for file, value in waiting.items():
                if not seen.get(file) or seen[file][-1][0] != value:
                    seen.setdefault(file, []).append((value, span.end))
            waiting.clear()
    expected = sorted(
        (f"{file}.csv" + (f"@{version + 1:06d}" if version else ""), value, end)
        for file, versions in seen.items()
        for version, (value, end) in enumerate(versions)
    )
    assert sorted(held(tenant)) == expected
