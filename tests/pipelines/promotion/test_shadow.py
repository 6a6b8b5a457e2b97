"""A challenger is scored beside the champion, and what came of its scores is part of the gate's evidence."""

import json

import numpy as np
import pyarrow as pa
import pytest

from pipelines.core.report import Report
from pipelines.deliver.shadow import SHADOW_TABLE, score_shadows
from pipelines.promotion.promote import promote
from pipelines.registry.champion import load_alias, load_champion
from pipelines.registry.ledger import Ledger
from pipelines.registry.status import model_status
from pipelines.registry.tracking import SHADOW, by_alias, connect
from pipelines.train.step import train
from tests.conftest import MakeTenant
from tests.gates import easy, gated
from tests.pipelines.promotion.world import BEGIN, TARGET, World, guests, opposite, promotion
from tests.pipelines.train.test_train import INTERVAL, make, visits, write

DAYS, A_DAY = 3, 150
ENDS = DAYS + 2 + 3  # the horizon, and the grace


@pytest.fixture
def world(make_tenant: MakeTenant) -> World:
    """A champion, and a challenger that passed and is in its shadow."""
    made = World(promotion(easy(make(make_tenant)), shadow_days=DAYS))
    made.champions(1)
    write(made.tenant, visits(501))
    train(made.tenant, INTERVAL)
    report = promote(made.tenant, INTERVAL)
    assert "version 2 of demo.conversion is scored in the champion's shadow" in report.notes[0]
    assert f"{DAYS} days beside champion 1 come first" in report.notes[0]
    return made


def inside(world: World) -> str | None:
    found = by_alias(connect(world.tenant), "demo.conversion", SHADOW)
    return None if found is None else str(found.version)


def test_the_first_model_needs_no_shadow_and_the_next_one_does(world: World) -> None:
    assert load_champion(world.tenant, TARGET).version == "1"
    assert inside(world) == model_status(world.tenant)[TARGET]["shadow"] == "2"
    assert [entry.version for entry in Ledger(world.tenant).entries(TARGET)] == ["1"]


def test_its_scores_are_kept_apart_and_replaced_when_scored_again(world: World) -> None:
    spine = pa.table(
        {"guest_id": [f"g{i}" for i in range(20)], "event_time": pa.array([BEGIN] * 20, pa.timestamp("us"))}
    )
    for _ in range(2):
        score_shadows(world.tenant, INTERVAL, world.lake, world.definitions, spine, report := Report("score", "demo"))
    assert report.notes == ["version 2 of demo.conversion was scored in the champion's shadow"]
    rows = world.lake.read(SHADOW_TABLE)
    assert rows["entity_id"].to_pylist() == spine["guest_id"].to_pylist()
    assert set(rows["model_version"].to_pylist()) == {"2"}
    model = load_alias(world.tenant, TARGET, SHADOW)
    assert model is not None
    assert not np.array_equal(rows["predicted"].to_numpy(), np.full(20, model.train_base_rate))
    assert not world.lake.exists("deliver.scores")


def test_a_shadow_that_cannot_be_scored_holds_up_nothing(world: World) -> None:
    file = max(world.tenant.settings.mlflow_dir.rglob("MLmodel"), key=lambda one: one.stat().st_mtime)
    file.unlink()
    spine = pa.table({"guest_id": ["g1"], "event_time": pa.array([BEGIN], pa.timestamp("us"))})
    score_shadows(world.tenant, INTERVAL, world.lake, world.definitions, spine, report := Report("score", "demo"))
    assert "'conversion': the shadow was not scored: " in report.notes[0]
    assert not world.lake.exists(SHADOW_TABLE)


def test_until_its_outcomes_are_known_it_waits_and_later_ones_with_it(world: World) -> None:
    write(world.tenant, visits(502))
    train(world.tenant, INTERVAL)
    report = promote(world.tenant, world.until(ENDS - 1))
    assert "version 2 is scored in the champion's shadow until 2026-01-29" in report.notes[0]
    assert inside(world) == "2"
    assert load_champion(world.tenant, TARGET).version == "1"


@pytest.mark.parametrize("good", [True, False])
def test_what_came_of_its_scores_decides_with_the_gate(world: World, good: bool) -> None:
    chances = guests()
    world.said(DAYS, "1", chances if not good else opposite(chances))
    world.said(DAYS, "2", chances if good else opposite(chances), shadow=True)
    world.came(DAYS, A_DAY, chances)
    shipped = gated(world.tenant, loss={"tolerance": 0.05, "gain": None}, fresh_days=2)  # of when it went in
    report = promote(shipped, world.until(ENDS))
    told = connect(world.tenant).get_model_version("demo.conversion", "2").tags
    check = json.loads(told["gate.check shadow"])
    assert check["rows"] == DAYS * A_DAY
    assert check["status"] == ("passed" if good else "failed")
    assert load_champion(world.tenant, TARGET).version == ("2" if good else "1")
    assert ("promoted" if good else "is refused") in report.notes[0]
    assert inside(world) is None
    again = promote(shipped, world.until(ENDS + 1)).notes[0]
    assert ("is the champion already" if good else "fell short in the shadow of champion 1") in again


def test_a_shadow_without_any_outcome_has_failed(world: World) -> None:
    promote(world.tenant, world.until(ENDS))
    told = json.loads(connect(world.tenant).get_model_version("demo.conversion", "2").tags["gate.check shadow"])
    assert told["status"] == "failed"
    assert load_champion(world.tenant, TARGET).version == "1"
