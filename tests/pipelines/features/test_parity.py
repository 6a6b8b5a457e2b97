"""What differs between the online store and the lake is found, on SQLite and on Redis."""

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.core.errors import NotReady
from pipelines.core.tenant import Tenant
from pipelines.features.apply import open_store, quiet
from pipelines.features.materialize import materialize
from pipelines.features.parity import Difference, parity
from pipelines.features.step import feature_status, features

from .conftest import World, at, days
from .servers import redis_server, redis_session  # noqa: F401 - fixtures
from .test_stores import plant

Kept = Callable[[World], World]


@pytest.fixture(params=["sqlite", "redis"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """A function that lets a world keep its online values in one of the stores."""

    def keep(world: World) -> World:
        if request.param == "redis":
            monkeypatch.setenv("LEADWISE_ONLINE_URL", request.getfixturevalue("redis_server").url(5))
            world.tenant = Tenant.load("demo")
        return world

    return keep


def tamper(world: World, view: str, lead: str, feature: str, value: object) -> None:
    """Have a stock client write another value of one feature, at the time of the row that stands."""
    import pandas as pd

    row = world.lake.read(f"features.{view}").to_pandas().sort_values("as_of").groupby("lead_id").tail(1)
    newest = (row[row.lead_id == lead] if lead in set(row.lead_id) else row.head(1)).assign(lead_id=lead)
    frame = newest.drop(columns=["_sql_hash", "_loaded_at"]).assign(**{feature: value})
    frame["as_of"] = pd.to_datetime(frame["as_of"], utc=True) + pd.Timedelta(seconds=1)
    with quiet():
        open_store(world.tenant).write_to_online_store(view, frame)


def test_what_was_written_is_equal(world: World, kept: Kept) -> None:
    plant(kept(world))
    for interval in (days(0, 3), days(3, 6)):
        features(world.tenant, interval)
        found = parity(world.tenant, world.definitions)
        assert (found.checked, found.differing, found.share) == (3, 0, 0.0)
    assert {view["online_entities"] for view in feature_status(world.tenant).values()} == {3}


def test_a_tampered_value_is_named(world: World, kept: Kept) -> None:
    plant(kept(world))
    features(world.tenant, days(0, 6))
    tamper(world, "messages", "busy", "messages_7d", 77)
    found = parity(world.tenant, world.definitions)
    assert found.to_dict() == {"checked": 3, "differing": 1, "differing_share": 1 / 3}
    assert found.differences == [Difference("messages", "messages_7d", "busy", 77, 4)]


def test_a_tampered_time_is_named_through_what_is_derived_from_it(world: World) -> None:
    plant(world)
    features(world.tenant, days(0, 6))
    tamper(world, "messages", "busy", "last_message_at", at(2))
    found = parity(world.tenant, world.definitions)
    assert [(one.view, one.feature, one.entity) for one in found.differences] == [
        ("moment_lead_id", "days_since_message", "busy")
    ]


def test_an_entity_that_is_only_online_is_found_whatever_the_sample(world: World, kept: Kept) -> None:
    plant(kept(world))
    features(world.tenant, days(0, 6))
    tamper(world, "messages", "ghost", "messages_7d", 1)
    found = parity(world.tenant, world.definitions, sample=1)
    assert (found.checked, found.differing) == (2, 1)
    assert found.differences == [Difference("messages", "*", "ghost", "a row", None)]


def test_an_emptied_store_is_found_and_filled_again(world: World, kept: Kept) -> None:
    plant(kept(world))
    features(world.tenant, days(0, 5))
    store = open_store(world.tenant)
    with quiet():
        if world.tenant.settings.online_url:
            store._get_provider().online_store._get_client(store.config.online_store).flushdb()
        else:
            (world.tenant.feast_dir / "online.db").write_bytes(b"")
            store.apply(store.list_feature_views())
    assert parity(world.tenant, world.definitions).share == 1.0
    features(world.tenant, days(5, 6))
    assert parity(world.tenant, world.definitions).share == 0.0


def test_days_computed_again_by_a_run_that_was_cut_off_reach_the_store(
    world: World, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(kept(world))
    features(world.tenant, days(0, 3))
    world.plant("leads", {"lead_id": "silent", "carrier": "AT&T", "received_at": at(1, 1)}, batch="second")
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.features.materialize.materialize", _cut_off)
        with pytest.raises(KeyboardInterrupt):
            features(world.tenant, days(0, 3))
    assert parity(world.tenant, world.definitions).differing == 1
    features(world.tenant, days(3, 4))  # the next day, not the one that was cut off
    assert parity(world.tenant, world.definitions).differing == 0


def test_an_old_window_changes_nothing_online(world: World, kept: Kept) -> None:
    plant(kept(world))
    features(world.tenant, days(0, 6))
    written, notes = materialize(world.tenant, days(0, 2), world.definitions)
    assert set(written.values()) == {3}
    assert any("stays newer" in note for note in notes)
    assert world.tenant.online_mark.read_text() == days(0, 6).end.isoformat()
    assert parity(world.tenant, world.definitions).share == 0.0


def test_the_command_prints_and_ends_with_what_it_found(world: World) -> None:
    plant(world)
    with pytest.raises(NotReady, match="leadwise features"):
        parity(world.tenant, world.definitions)
    features(world.tenant, days(0, 6))
    done = CliRunner().invoke(app, ["parity", "--json"])
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"checked": 3, "differing": 0, "differing_share": 0.0})
    tamper(world, "messages", "busy", "messages_7d", 77)
    done = CliRunner().invoke(app, ["parity", "--sample", "10"])
    assert done.exit_code == 1
    assert all(word in done.stdout for word in ("messages", "messages_7d", "busy", "77", "1 differ"))


def _cut_off(*_: object) -> None:
    raise KeyboardInterrupt
