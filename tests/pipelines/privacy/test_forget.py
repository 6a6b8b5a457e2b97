"""A forgotten lead leaves everything: no byte of the phone is left, and its id leads nowhere."""

import base64
import hashlib
import json
import stat
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations.contract import load_contracts
from pipelines.collect.ingest import ingest
from pipelines.core.errors import ConfigError
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.deliver.audience import write_audience
from pipelines.deliver.table import SCHEMA, TABLE
from pipelines.features.apply import open_store
from pipelines.features.forgotten import empty
from pipelines.features.step import features
from pipelines.lake.catalog import Lake
from pipelines.lake.expiry import tables
from pipelines.lake.identities import Identities
from pipelines.privacy import forget as module
from pipelines.privacy.forget import forget
from pipelines.quality.validate import validate
from serving.collect import TABLE as SERVED
from serving.collect import collect, folder_of
from serving.record import Record
from serving.requests import Asked
from tests.conftest import MakeTenant
from tests.leaks import Search
from tests.pipelines.features.servers import RedisServer
from tests.pipelines.quality.conftest import make_visiting
from tests.pipelines.quality.market import COLUMNS, CONTRACT, PARAMS, visit, write_csv
from tests.tables import warehouse

DAY = date(2026, 3, 1)
PHONE, OTHER = "+525512345001", "+525512345002"
CODED = base64.b64encode(PHONE.encode()).decode()
VIEW = "select lead_id, count(*) as visits, max(came_at) as last_visit_at from visits group by lead_id"
LABEL = """
select lead_id, came_at as event_time, member as label, came_at + to_days($horizon_days::int) as known_at from visits
"""


def rows() -> list[dict[str, object]]:
    """Good rows of two leads; bad ones that hold the first one's number in every form."""
    return [
        visit(1, phone=PHONE),
        visit(2, phone="+52 55 1234-5001"),
        visit(3, phone=OTHER),
        visit(4, phone=PHONE, shop="west"),
        visit(5, phone=OTHER, shop="(55) 1234 5001"),
        visit(6, phone=OTHER, spent=PHONE),
        visit(7, phone="5512345001"),
        visit(8, phone=OTHER, shop=CODED),
        visit(9, phone=OTHER, shop="east"),
        visit(10, phone=OTHER),
    ]


