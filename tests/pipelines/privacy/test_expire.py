"""Personal rows leave when their time is over, by the days of data; what was published stays."""

import time
from datetime import date, timedelta
from threading import Thread

import pytest
from pyiceberg.expressions import EqualTo

from pipelines.collect.ingest import ingest
from pipelines.core.errors import Busy
from pipelines.core.interval import Interval
from pipelines.core.locks import HOUSEKEEPING, exclusive
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.lake.expiry import tables
from pipelines.privacy import expire as module
from pipelines.privacy.expire import expire
from pipelines.quality.replay import replay
from pipelines.quality.validate import validate
from tests.conftest import MakeTenant
from tests.leaks import Search
from tests.pipelines.quality.conftest import make_visiting
from tests.pipelines.quality.market import PARAMS, visit, write_csv
from tests.tables import warehouse

NOW = timedelta(0)
FIRST = date(2026, 3, 1)
LIMITS = {"retention": {"raw_days": 3, "quarantine_days": 5}, "quality": {"max_quarantine_share": 1.0}}


@pytest.fixture
def tenant(make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    made = make_visiting(make_tenant, monkeypatch, {**PARAMS, **LIMITS})
    for number in range(6):
        day = FIRST + timedelta(days=number)
        times = {name: f"{day} 1{hour}:00:00" for hour, name in enumerate(("came_at", "left_at", "received_at"))}
        good = visit(number, phone=f"+52551234560{number}", **times)
        bad = visit(number + 100, phone=f"+52551234570{number}", shop="west", **times)
        write_csv(made.home / "in" / "visits" / f"{day}.csv", [good, bad])
    ingest(made, until(6))
    validate(made, until(6))
    return made


def until(days: int) -> Interval:
    return Interval.of_days(FIRST, FIRST + timedelta(days=days))


def days(lake: Lake, table: str) -> list[int]:
    return sorted((date.fromisoformat(one) - FIRST).days for one in set(lake.read(table)["_batch_id"].to_pylist()))


def test_rows_leave_by_the_days_of_data(tenant: Tenant) -> None:
    lake = Lake(tenant)
    clean = lake.read("clean.visits")
    report = expire(tenant, until(6), NOW)
    assert days(lake, "raw.visits") == [3, 4, 5]  # of those, the first ended two days before
    assert days(lake, "quarantine.visits") == [1, 2, 3, 4, 5]
    assert (report.counts["raw_rows"], report.counts["quarantine_rows"]) == (6, 1)
    assert lake.read("clean.visits").equals(clean)
    search = Search([("52", "5512345700"), ("52", "5512345600")])
    folder = warehouse(tenant)
    left = {hit.path.relative_to(folder).parts[0] for hit in search.folder(folder)}
    assert left == {"identity"}  # a good row's; a bad row's number was never given an id


def test_again_and_for_older_days_it_finds_nothing(tenant: Tenant) -> None:
    lake = Lake(tenant)
    expire(tenant, until(6), NOW)
    before = {name: lake.snapshot_id(name) for name in tables(lake)}
    for interval in (until(6), until(4)):
        report = expire(tenant, interval, NOW)
        assert set(report.counts.values()) == {0}
    assert {name: lake.snapshot_id(name) for name in tables(lake)} == before


def test_killed_anywhere_it_goes_on(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    lake = Lake(tenant)
    for part in ("_delete", "_expire_quarantine", "kept_snapshots", "expire_snapshots", "sweep"):
        with monkeypatch.context() as patch:
            patch.setattr(module, part, killed)
            with pytest.raises(KeyboardInterrupt):
                expire(tenant, until(6), NOW)
    expire(tenant, until(6), NOW)
    assert days(lake, "raw.visits") == [3, 4, 5]
    assert days(lake, "quarantine.visits") == [1, 2, 3, 4, 5]


def test_what_expired_is_never_judged_again(tenant: Tenant) -> None:
    """Without their raw rows a day's clean rows would be replaced by nothing."""
    lake = Lake(tenant)
    expire(tenant, until(6), NOW)
    told = validate(tenant, until(6))
    assert any("3 batches stay as they are, for their raw rows have expired" in note for note in told.notes)
    assert days(lake, "clean.visits") == [0, 1, 2, 3, 4, 5]
    assert validate(tenant, until(2)).counts["rows"] == 0  # all of it expired
    assert replay(tenant).counts["batches_refused"] == 0
    assert days(lake, "clean.visits") == [0, 1, 2, 3, 4, 5]
    assert lake.count("clean.visits", EqualTo("_batch_id", str(FIRST))) == 1


def test_a_source_read_again_can_be_judged_again(tenant: Tenant) -> None:
    expire(tenant, until(6), NOW)
    ingest(tenant, Interval.day(FIRST))
    assert validate(tenant, Interval.day(FIRST)).counts["rows"] == 1
    assert expire(tenant, until(6), NOW).counts["raw_rows"] == 2


def test_what_a_killed_gate_left_goes(tenant: Tenant) -> None:
    left = tenant.home / "tmp" / "validate-abc" / "visits.bad"
    left.parent.mkdir(parents=True)
    left.write_text("+525512345678")
    expire(tenant, until(6))
    assert not list((tenant.home / "tmp").iterdir())


def test_a_step_at_work_is_told_and_one_that_begins_waits(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    with exclusive(tenant, "validate"), pytest.raises(Busy, match="another run of 'validate'"):
        expire(tenant, until(6))
    done: list[int] = []

    def begin() -> None:
        with exclusive(tenant, "validate"):
            done.append(1)

    with exclusive(tenant, HOUSEKEEPING), exclusive(tenant, "validate"):
        waiting = Thread(target=begin)
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
    waiting.join(10)
    assert done


def test_while_it_waits_for_a_step_the_others_go_on(tenant: Tenant) -> None:
    with exclusive(tenant, "train"):
        waiting = Thread(target=expire, args=(tenant, until(6)))
        waiting.start()
        for _ in range(20):
            with exclusive(tenant, "validate"):
                time.sleep(0.01)
        assert waiting.is_alive()
    waiting.join(60)
    assert not waiting.is_alive()
