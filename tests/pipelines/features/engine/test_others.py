"""What the engine does not know goes Feast's own way, and never goes back either."""

from datetime import timedelta

import pyarrow as pa
import pytest

from tests.pipelines.collect.conftest import PostgresServer, postgres, postgres_server  # noqa: F401 - fixtures

from .conftest import MakeRepo, Repo, materialize, read
from .test_compute import ALL, DAY, END, ROWS


def test_a_real_postgresql_never_goes_back(make_repo: MakeRepo, postgres: PostgresServer) -> None:  # noqa: F811
    import psycopg

    with psycopg.connect(postgres.admin) as session:
        folder = session.info.host
        database = session.info.dbname
    online = {
        "type": "postgres",
        "host": folder,
        "port": 5432,
        "database": database,
        "user": "postgres",
        "password": "",
    }
    store = make_repo(ROWS).open("ours", online)
    materialize(store, ALL, END)
    newest = read(store, ["a", "ü", ""])
    assert newest["flag"] == [False, None, True]
    for start, end in [(ALL, DAY), (DAY, DAY + timedelta(days=1))]:
        materialize(store, start, end)
        assert repr(read(store, ["a", "ü", ""])) == repr(newest)
    (store.repo_path / "registry.db").unlink()  # nothing tells how far the store is
    again = Repo(store.repo_path.parent, pa.string()).open("ours", online)
    materialize(again, ALL, DAY)
    assert read(again, ["a"])["flag"] == [False]


def test_a_type_that_is_not_known_goes_feasts_way(make_repo: MakeRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.features.engine import compute

    monkeypatch.delitem(compute._KINDS, next(kind for kind in compute._KINDS if str(kind) == "Bool"))
    repo = make_repo([{**row, "count": 1} for row in ROWS])
    ours, theirs = repo.open("ours"), repo.open("theirs", engine="local")
    for store in (ours, theirs):
        materialize(store, ALL, END)
    assert repr(read(ours, ["a", "ü"])) == repr(read(theirs, ["a", "ü"]))
    assert ours._get_provider().batch_engine.written == {}
    newest = repr(read(ours, ["a"]))
    materialize(ours, ALL, DAY)
    assert repr(read(ours, ["a"])) == newest