@pytest.fixture
def tenant(make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    made = make_visiting(make_tenant, monkeypatch, {**PARAMS, "quality": {"max_quarantine_share": 1.0}})
    (made.sql_dir / "labels").mkdir()
    (made.sql_dir / "features_visits.sql").write_text(VIEW)
    (made.sql_dir / "labels" / "conversion.sql").write_text(LABEL)
    read(made, rows())
    features(made, Interval.day(DAY))
    score(made)
    return made


def read(tenant: Tenant, exported: list[dict[str, object]], day: date = DAY) -> None:
    write_csv(tenant.home / "in" / "visits" / f"{day}.csv", exported)
    ingest(tenant, Interval.day(day))
    validate(tenant, Interval.day(day))


def score(tenant: Tenant) -> None:
    """Scores and an audience with phones, without a model."""
    lake, interval = Lake(tenant), Interval.day(DAY)
    leads = Identities(lake)._ids
    size = len(leads)
    given = {"entity_id": leads, "score_id": leads, "probability": pa.array([0.5] * size), "date": pa.repeat(DAY, size)}
    columns = [given.get(field.name, pa.nulls(size, field.type)) for field in SCHEMA]
    columns[SCHEMA.names.index("target")] = pa.repeat("conversion", size)
    from pyiceberg.expressions import AlwaysTrue

    lake.write(TABLE, SCHEMA, [pa.Table.from_arrays(columns, schema=SCHEMA)], replace=AlwaysTrue())
    write_audience(tenant, interval, load_contracts(tenant.contracts_dir), lake, "lead_id", with_phone=True)


def lead_of(tenant: Tenant, phone: str) -> str | None:
    table = Lake(tenant).read("identity.identities").to_pylist()
    return next((row["lead_id"] for row in table if row["phone"] == phone), None)


def hits(tenant: Tenant, phone: str = PHONE) -> list[Path]:
    """Files under the tenant's folder and its lake that hold the number, but for its own exports."""
    search = Search([("52", phone.removeprefix("+52"))])
    found = {hit.path for folder in {tenant.home, warehouse(tenant)} for hit in search.folder(folder)}
    return sorted(path for path in found if not path.is_relative_to(tenant.home / "in"))


def test_no_byte_is_left_and_others_keep_theirs(tenant: Tenant) -> None:
    lead, other = lead_of(tenant, PHONE), lead_of(tenant, OTHER)
    assert lead
    places = (warehouse(tenant), tenant.audience_dir)
    assert all(any(path.is_relative_to(place) for path in hits(tenant)) for place in places)
    before = {name: Lake(tenant).count(name) for name in tables(Lake(tenant))}

    report = forget(tenant, [lead])

    assert hits(tenant) == []
    assert hits(tenant, OTHER)
    lake = Lake(tenant)
    for name in tables(lake):
        assert lead not in str(lake.read(name).to_pylist()) or name == "identity.forgotten"
    assert lead_of(tenant, OTHER) == other
    went = {row["table"]: row["rows"] for row in report.details}
    assert went["raw.visits"] == 7
    assert went["quarantine.visits"] == 5
    assert went["clean.visits"] == 2
    assert went["features.visits"] == went["deliver.scores"] == 1
    assert {name: lake.count(name) + went.get(name, 0) for name in before if name != "identity.identities"} == {
        name: count for name, count in before.items() if name != "identity.identities"
    }


def test_what_the_endpoint_served_goes_too(tenant: Tenant) -> None:
    """Rows that are in the table, and a file that is not yet; of others nothing is lost."""
    lead, other = lead_of(tenant, PHONE), lead_of(tenant, OTHER)
    assert lead
    assert other
    record = Record(folder_of(tenant), pytest.fail)
    champion: Any = SimpleNamespace(target="conversion", name="demo.conversion", version="1")

    def serve(number: str) -> None:
        asked = [Asked(one, None, datetime(2026, 3, 2)) for one in (lead, other)]
        record.add(number, champion, asked, [{"probability": 0.5}] * 2)
        record.flush()

    serve("collected")
    collect(tenant)
    serve("left")
    mark = tenant.online_mark.stat().st_mtime_ns
    report = forget(tenant, [lead])
    serve("under way")  # a worker that knew nothing of it
    collect(tenant)

    rows = Lake(tenant).read(SERVED).to_pylist()
    assert sorted((row["request_id"], row["entity_id"]) for row in rows) == [
        (number, other) for number in ("collected", "left", "under way")
    ]
    assert {"table": SERVED, "rows": 2} in report.details
    assert not list(folder_of(tenant).iterdir())
    assert tenant.online_mark.stat().st_mtime_ns > mark  # answers that workers keep are old now


def test_the_audience_keeps_its_other_lines_and_its_owner(tenant: Tenant) -> None:
    folder = tenant.audience_dir / str(DAY)
    lines = (folder / "audience.csv").read_text().splitlines()
    forget(tenant, [str(lead_of(tenant, PHONE))])
    assert (folder / "audience.csv").read_text().splitlines() == [line for line in lines if "12345001" not in line]
    assert pq.read_table(folder / "audience.parquet")["phone"].to_pylist() == [OTHER]
    assert stat.S_IMODE((folder / "audience.csv").stat().st_mode) == 0o600
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["counts"]["audience"] == 1
    for name, about in manifest["files"].items():
        assert about["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert stat.S_IMODE(tenant.forgotten_key.stat().st_mode) == 0o600


def online(tenant: Tenant, lead: str) -> list[object]:
    store = open_store(tenant)
    found = store.get_online_features(features=["visits:visits"], entity_rows=[{"lead_id": lead}]).to_dict()
    return list(found["visits"])


def test_the_online_store_forgets(tenant: Tenant) -> None:
    lead, other = str(lead_of(tenant, PHONE)), str(lead_of(tenant, OTHER))
    assert online(tenant, lead) == [2]
    forget(tenant, [lead])
    assert online(tenant, lead) == [None]
    assert online(tenant, other) == [2]
    store = open_store(tenant)
    for view in store.list_feature_views():  # what a store is given that nothing can be deleted from
        empty(store, view, [other], datetime(2027, 1, 1))
    assert online(tenant, other) == [None]


def test_a_redis_forgets(tenant: Tenant, redis_server: RedisServer) -> None:
    settings = tenant.settings.model_copy(update={"online_url": redis_server.url()})
    there = replace(tenant, settings=settings)
    features(there, Interval.day(DAY))
    lead, other = str(lead_of(there, PHONE)), str(lead_of(there, OTHER))
    assert (online(there, lead), online(there, other)) == ([2], [2])
    forget(there, [lead])
    assert (online(there, lead), online(there, other)) == ([None], [2])
    assert not [key for key in redis_server.client().scan_iter() if lead.encode() in key]


def test_again_it_says_so_and_a_dry_run_changes_nothing(tenant: Tenant) -> None:
    lead = str(lead_of(tenant, PHONE))
    before = {name: Lake(tenant).snapshot_id(name) for name in tables(Lake(tenant))}
    told = forget(tenant, [lead], dry_run=True)
    assert told.counts["rows"] == 7 + 5 + 2 + 1 + 1
    assert {name: Lake(tenant).snapshot_id(name) for name in tables(Lake(tenant))} == before
    assert hits(tenant)
    forget(tenant, [lead])
    again = forget(tenant, [lead])
    assert again.counts == {"leads": 0, "rows": 0}
    assert "1 of 1 had been forgotten already" in again.notes[0]
    with pytest.raises(ConfigError, match="has no lead 'nobody'"):
        forget(tenant, ["nobody"])


STOPS = ("_rules", "strike", "take", "from_docs", "clear_scratch", "settle", "expire_snapshots", "sweep")


@pytest.mark.parametrize("stop", STOPS)
def test_killed_anywhere_it_goes_on(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, stop: str) -> None:
    calls = 0

    def killed(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    def second(*given: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise KeyboardInterrupt
        return original(*given, **options)

    lead = str(lead_of(tenant, PHONE))
    if stop == "take":
        for writer in ("sqlite.SqliteWriter", "redis.RedisWriter"):
            monkeypatch.setattr(f"pipelines.features.engine.{writer}.remove", killed)
    else:
        original = getattr(module, stop)
        monkeypatch.setattr(module, stop, second if stop in ("strike", "settle", "expire_snapshots") else killed)
    with pytest.raises(KeyboardInterrupt):
        forget(tenant, [lead])
    monkeypatch.undo()
    monkeypatch.setenv("LEADWISE_EXPECTATIONS", str(tenant.settings.expectations))
    forget(tenant, [lead])
    assert hits(tenant) == []
    assert lead_of(tenant, PHONE) is None
    assert online(tenant, lead) == [None]


def test_an_old_source_does_not_bring_it_back_and_a_new_one_gives_a_new_id(tenant: Tenant) -> None:
    lead = str(lead_of(tenant, PHONE))
    forget(tenant, [lead])
    read(tenant, rows())
    assert lead_of(tenant, PHONE) is None
    spread = [path for path in hits(tenant) if "raw" not in path.parts and "quarantine" not in path.parts]
    assert spread == []
    raw = Lake(tenant).read("raw.visits").to_pylist()
    assert [row["visit_id"] for row in raw] == ["v3", "v8", "v9", "v10"]  # only cells that are a number keep a row out
    later = DAY + timedelta(days=1)
    times = {name: f"{later} 1{hour}:00:00" for hour, name in enumerate(("came_at", "left_at", "received_at"))}
    read(tenant, [visit(20, phone=PHONE, **times)], later)
    assert lead_of(tenant, PHONE) not in (None, lead)


def test_who_was_whose_can_not_be_told(tenant: Tenant) -> None:
    """What is remembered has no common column, no order and no time that would join an id to a digest."""
    forget(tenant, [str(lead_of(tenant, OTHER))])
    forget(tenant, [str(lead_of(tenant, PHONE))])
    lake = Lake(tenant)
    ids, digests = lake.read("identity.forgotten"), lake.read("identity.suppressed")
    assert ids.column_names == ["lead_id"]
    assert digests.column_names == ["digest", "until"]
    assert ids["lead_id"].to_pylist() == sorted(ids["lead_id"].to_pylist())
    assert digests["digest"].to_pylist() == sorted(digests["digest"].to_pylist())
    assert len(set(digests["until"].to_pylist())) == 1
    for name in ("identity.forgotten", "identity.suppressed"):
        table = lake.table(name)
        assert table is not None
        assert len(table.metadata.snapshots) == 1


def test_the_contract_of_the_test_has_a_phone() -> None:
    assert "phone" in CONTRACT
    assert "phone" in COLUMNS
