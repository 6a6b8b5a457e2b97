"""A fresh champion is taken back where what came of its scores is not what it said."""

import pytest

from pipelines.core.report import Report
from pipelines.registry.champion import load_champion
from pipelines.registry.history import rollback
from pipelines.registry.ledger import Ledger
from pipelines.watch.probation import probation
from tests.conftest import MakeTenant
from tests.pipelines.promotion.world import TARGET, World, guests, opposite, promotion
from tests.pipelines.registry.conftest import unpictured  # noqa: F401 - fixture
from tests.pipelines.train.test_train import make

DAYS, A_DAY = 10, 80


@pytest.fixture
def world(make_tenant: MakeTenant, unpictured: None) -> World:  # noqa: F811
    made = World(make(make_tenant))
    made.champions(2)
    return made


def look(world: World, days: int = DAYS + 6) -> Report:
    interval = world.until(days)
    report = Report("monitor", world.tenant.name, interval)
    probation(world.tenant, interval, world.lake, world.contracts, world.definitions, [TARGET], report)
    return report


def version(world: World) -> str:
    return load_champion(world.tenant, TARGET).version


def test_one_that_keeps_its_word_stays(world: World) -> None:
    chances = guests()
    world.said(DAYS, "2", chances)
    world.came(DAYS, A_DAY, chances)
    report = look(world)
    assert "'conversion': version 2 keeps its word" in report.notes[0]
    assert (version(world), report.counts) == ("2", {})
    [row] = report.details
    assert row["probation"] == "v2"


def test_one_that_says_the_opposite_is_taken_back_with_an_alert_and_a_row(world: World) -> None:
    chances = guests()
    world.said(DAYS, "2", opposite(chances))
    world.came(DAYS, A_DAY, chances)
    report = look(world)
    assert report.notes[0].startswith("ALERT: 'conversion': version 2 was taken back: ")
    assert report.counts["alerts"] == 1
    assert version(world) == "1"
    entry = Ledger(world.tenant).entries(TARGET)[-1]
    assert (entry.action, entry.version, entry.previous) == ("rollback", "1", "2")
    assert entry.by.startswith("monitor (")
    assert entry.why in report.notes[0]
    assert entry.evidence["evidence"]["outcomes"] > 0
    again = look(world)
    assert (again.notes, len(Ledger(world.tenant).entries(TARGET))) == ([], 3)  # the old one is on no probation


def test_where_there_is_nothing_to_go_back_to_it_stays_and_the_alert_says_so(world: World) -> None:
    rollback(world.tenant, TARGET, "before")
    rollback(world.tenant, TARGET, "a first one again", to="2")
    chances = guests()
    world.said(DAYS, "2", opposite(chances))
    world.came(DAYS, A_DAY, chances)
    assert look(world).notes == []  # a person put it there
    assert version(world) == "2"


def test_few_and_late_outcomes_decide_nothing(world: World) -> None:
    chances = guests()
    world.said(DAYS, "2", opposite(chances))
    world.came(1, 50, chances)
    assert "keeps its word" in look(world).notes[0]
    world.came(DAYS, A_DAY, chances)
    later = World(promotion(world.tenant, watch={"fresh_days": 1}))
    assert version(world) == "2"
    look(later)
    assert version(world) == "2"  # 80 outcomes of its first day are fewer than 200
    look(world)
    assert version(world) == "1"
