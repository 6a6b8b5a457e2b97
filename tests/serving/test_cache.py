"""Answers that are kept: the same as those that were not, until anything changes."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.params import CacheParams
from pipelines.core.tenant import Tenant
from pipelines.deliver.table import TABLE
from pipelines.features.apply import write_whole
from pipelines.features.forgotten import take_offline
from pipelines.lake.catalog import Lake
from serving.cache import Cache
from serving.requests import Asked, Reader
from tests.serving.asgi import application, post, request

NOW = datetime(2026, 4, 1, 12)


def asked(name: str | None = "a", moment: datetime = NOW) -> Asked:
    return Asked(name, None if name else {}, moment)


def test_another_lead_moment_number_of_reasons_or_version_is_another_answer() -> None:
    cache = Cache(10, 60)
    cache.put(asked(), 0, 1, {"probability": 0.5})
    assert cache.get(asked(), 0, 1) == {"probability": 0.5}
    for key in ((asked("b"), 0, 1), (asked(moment=NOW.replace(hour=13)), 0, 1), (asked(), 1, 1), (asked(), 0, 2)):
        assert cache.get(*key) is None


def test_what_names_no_lead_or_no_version_is_not_kept() -> None:
    cache = Cache(10, 60)
    for key in ((asked(None), 0, 1), (asked(), 0, None)):
        cache.put(*key, {"probability": 0.5})  # type: ignore[arg-type]
        assert cache.get(*key) is None  # type: ignore[arg-type]


@given(st.lists(st.sampled_from("abcdefgh"), max_size=60), st.integers(1, 5))
def test_it_never_grows_beyond_its_size(names: list[str], size: int) -> None:
    counted: list[tuple[int, int]] = []
    cache = Cache(size, 60, lambda hits, misses: counted.append((hits, misses)))
    for name in names:
        if cache.get(asked(name), 0, 1) is None:
            cache.put(asked(name), 0, 1, {"name": name})
    kept = [name for name in "abcdefgh" if cache.get(asked(name), 0, 1) is not None]
    assert len(kept) == min(size, len(set(names)))
    newest = list(dict.fromkeys(reversed(names)))[:size]
    assert set(kept) == set(newest)  # the one that was not asked for the longest leaves first
    assert sum(hits + misses for hits, misses in counted) == len(names) + 8


def test_without_entries_now_is_now() -> None:
    cache = Cache(0, 60)
    assert cache.seconds == 0
    cache.put(asked(), 0, 1, {})
    assert cache.get(asked(), 0, 1) is None


@pytest.mark.parametrize("seconds", [1, 60, 3600])
def test_now_is_the_last_whole_multiple(seconds: int) -> None:
    [found], _ = Reader("lead_id", step=seconds).read(b'{"leads": [{"lead_id": "a"}]}')
    assert found.moment.replace(tzinfo=UTC).timestamp() % seconds == 0
    assert 0 <= (datetime.now(UTC).replace(tzinfo=None) - found.moment).total_seconds() < seconds + 1


@pytest.fixture
def cached(demo: Tenant, tmp_path: Path) -> Any:
    serve = demo.params.serve.model_copy(update={"cache": CacheParams(entries=100, seconds=60)})
    app = application(replace(demo, params=demo.params.model_copy(update={"serve": serve})), tmp_path)
    return app


def figure(app: Any, name: str) -> float:
    [line] = [line for line in request(app, "GET", "/metrics").text.splitlines() if line.startswith(name + " ")]
    return float(line.rsplit(" ", 1)[1])


@pytest.mark.slow
def test_a_materialization_and_a_lead_that_leaves_make_it_anew(
    demo: Tenant, cached: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(Lake(demo).read(TABLE, columns=["entity_id"])["entity_id"].to_pylist())[:3]
    context = {"event_time": demo.whole_run.as_of.isoformat()}
    body = {"leads": [{"lead_id": name, "context": context} for name in names], "reasons": 1}
    read: list[Any] = []
    whole = cached._scorer._store.read

    async def spied(ids: Any) -> Any:
        read.append(ids)
        return await whole(ids)

    monkeypatch.setattr(cached._scorer._store, "read", spied)
    first = post(cached, "/v1/score", body)
    assert post(cached, "/v1/score", body).json() == first.json()
    assert read == [names]
    more = {**body, "leads": [*body["leads"], {"lead_id": names[0]}]}
    assert post(cached, "/v1/score", more).json()["scores"][:3] == first.json()["scores"]
    assert read == [names, [names[0]]]  # of what is kept nothing is looked up
    assert (figure(cached, "leadwise_cache_hits_total"), figure(cached, "leadwise_cache_misses_total")) == (6, 4)

    for change in (
        lambda: write_whole(demo.online_mark, demo.online_mark.read_text()),  # what materialize does at its end
        lambda: take_offline(demo, "lead_id", ["never-was-one"], NOW),
    ):
        change()
        cached._scorer._mark._looked = float("-inf")  # a second later
        seen = len(read)
        assert post(cached, "/v1/score", body).json() == first.json()
        assert json.dumps(read[seen:]) == json.dumps([names])
