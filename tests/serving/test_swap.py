"""Another champion is put to work while the endpoint is asked all the time."""

from functools import partial

import pytest

from pipelines.features.apply import apply
from pipelines.features.materialize import materialize
from pipelines.features.online import read_online
from pipelines.registry.champion import load_version
from pipelines.registry.history import rollback
from pipelines.registry.tracking import connect, version_of
from tests.conftest import MakeTenant
from tests.pipelines.promotion.world import BEGIN, TARGET, World
from tests.pipelines.registry.conftest import unpictured  # noqa: F401 - fixture
from tests.pipelines.train.test_train import INTERVAL, make
from tests.serving.live import asking, started, until

ASKED = 5


@pytest.fixture
def world(make_tenant: MakeTenant, unpictured: None) -> World:  # noqa: F811
    """Two champions, the second in force, and features online."""
    world = World(make(make_tenant))
    world.champions(2)
    apply(world.tenant, world.definitions)
    materialize(world.tenant, INTERVAL, world.definitions)
    return world


@pytest.mark.slow
def test_all_workers_follow_within_seconds_and_no_request_fails(world: World) -> None:
    client, name = connect(world.tenant), world.tenant.model_name(TARGET)
    guests = sorted({row["guest_id"] for row in world.lake.read("clean.visits").to_pylist()})[:ASKED]
    stored = read_online(world.tenant, TARGET, [{"guest_id": guest, "event_time": BEGIN} for guest in guests])
    expected = {
        version: load_version(world.tenant, TARGET, version_of(client, name, version)).predict(stored).tolist()
        for version in ("1", "2")
    }
    assert expected["1"] != expected["2"]
    context = {"event_time": BEGIN.isoformat() + "Z"}
    with started() as server, asking(server.port, [{"guest_id": one, "context": context} for one in guests]) as told:

        def served(wanted: str) -> bool:
            seen = [{one["model_version"] for one in body["scores"]} for _, body in told[-50:]]
            return len(seen) == 50 and all(one == {wanted} for one in seen)

        until(partial(served, "2"))
        for wanted in ("1", "2"):
            rollback(world.tenant, TARGET, "a test of the endpoint", to=wanted)
            until(partial(served, wanted))
    assert {status for status, _ in told} == {200}
    for _, body in told:
        [version] = {one["model_version"] for one in body["scores"]}  # never two in one answer
        assert [one["probability"] for one in body["scores"]] == pytest.approx(expected[version], abs=1e-9)
