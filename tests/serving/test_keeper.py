"""What goes wrong while champions and keys change: what was served goes on, and it is tried again."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.core.tenant import Tenant
from pipelines.registry import champion as champions
from serving.control import Control
from serving.keeper import Keeper
from serving.keys import Hashes, Keys
from serving.worker import Behind, Worker
from tests.serving.asgi import post, request

pytestmark = pytest.mark.slow


@pytest.fixture
def keeper(demo: Tenant, tmp_path: Path) -> Keeper:
    return Keeper(demo, "conversion", Control(tmp_path))


def decided(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> int:
    """As if the same version had been put to work once more; the number of that decision."""
    entry = keeper._ledger.current("conversion")
    assert entry is not None
    again = replace(entry, seq=entry.seq + 1)
    monkeypatch.setattr(keeper._ledger, "current", lambda target: again)
    return again.seq


def test_a_champion_that_can_not_be_loaded_is_tried_again(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keeper.serving
    assert keeper.look() is False
    number = decided(keeper, monkeypatch)

    def away(*_: object) -> None:
        raise OSError("the store of artifacts is away")

    with monkeypatch.context() as broken:
        broken.setattr(champions, "load_entry", away)
        assert keeper.look() is False
        assert keeper.serving == before
    assert keeper.look() is False  # it is left alone for a while
    keeper._failed_at -= 60
    assert keeper.look() is True
    assert keeper.serving.seq == number
    assert keeper._control.said() == keeper.serving


def test_keys_that_are_gone_open_nothing(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Hashes | None] = [{"5f0c9a1e": ("salt", "hash")}]
    monkeypatch.setattr(Keys, "hashes", lambda self: held[-1])
    keeper.look_for_keys()
    assert keeper.serving.keys == held[0]
    held.append(None)  # the table was lost
    keeper.look_for_keys()
    assert keeper.serving.keys == {}
    again = Keeper(keeper._tenant, "conversion", keeper._control)  # as after a kill
    assert again.serving.keys == {}


def test_a_worker_begins_without_its_store_and_follows(keeper: Keeper, tmp_path: Path) -> None:
    there = keeper.serving
    away = replace(there, sqlite=str(tmp_path / "none.db"), redis=None, keys=None)
    worker = Worker(keeper._control)
    lead = {"leads": [{"lead_id": "nobody"}]}

    asyncio.run(worker._serve(away))
    assert post(worker, "/v1/score", lead).status == 503
    asyncio.run(worker._serve(replace(away, keys={})))
    assert post(worker, "/v1/score", lead).status == 401
    with pytest.raises(Exception, match="can't be read"):
        asyncio.run(worker._serve(replace(away, bundle=str(tmp_path / "none"))))
    assert post(worker, "/v1/score", lead).status == 503  # keys count at once; the champion is the one before
    asyncio.run(worker._serve(replace(there, keys=None)))
    if there.sqlite is not None:
        assert post(worker, "/v1/score", lead).status == 404


@pytest.mark.parametrize("path", ["/", "/docs", "/x/../invocations", "/invocations?x", "/" + "a" * 9000, "/\n"])
def test_nothing_else_is_handed_on(tmp_path: Path, path: str) -> None:
    assert request(Behind(tmp_path / "nobody.sock"), "POST", path).status == 404


def test_mlflows_app_that_is_away_is_told(tmp_path: Path) -> None:
    assert request(Behind(tmp_path / "nobody.sock"), "GET", "/ping").status == 503
