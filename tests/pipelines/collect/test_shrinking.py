"""Sources that shrink, files that vanish, and parts of raw that somebody deleted by hand."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipelines.collect.ingest import ingest
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.privacy.expire import expire
from tests.pipelines.collect.conftest import DAY, MakeSource, read, rows
from tests.tables import contents

RAW = "raw.market"


def put(tenant: Tenant, name: str, *numbers: int) -> Path:
    path = tenant.home / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("place,n\n" + "".join(f"p{n},{n}\n" for n in numbers), encoding="utf-8")
    return path


def delete(tenant: Tenant, where: str) -> None:
    table = Lake(tenant).table(RAW)
    assert table is not None
    table.delete(where)


@pytest.fixture
def daily(make_source: MakeSource) -> Tenant:
    return make_source(path="{home}/in/{date}.csv", sparse=True)


@pytest.fixture
def growing(make_source: MakeSource) -> Tenant:
    return make_source(path="{home}/in/*.csv", grows=True, settle_seconds=0)


def test_a_day_exported_again_with_fewer_rows_is_told(daily: Tenant) -> None:
    put(daily, f"{DAY}.csv", 1, 2, 3)
    assert read(daily).notes == []
    put(daily, f"{DAY}.csv", 2)
    [told] = read(daily).notes
    assert told.startswith(f"market: the source shrank, rows of {DAY} 1 instead of 3: ")
    assert [row["n"] for row in rows(daily)] == ["2"]
    assert read(daily).notes == [], "the same rows again are no loss"


def test_a_day_whose_file_vanished_is_told(daily: Tenant) -> None:
    """A sparse source may have no rows that day; that it had some is worth a sentence."""
    put(daily, f"{DAY}.csv", 1, 2)
    put(daily, f"{DAY + timedelta(days=1)}.csv", 3)
    both = Interval.of_days(DAY, DAY + timedelta(days=2))
    ingest(daily, both)
    (daily.home / "in" / f"{DAY}.csv").unlink()
    [told] = ingest(daily, both).notes
    assert f"rows of {DAY} 0 instead of 2" in told


def test_many_days_that_shrank_are_one_sentence(daily: Tenant) -> None:
    days = [DAY + timedelta(days=number) for number in range(5)]
    span = Interval.of_days(days[0], days[-1] + timedelta(days=1))
    for numbers in ((1, 2), (1,)):
        for day in days:
            put(daily, f"{day}.csv", *numbers)
        report = ingest(daily, span)
    [told] = report.notes
    assert "2026-03-03 1 instead of 2 and 2 more" in told


def test_rows_of_a_file_that_vanished_from_a_growing_folder_stay(growing: Tenant) -> None:
    path = put(growing, "a.csv", 1, 2)
    put(growing, "b.csv", 3)
    read(growing)
    before = contents(growing)
    path.unlink()
    report = read(growing)
    assert (report.counts, report.notes) == ({"market": 0}, [])
    assert contents(growing) == before


def test_rows_of_a_growing_file_that_became_shorter_stay(growing: Tenant) -> None:
    put(growing, "a.csv", 1, 2, 3)
    read(growing)
    put(growing, "a.csv", 2)
    [told] = read(growing).notes
    assert "its 1 rows were read as a newer arrival, the earlier ones stay" in told
    assert sorted(row["n"] for row in rows(growing)) == ["1", "2", "2", "3"]


@pytest.mark.parametrize("where", [f"_batch_id == '{DAY}'", "n == '2'"])
def test_a_part_of_raw_deleted_by_hand_comes_back(daily: Tenant, where: str) -> None:
    put(daily, f"{DAY}.csv", 1, 2)
    put(daily, f"{DAY + timedelta(days=1)}.csv", 3)
    both = Interval.of_days(DAY, DAY + timedelta(days=2))
    ingest(daily, both)
    before = contents(daily)
    delete(daily, where)
    assert contents(daily) != before
    ingest(daily, both)
    assert contents(daily) == before


def drop(tenant: Tenant) -> None:
    Lake(tenant).catalog.drop_table(RAW)


@pytest.mark.parametrize(
    "harm", [lambda tenant: delete(tenant, "n == '3'"), lambda tenant: delete(tenant, "true"), drop]
)
def test_a_part_of_a_growing_folder_deleted_by_hand_comes_back_as_it_was(
    growing: Tenant, harm: Callable[[Tenant], None]
) -> None:
    """It arrives when it did: the clean rows of that day are those of before."""
    put(growing, "a.csv", 1, 2)
    put(growing, "b.csv", 3)
    read(growing)
    before = contents(growing)
    harm(growing)
    assert contents(growing) != before
    put(growing, "c.csv", 4)
    told = read(growing, date(2026, 3, 5)).notes
    assert any("were no longer in raw.market and were read again" in note for note in told)
    held = contents(growing)
    assert [row for row in held[RAW] if "c.csv" not in row] == before[RAW]
    assert [row for row in held["raw._files"] if "c.csv" not in row] == before["raw._files"]
    assert read(growing, date(2026, 3, 5)).notes == []


def test_what_neither_raw_nor_the_folder_holds_is_told(growing: Tenant) -> None:
    path = put(growing, "a.csv", 1, 2)
    put(growing, "b.csv", 3)
    read(growing)
    path.unlink()
    delete(growing, "n in ('1', '2')")
    [told] = read(growing).notes
    assert "a.csv are no longer in raw.market, and the folder holds them no more: put the files there again" in told


def test_rows_whose_retention_is_over_are_not_read_again(growing: Tenant) -> None:
    put(growing, "a.csv", 1, 2)
    read(growing)
    expire(growing, Interval.day(date(2036, 1, 1)))
    assert rows(growing) == []
    put(growing, "b.csv", 3)
    report = read(growing, date(2036, 1, 1))
    assert (report.counts, report.notes) == ({"market": 1}, [])
