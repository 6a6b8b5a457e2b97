"""What the engine leaves in a store equals what Feast's own leaves, byte by byte; and it never goes back."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from pipelines.features.engine.compute import BEGINNING
from tests.pipelines.features.servers import RedisServer

from .conftest import MakeRepo, Repo, materialize, read

DAY = datetime(2026, 1, 1)
ALL = BEGINNING.replace(tzinfo=None)
ROWS = [
    {"lead_id": "a", "as_of": DAY, "flag": True, "share": 0.1, "count": 2**63 - 1, "name": "\0n\0", "seen": DAY},
    {"lead_id": "a", "as_of": DAY + timedelta(days=2), "flag": False, "share": -0.0, "count": -(2**63), "name": "",
     "seen": datetime(1931, 5, 1, 1, 2, 3, 999_999)},
    {"lead_id": "b" * 300, "as_of": DAY, "flag": False, "share": float("nan"), "count": 0, "name": "ñ🦙",
     "seen": datetime(1970, 1, 1)},
    {"lead_id": "", "as_of": datetime(1969, 3, 1, 0, 0, 0, 5), "flag": True, "share": float("inf"), "count": -1,
     "name": "x" * 5000, "seen": datetime(1969, 12, 31, 23, 59, 59, 500_000)},
    {"lead_id": "ü", "as_of": DAY + timedelta(microseconds=999_999), "flag": None, "share": None, "count": 7,
     "name": None, "seen": None},
]  # fmt: skip
END = DAY + timedelta(days=3)

Open = Callable[..., Any]
Dump = Callable[[Any], Any]


@pytest.fixture(params=["sqlite", "redis"])
def stores(request: pytest.FixtureRequest) -> Callable[[Repo], tuple[Open, Dump]]:
    """Ways to open a repository on a store of its own, and to see all that is in it."""
    if request.param == "sqlite":

        def sqlite(repo: Repo) -> tuple[Open, Dump]:
            return repo.open, lambda store: dump_sqlite(store)

        return sqlite
    server: RedisServer = request.getfixturevalue("redis_server")

    def redis(repo: Repo) -> tuple[Open, Dump]:
        numbers: dict[str, int] = {}

        def opened(name: str, **told: Any) -> Any:
            from pipelines.core.settings import Settings
            from pipelines.features.address import expose, online_store

            settings = Settings(online_url=server.url(numbers.setdefault(name, len(numbers))))
            expose(settings)
            return repo.open(name, online_store(settings), **told)

        return opened, lambda store: dump_redis(server, numbers[store.repo_path.name])

    return redis


def dump_sqlite(store: Any) -> list[tuple[Any, ...]]:
    columns = "entity_key, feature_name, value, value_text, vector_value, event_ts, created_ts"
    with sqlite3.connect(store.repo_path / "online.db") as connection:
        return connection.execute(f"SELECT {columns} FROM shop_leads ORDER BY 1, 2").fetchall()


def dump_redis(server: RedisServer, database: int) -> dict[bytes, dict[bytes, bytes]]:
    client = server.client(database)
    return {key: client.hgetall(key) for key in client.keys("*")}


@pytest.mark.parametrize("key", [pa.string(), pa.int64()], ids=str)
def test_every_byte_is_that_of_feast(make_repo: MakeRepo, stores: Any, key: pa.DataType) -> None:
    numbers = {"a": 2**63 - 1, "b" * 300: -(2**63), "": 0, "ü": 256}
    rows = [{**row, "lead_id": numbers[row["lead_id"]]} for row in ROWS] if key == pa.int64() else ROWS
    repo = make_repo(rows, key)
    opened, dump = stores(repo)
    ours, theirs = opened("ours"), opened("theirs", engine="local")
    for store in (ours, theirs):
        materialize(store, ALL, END)
    assert dump(ours) == dump(theirs)
    assert len(dump(ours)) in (4, 4 * 5)
    entities = [row["lead_id"] for row in rows]
    assert repr(read(ours, entities)) == repr(read(theirs, entities))


def test_a_count_beside_a_missing_one_keeps_its_last_digit(make_repo: MakeRepo, stores: Any) -> None:
    # Feast's own code turns such a column into floats on the way.
    odd = [{**row, "count": None if row["lead_id"] == "ü" else 2**53 + 1} for row in ROWS]
    opened, _ = stores(make_repo(odd))
    store = opened("ours")
    materialize(store, ALL, END)
    assert read(store, ["a", "ü"])["count"] == [2**53 + 1, None]


def test_an_empty_view_leaves_an_empty_store(make_repo: MakeRepo, stores: Any) -> None:
    opened, dump = stores(make_repo([]))
    store = opened("ours")
    materialize(store, ALL, END)
    assert not dump(store)
    assert read(store, ["a"])["name"] == [None]


def test_old_days_never_make_a_value_older(make_repo: MakeRepo, stores: Any) -> None:
    opened, dump = stores(make_repo(ROWS))
    store = opened("ours")
    materialize(store, ALL, END)
    newest = dump(store)
    for start, end in [(ALL, DAY), (DAY, DAY + timedelta(days=1)), (DAY, DAY), (END, END)]:
        materialize(store, start, end)
        assert dump(store) == newest


def test_what_is_newer_than_the_stretch_stays_whoever_wrote_it(make_repo: MakeRepo, stores: Any) -> None:
    repo = make_repo(ROWS)
    opened, dump = stores(repo)
    materialize(opened("ours", engine="local"), ALL, END)
    newest = dump(store := opened("ours"))
    (store.repo_path / "registry.db").unlink()  # nothing tells how far the store is
    store = opened("ours")
    materialize(store, ALL, DAY)
    assert read(store, ["a"])["seen"] == [ROWS[1]["seen"].replace(microsecond=0, tzinfo=UTC)]
    materialize(store, ALL, END)
    assert dump(store) == newest


def test_a_stretch_writes_only_what_came_in_it(make_repo: MakeRepo, stores: Any) -> None:
    repo = make_repo(ROWS)
    opened, dump = stores(repo)
    store = opened("ours")
    materialize(store, DAY + timedelta(days=1), END)
    assert read(store, ["a", "ü"])["flag"] == [False, None]
    assert len(dump(store)) in (1, 5)


def test_a_value_taken_away_and_an_entity_without_rows_leave_the_store(make_repo: MakeRepo, stores: Any) -> None:
    repo = make_repo(ROWS)
    opened, dump = stores(repo)
    store, fresh = opened("ours"), opened("fresh")
    materialize(store, ALL, END)
    table = repo.catalog.load_table("features.leads")
    table.delete(f"as_of > '{(DAY + timedelta(days=1)).isoformat()}' or lead_id = 'ü'")
    materialize(store, ALL, END)
    materialize(fresh, ALL, END)
    assert dump(store) == dump(fresh)
    assert read(store, ["a", "ü"])["flag"] == [True, None]


def test_views_of_other_projects_and_entities_stay(make_repo: MakeRepo, redis_server: RedisServer) -> None:
    repo = make_repo(ROWS)
    from pipelines.core.settings import Settings
    from pipelines.features.address import expose, online_store

    settings = Settings(online_url=redis_server.url())
    expose(settings)
    online = online_store(settings)
    other, store = repo.open("other", online, project="big_shop"), repo.open("ours", online)
    materialize(other, ALL, END)
    held = dump_redis(redis_server, 0)
    materialize(store, ALL, END)
    repo.catalog.load_table("features.leads").delete("lead_id != 'a'")
    materialize(store, ALL, END)
    left = dump_redis(redis_server, 0)
    assert {key: left[key] for key in held} == held
    assert len(left) == len(held) + 1


def test_an_answer_that_is_an_error_is_told_and_leaves_no_answers_behind(
    make_repo: MakeRepo, redis_server: RedisServer
) -> None:
    from redis import ResponseError

    from pipelines.core.settings import Settings
    from pipelines.features.address import expose, online_store

    settings = Settings(online_url=redis_server.url())
    expose(settings)
    store = make_repo(ROWS).open("ours", online_store(settings))
    materialize(store, ALL, END)
    newest = dump_redis(redis_server, 0)
    first = min(newest)
    redis_server.client().delete(first)
    redis_server.client().set(first, "no hash")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        materialize(store, ALL, END)
    redis_server.client().delete(first)
    materialize(store, ALL, END)
    assert dump_redis(redis_server, 0) == newest
