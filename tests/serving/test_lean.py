"""A lean worker scores as the champion does, from the files alone, with nothing heavy loaded."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.errors import NotReady
from pipelines.core.tenant import Tenant
from pipelines.features.online import read_online
from pipelines.registry.champion import load_champion
from serving.bundle import Bundle, read, stage
from serving.online import OnlineStore, RedisStore, SqliteStore

pytestmark = pytest.mark.slow
MOMENT = datetime(2026, 4, 1, 17, 30, 12)

LEAN = """
import json, sys
from pathlib import Path
from serving.worker import HEAVY, create
create()
from serving.bundle import read
bundle = read(Path(sys.argv[1]))
asked = json.load(sys.stdin)
found = bundle.estimator.expected(asked)
loaded = [name for name in HEAVY if sys.modules.get(name) is not None]
print(json.dumps({"found": found.tolist(), "loaded": loaded}))
"""


def store_of(tenant: Tenant, bundle: Bundle) -> OnlineStore:
    if tenant.settings.online_url is None:
        return SqliteStore(tenant.feast_dir / "online.db", bundle.layout)
    from redis.asyncio import Redis

    return RedisStore(Redis.from_url(tenant.settings.online_url), bundle.layout)


@pytest.fixture(scope="module")
def folder(demo: Tenant) -> Path:
    return stage(demo, load_champion(demo, "conversion"))


def leads(tenant: Tenant) -> list[str]:
    from pipelines.lake.catalog import Lake

    known = Lake(tenant).read("clean.leads", columns=["lead_id"])["lead_id"].to_pylist()
    return [*known[:2000], "nobody", "", known[0]]


def test_stored_features_are_those_of_a_stock_feast_client(demo: Tenant, folder: Path) -> None:
    bundle = read(folder)
    asked = leads(demo)

    async def ours() -> list[dict[str, object]]:
        store = store_of(demo, bundle)
        found = await store.read(asked)
        await store.close()
        assert all(one.known == any(value is not None for value in one.row.values()) for one in found)
        for one in found:
            bundle.clock.add_to(one.row, MOMENT)
        return [{name: one.row[name] for name in bundle.features} for one in found]

    rows = asyncio.run(ours())
    theirs = read_online(demo, "conversion", [{bundle.layout.entity: lead, "event_time": MOMENT} for lead in asked])
    for name in bundle.features:
        assert [row[name] for row in rows] == list(theirs[name]), name
    assert sum(row[bundle.features[0]] is not None for row in rows) > 100


def test_scores_are_those_of_the_champion_without_a_heavy_library(demo: Tenant, folder: Path) -> None:
    champion = load_champion(demo, "conversion")
    asked = read_online(demo, "conversion", [{"lead_id": lead, "event_time": MOMENT} for lead in leads(demo)])
    columns = {name: list(asked[name]) for name, _ in champion.features}
    done = subprocess.run(
        [sys.executable, "-c", LEAN, str(folder)],
        input=json.dumps(columns),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LEADWISE_SERVING": str(folder)},
    )
    told = json.loads(done.stdout)
    assert told["loaded"] == []
    np.testing.assert_array_equal(told["found"], champion.predict(columns))


def test_a_bundle_is_written_once_and_told_when_it_was_changed(demo: Tenant, folder: Path) -> None:
    assert stage(demo, load_champion(demo, "conversion")) == folder
    path = next(one for one in (folder / "model").rglob("*") if one.is_file())
    kept = path.read_bytes()
    path.write_bytes(kept + b" ")
    try:
        with pytest.raises(NotReady, match="was changed: remove"):
            read(folder)
    finally:
        path.write_bytes(kept)
    with pytest.raises(NotReady, match="can't be read"):
        read(folder / "gone")
