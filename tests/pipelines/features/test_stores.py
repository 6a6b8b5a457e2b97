"""Offline, online and a stock Feast client give the same values; the online store never goes back."""

import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.features.apply import apply, open_store, quiet
from pipelines.features.join import model_features, point_in_time
from pipelines.features.online import read_online
from pipelines.features.step import feature_status, features

from .conftest import TIME, World, at, days


def plant(world: World) -> None:
    """Leads of every kind: busy, silent, new, and one whose message arrives late."""
    world.plant(
        "leads",
        {"lead_id": "busy", "acquired_at": datetime(2025, 11, 3, 4, 5, 6, 789)},
        {"lead_id": "silent", "consent": False, "timezone": "America/Tijuana"},
        {"lead_id": "new", "acquired_at": at(2, 7), "lada": "999"},
    )
    sent = [{"message_id": f"m{n}", "lead_id": "busy", "sent_at": at(n, 5.123)} for n in range(4)]
    late = {"message_id": "late", "lead_id": "new", "sent_at": at(3), "_arrived_at": at(5, 1)}
    world.plant("messages", *sent, late)
    world.plant("validations", {"validation_id": "v", "lead_id": "busy", "validated_at": at(1, 2.5)})
    world.plant(
        "conversions",
        {"conversion_id": "k", "lead_id": "busy", "message_id": "m1", "occurred_at": at(2), "kind": "purchase",
         "revenue": 0.1},
    )  # fmt: skip


def offline(world: World, moment: datetime, leads: list[str]) -> dict[str, list[Any]]:
    names = [name for name, _ in model_features(world.definitions, "conversion")]
    spine = pa.table({"lead_id": leads, "event_time": pa.array([moment] * len(leads), TIME)})
    return point_in_time(world.tenant, world.lake, world.definitions, spine).read_all().select(names).to_pydict()


def online(world: World, moment: datetime, leads: list[str]) -> dict[str, list[Any]]:
    found = read_online(world.tenant, "conversion", [{"lead_id": lead, "event_time": moment} for lead in leads])
    return {name: values for name, values in found.items() if name != "lead_id"}


