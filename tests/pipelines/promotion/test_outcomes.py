"""Which score speaks for which event, and which events are settled."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from pipelines.core.interval import Interval
from pipelines.promotion.outcomes import Outcomes, outcomes
from tests.conftest import MakeTenant
from tests.pipelines.promotion.world import BEGIN, TARGET, World, guests, promotion
from tests.pipelines.train.test_train import make

HORIZON, GRACE = timedelta(days=2), timedelta(days=3)


@pytest.fixture
def world(make_tenant: MakeTenant) -> World:
    return World(make(make_tenant))


def found(world: World, interval: Interval, version: str = "1", shadow: bool = False) -> Outcomes:
    return outcomes(
        world.tenant, world.lake, world.contracts, world.definitions, TARGET, version, interval, shadow=shadow
    )


def test_before_any_score_there_is_none(world: World) -> None:
    world.came(2, 5, guests())
    assert len(found(world, world.until(9))) == 0
    assert len(found(world, world.until(9), shadow=True)) == 0


@pytest.mark.parametrize("shadow", [False, True])
def test_of_each_settled_event_the_newest_score_before_it(world: World, shadow: bool) -> None:
    """Against every pair of event and score, looked at one by one."""
    chances = guests()
    world.said(3, "1", chances, shadow=shadow)
    rows = world.came(12, 8, chances)
    now = world.until(10)
    told = found(world, now, shadow=shadow)
    expected = []
    for row in rows:
        at = row["visited_at"]
        assert isinstance(at, datetime)
        said = [BEGIN + timedelta(days=day) for day in range(3) if BEGIN + timedelta(days=day) <= at]
        kept = said and at < said[-1] + timedelta(days=7)
        if kept and at + HORIZON + GRACE <= now.as_of:
            expected.append((at, str(row["guest_id"]), float(bool(row["returned"])), chances[str(row["guest_id"])]))
    got = zip(
        told.rows["event_time"].to_pylist(), told.rows["entity_id"].to_pylist(), told.labels, told.predicted,
        strict=True,
    )  # fmt: skip
    assert sorted(got) == sorted(expected)
    assert 0 < len(expected) < len(rows)
    assert len(found(world, now, version="2", shadow=shadow)) == 0


def test_the_grace_is_a_parameter_and_time_stands_in_order(world: World) -> None:
    chances = guests()
    world.said(4, "1", chances)
    world.came(4, 6, chances)
    none = World(promotion(world.tenant, watch={"grace_days": 0}))
    now = world.until(5)
    told = found(none, now)
    assert len(told) > len(found(world, now)) == 0
    assert (np.diff(told.blocks) >= 0).all()
    assert len(told.between(BEGIN, BEGIN + timedelta(days=1))) == 6
    assert len(set(told.clusters.tolist())) == len(set(told.rows["entity_id"].to_pylist()))


def test_beside_keeps_the_events_that_both_spoke_of(world: World) -> None:
    chances = guests()
    some = dict(list(chances.items())[:30])
    world.said(3, "1", chances)
    world.said(3, "2", {guest: 1 - chance for guest, chance in some.items()}, shadow=True)
    world.came(3, 40, chances)
    now = world.until(10)
    both, other = found(world, now, "2", shadow=True).beside(found(world, now))
    assert set(both.rows["entity_id"].to_pylist()) <= set(some)
    assert len(both) == len(found(world, now, "2", shadow=True))
    assert np.allclose(other, 1 - both.predicted)
