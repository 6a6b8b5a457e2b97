"""Served scores reach their table once each, whatever is killed, and without leads that were forgotten."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.lake.forgotten import Forgotten
from serving import collect as collecting
from serving.collect import TABLE, collect, folder_of
from serving.record import MOST, Record
from serving.requests import Asked
from tests.conftest import MakeTenant
from tests.serving.asgi import application, post

CHAMPION: Any = SimpleNamespace(target="conversion", name="demo.conversion", version="3")
MOMENT = datetime(2026, 4, 1, 12)


def answers(count: int) -> tuple[list[Asked], list[dict[str, Any]]]:
    asked = [Asked(f"lead-{place}", None, MOMENT) for place in range(count)]
    return asked, [{"probability": place / 1000, "interval": [0.0, 0.5], "tier": "A"} for place in range(count)]


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant()


@pytest.fixture
def lost() -> list[int]:
    return []


@pytest.fixture
def record(tenant: Tenant, lost: list[int]) -> Record:
    return Record(folder_of(tenant), lost.append)


def rows_of(tenant: Tenant) -> list[dict[str, Any]]:
    lake = Lake(tenant)
    rows = lake.read(TABLE).to_pylist() if lake.exists(TABLE) else []
    return sorted(rows, key=lambda row: (row["request_id"], row["position"]))


def test_what_was_served_is_in_the_table(tenant: Tenant, record: Record, lost: list[int]) -> None:
    assert collect(tenant) == 0
    assert not tenant.home.exists()
    record.add("r1", CHAMPION, *answers(2))
    record.flush()
    record.flush()
    handed = Asked(None, {"messages_7d": 1}, MOMENT)
    record.add("r2", CHAMPION, [handed], [{"value": 7.5}])
    record.flush()

    assert collect(tenant) == 3
    assert collect(tenant) == 0
    one, other, last = rows_of(tenant)
    assert (one["entity_id"], other["entity_id"], last["entity_id"]) == ("lead-0", "lead-1", None)
    assert (other["prediction"], other["lower"], other["upper"], other["tier"]) == (0.001, 0.0, 0.5, "A")
    assert (last["prediction"], last["lower"], last["tier"]) == (7.5, None, None)
    assert {(row["target"], row["model_name"], row["model_version"]) for row in (one, other, last)} == {
        ("conversion", "demo.conversion", "3")
    }
    assert {row["moment"] for row in (one, other, last)} == {MOMENT}
    assert all(row["date"] == row["served_at"].date() for row in (one, other, last))
    assert not lost
    assert list(folder_of(tenant).iterdir()) == []


def test_what_a_caller_sends_as_the_id_of_a_cold_lead_is_not_kept(tenant: Tenant, record: Record) -> None:
    record.add("r", CHAMPION, [Asked("+525512345678", None, MOMENT)], [{"probability": 0.1, "cold": True}])
    record.flush()
    assert "5512345678" not in "".join(path.read_text() for path in folder_of(tenant).iterdir())
    collect(tenant)
    [row] = rows_of(tenant)
    assert (row["entity_id"], row["cold"]) == (None, True)


def test_what_does_not_fit_is_lost_and_counted(tenant: Tenant, record: Record, lost: list[int]) -> None:
    for _ in range(MOST // 1000 + 2):
        record.add("r", CHAMPION, *answers(1000))
    assert lost == [1000, 1000]
    record.flush()
    assert collect(tenant) == MOST


def test_a_disk_that_takes_nothing_is_counted(
    tmp_path: Path, lost: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    record = Record(tmp_path / "file" / "served", lost.append)
    record.add("r", CHAMPION, *answers(5))
    record.flush()
    assert lost == [5]
    assert [one.message for one in caplog.records] == ["served scores can't be recorded"]
    assert "lead-" not in caplog.text


def test_it_writes_by_itself_and_at_the_end(tenant: Tenant, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.record.FLUSH_SECONDS", 0.01)

    async def run() -> None:
        record.begin()
        record.add("r1", CHAMPION, *answers(1))
        while not folder_of(tenant).is_dir() or not list(folder_of(tenant).glob("*.jsonl")):
            await asyncio.sleep(0.01)
        monkeypatch.setattr("serving.record.FLUSH_SECONDS", 60)
        await asyncio.sleep(0.05)
        record.add("r2", CHAMPION, *answers(1))
        await record.close()

    asyncio.run(run())
    collect(tenant)
    assert [row["request_id"] for row in rows_of(tenant)] == ["r1", "r2"]


def _before_moving(patch: pytest.MonkeyPatch, stop: Callable[..., None]) -> None:
    patch.setattr(Path, "rename", stop)


def _before_writing(patch: pytest.MonkeyPatch, stop: Callable[..., None]) -> None:
    patch.setattr(Lake, "write", stop)


def _before_deleting(patch: pytest.MonkeyPatch, stop: Callable[..., None]) -> None:
    patch.setattr(collecting.shutil, "rmtree", stop)


@pytest.mark.parametrize("where", [_before_moving, _before_writing, _before_deleting])
def test_killed_anywhere_nothing_comes_twice_or_is_lost(
    tenant: Tenant, record: Record, where: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def stop(*_: object, **__: object) -> None:
        raise Killed

    for number in range(3):
        record.add(f"r{number}", CHAMPION, *answers(2))
        record.flush()
        with monkeypatch.context() as patch:
            where(patch, stop)
            with pytest.raises(Killed):
                collect(tenant)
    collect(tenant)
    found = [(row["request_id"], row["position"]) for row in rows_of(tenant)]
    assert found == [(f"r{number}", place) for number in range(3) for place in range(2)]


def test_a_broken_line_is_told_and_the_rest_goes_on(
    tenant: Tenant, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    record.add("r", CHAMPION, *answers(2))
    record.flush()
    [path] = folder_of(tenant).iterdir()
    path.write_bytes(b'{"target": "lead-77"\n' + path.read_bytes() + b"\xff\n")
    assert collect(tenant) == 2
    assert sum("is not as it was written" in one.message for one in caplog.records) == 2
    assert "lead-77" not in caplog.text


def test_a_lead_that_was_forgotten_meanwhile_stays_out(tenant: Tenant, record: Record) -> None:
    record.add("r", CHAMPION, *answers(3))
    record.flush()
    Forgotten(Lake(tenant)).add(["lead-1"], [], MOMENT)
    assert collect(tenant) == 2
    assert [row["entity_id"] for row in rows_of(tenant)] == ["lead-0", "lead-2"]


@pytest.mark.slow
def test_the_endpoint_hands_over_what_it_answers(demo: Tenant, tmp_path: Path, lost: list[int]) -> None:
    record = Record(tmp_path / "served", lost.append)
    app = application(demo, tmp_path, record=record)
    name = min(Lake(demo).read("deliver.scores", columns=["entity_id"])["entity_id"].to_pylist())
    answer = post(app, "/v1/score", {"leads": [{"lead_id": name}, {"features": {}}]})
    refused = post(app, "/v1/score", {"leads": [{"lead_id": "nobody"}]})
    assert (answer.status, refused.status) == (200, 404)
    kept = [row for _, row in record._rows]
    assert [(one.request_id, one.position, one.entity_id) for one in kept] == [
        (answer.headers["x-request-id"], 0, name),
        (answer.headers["x-request-id"], 1, None),
    ]
    assert [one.prediction for one in kept] == [one["probability"] for one in answer.json()["scores"]]