def exact(columns: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Values with their types, so that 1, 1.0 and True differ."""
    return {name: [repr(value) for value in values] for name, values in columns.items()}


LEADS = ["busy", "silent", "new", "nobody"]


def test_online_equals_offline_to_the_last_bit(world: World) -> None:
    plant(world)
    for interval in (days(0, 3), days(3, 4), days(4, 6)):
        features(world.tenant, interval)
        moment = interval.end.replace(hour=13, minute=7, second=11)
        assert exact(online(world, moment, LEADS)) == exact(offline(world, moment, LEADS))
    assert set(feature_status(world.tenant)) == set(world.definitions.views)
    assert {view["online_entities"] for view in feature_status(world.tenant).values()} == {3}


def test_history_of_a_stock_client_equals_the_join(world: World) -> None:
    plant(world)
    features(world.tenant, days(0, 6))
    events = [(lead, at(day, 12)) for day in range(6) for lead in LEADS]
    names = [name for name, _ in model_features(world.definitions, "conversion")]
    import pandas as pd

    frame = pd.DataFrame(
        {"lead_id": [lead for lead, _ in events], "event_timestamp": [when.replace(tzinfo=UTC) for _, when in events]}
    )
    frame["event_time"] = frame["event_timestamp"]
    with quiet():
        store = open_store(world.tenant)
        job = store.get_historical_features(frame, store.get_feature_service("conversion"))
        theirs = job.to_df().sort_values(["event_timestamp", "lead_id"])
    spine = pa.table(
        {"lead_id": [lead for lead, _ in events], "event_time": pa.array([when for _, when in events], TIME)}
    )
    ours = point_in_time(world.tenant, world.lake, world.definitions, spine).read_all().to_pandas()
    ours = ours.sort_values(["event_time", "lead_id"])
    for name in names:
        left = pd.Series(ours[name].to_numpy(), dtype=object)
        right = pd.Series(theirs[name].to_numpy(), dtype=object)
        assert left.where(left.notna(), None).tolist() == right.where(right.notna(), None).tolist(), name


@pytest.mark.local
def test_online_rows_are_those_of_stock_materialize(world: World, tmp_path: Path) -> None:
    plant(world)
    features(world.tenant, days(0, 3))
    features(world.tenant, days(3, 6))
    stock = tmp_path / "stock"
    shutil.copytree(world.tenant.feast_dir, stock)
    with sqlite3.connect(stock / "online.db") as connection:
        for view in world.definitions.views:
            connection.execute(f'DELETE FROM "demo_{view}"')
    with quiet():
        from feast import FeatureStore

        FeatureStore(repo_path=str(stock)).materialize(at(-1).replace(tzinfo=UTC), at(6).replace(tzinfo=UTC))
    files = (world.tenant.feast_dir / "online.db", stock / "online.db")
    for view in world.definitions.views:
        query = f'SELECT entity_key, feature_name, value, value_text, event_ts FROM "demo_{view}" ORDER BY 1, 2'
        ours, theirs = (sqlite3.connect(file).execute(query).fetchall() for file in files)
        assert ours == theirs


def test_a_stock_client_of_another_process_opens_the_folder(world: World) -> None:
    plant(world)
    features(world.tenant, days(0, 6))
    code = (
        "import sys, datetime; from feast import FeatureStore; s = FeatureStore(repo_path=sys.argv[1]);"
        "r = [{'lead_id': 'busy', 'event_time': datetime.datetime(2026, 1, 7, 12)}];"
        "o = s.get_online_features(features=s.get_feature_service('conversion'), entity_rows=r).to_dict();"
        "print(o['messages_7d'], o['local_hour'], o['carrier'])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(world.tenant.feast_dir)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[4] [6.0] ['Telcel']"


def test_online_store_never_goes_back(world: World) -> None:
    plant(world)
    features(world.tenant, days(0, 3))
    features(world.tenant, days(3, 6))
    newest = online(world, at(6, 1), LEADS)
    report = features(world.tenant, days(0, 3))
    assert online(world, at(6, 1), LEADS) == newest
    assert any("stay" in note for note in report.notes)


def test_step_twice_gives_equal_tables_and_values(world: World) -> None:
    plant(world)
    features(world.tenant, days(0, 6))
    tables = {view: world.stored(view) for view in world.definitions.views}
    values = online(world, at(6, 1), LEADS)
    features(world.tenant, days(0, 6))
    assert {view: world.stored(view) for view in world.definitions.views} == tables
    assert online(world, at(6, 1), LEADS) == values


def test_same_days_again_after_a_correction_reach_the_online_store(world: World) -> None:
    plant(world)
    features(world.tenant, days(0, 3))
    world.plant("leads", {"lead_id": "silent", "carrier": "AT&T", "received_at": at(1, 1)}, batch="second")
    features(world.tenant, days(0, 3))
    assert online(world, at(3, 1), ["silent"])["carrier"] == ["AT&T"]


def test_a_value_that_a_correction_took_away_leaves_the_online_store(world: World) -> None:
    plant(world)
    features(world.tenant, days(0, 2))
    world.plant("messages", {"message_id": "error", "lead_id": "silent", "sent_at": at(2, 3)}, batch="day")
    features(world.tenant, days(2, 3))
    assert online(world, at(3), ["silent"])["messages_7d"] == [1]

    world.plant("messages", batch="day")
    features(world.tenant, days(2, 3))

    assert exact(online(world, at(3), LEADS)) == exact(offline(world, at(3), LEADS))
    assert online(world, at(3), ["silent"])["messages_7d"] == [0]


def edited(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: str, old: str, new: str) -> Tenant:
    """The tenant after a line of a view's SQL was changed."""
    shutil.copytree(world.tenant.settings.feature_repo, tmp_path / "repo", ignore=shutil.ignore_patterns("*.py"))
    monkeypatch.setenv("LEADWISE_FEATURE_REPO", str(tmp_path / "repo"))
    path = tmp_path / "repo" / "sms" / f"features_{view}.sql"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return Tenant.load("demo")


def test_two_definitions_are_never_mixed(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(world)
    features(world.tenant, days(0, 2))
    before = world.lake.snapshot_id("features.market")
    changed = edited(world, tmp_path, monkeypatch, "market", "interval 7 days", "interval 14 days")

    with pytest.raises(NotReady, match=r"view 'market'.*features_market.sql.*--rewrite"):
        features(changed, days(2, 3))
    assert world.lake.snapshot_id("features.market") == before

    notes = features(changed, days(0, 3)).notes  # over all that is stored: nothing is left to be mixed with
    assert any("history of view 'market' was written anew" in note for note in notes)
    assert features(changed, days(3, 4)).notes == []


def test_a_comment_is_no_change(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(world)
    features(world.tenant, days(0, 2))
    changed = edited(world, tmp_path, monkeypatch, "market", "with week as", "-- a word\nWITH   week AS")
    assert features(changed, days(2, 3)).notes == []


def test_apply_does_nothing_the_second_time(world: World) -> None:
    plant(world)
    world.compute(days(0, 1))
    assert apply(world.tenant, world.definitions)
    assert not apply(world.tenant, world.definitions)


def test_removed_view_leaves_the_registry(world: World) -> None:
    plant(world)
    world.compute(days(0, 1))
    apply(world.tenant, world.definitions)
    del world.definitions.views["market"]
    assert apply(world.tenant, world.definitions)
    with quiet():
        names = [view.name for view in open_store(world.tenant).list_feature_views()]
        service = open_store(world.tenant).get_feature_service("conversion")
    assert "market" not in names
    assert "market" not in [part.name for part in service.feature_view_projections]


def test_before_the_first_run_the_way_out_is_named(world: World) -> None:
    with pytest.raises(NotReady, match="leadwise features --tenant demo"):
        read_online(world.tenant, "conversion", [{"lead_id": "a"}])
    with pytest.raises(NotReady, match="leadwise validate"):
        features(world.tenant, days(0, 1))
    assert feature_status(world.tenant)["lead"] == {"rows": 0, "online_entities": 0}


def test_misspelt_target_names_the_right_one(world: World) -> None:
    plant(world)
    features(world.tenant, days(0, 1))
    with pytest.raises(ConfigError, match="did you mean 'conversion'"):
        read_online(world.tenant, "conversoin", [{"lead_id": "busy", "event_time": at(1)}])


def test_features_without_a_clock_work_too(calls: World) -> None:
    start = datetime(2008, 5, 5)
    calls.plant("calls", {"call_id": "C000001", "called_at": start}, {"call_id": "C000002", "called_at": start})
    features(calls.tenant, Interval(start, start.replace(day=7)))
    found = read_online(calls.tenant, "conversion", [{"call_id": "C000002", "event_time": start.replace(day=7)}])
    row = calls.as_of("C000002", start.replace(day=7))
    assert {name: values[0] for name, values in found.items()} == {
        name: value for name, value in row.items() if name != "event_time"
    }
