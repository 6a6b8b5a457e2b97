"""What was said against what came: the newest score of each event, by tier, version and segment."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from pipelines.core.report import Report
from pipelines.watch.outcomes import TABLE, WINDOW, settled, turned_out, versions
from tests.conftest import MakeTenant
from tests.pipelines.promotion.world import BEGIN, TARGET, World, guests, opposite
from tests.pipelines.train.test_train import make

DAYS, A_DAY = 10, 80


@pytest.fixture
def world(make_tenant: MakeTenant) -> World:
    return World(make(make_tenant))


def look(world: World, days: int = DAYS + 6) -> Report:
    interval = world.until(days)
    report = Report("monitor", world.tenant.name, interval)
    turned_out(world.tenant, interval, world.lake, world.contracts, world.definitions, [TARGET], report)
    return report


def rows(world: World, **wanted: Any) -> list[dict[str, Any]]:
    found = world.lake.read(TABLE).to_pylist() if world.lake.exists(TABLE) else []
    return [row for row in found if all(row[name] == value for name, value in wanted.items())]


def test_before_anything_is_settled_it_says_so(world: World) -> None:
    world.said(1, "1", guests())
    assert look(world, 1).notes == ["'conversion': no outcome of a score is settled yet"]
    assert rows(world) == []


def test_what_came_of_what_was_said(world: World) -> None:
    chances = guests()
    world.said(DAYS, "2", chances)
    came = world.came(DAYS, A_DAY, chances)

    [note] = look(world).notes

    assert "as was said" in note
    [expected] = rows(world, by="all", measure="expected")
    [observed] = rows(world, by="all", measure="observed")
    [gap] = rows(world, by="all", measure="gap")
    assert expected["rows"] == observed["rows"] == len(came)
    assert observed["number"] == pytest.approx(np.mean([row["returned"] for row in came]))
    assert expected["number"] == pytest.approx(np.mean([chances[str(row["guest_id"])] for row in came]))
    assert gap["number"] == pytest.approx(observed["number"] - expected["number"])
    assert gap["low"] <= 0 <= gap["high"]
    assert expected["until"] - expected["since"] == WINDOW
    assert {row["measure"] for row in rows(world, by="version", value="2")} == {
        "expected",
        "observed",
        "gap",
        "logloss",
        "auc",
        "ece",
    }
    [tier] = rows(world, by="tier", measure="observed")
    assert (tier["value"], tier["rows"]) == ("A", len(came))


def test_promises_that_were_too_large_are_told(world: World) -> None:
    chances = guests()
    world.said(DAYS, "2", {guest: min(0.99, chance + 0.2) for guest, chance in chances.items()})
    world.came(DAYS, A_DAY, chances)
    assert "less than was said" in look(world).notes[0]
    [gap] = rows(world, by="all", measure="gap")
    assert gap["high"] < 0


def test_a_second_run_writes_the_same_and_another_date_stands_beside(world: World) -> None:
    chances = guests()
    world.said(DAYS, "2", chances)
    world.came(DAYS, A_DAY, chances)
    for days in (DAYS + 6, DAYS + 6, DAYS + 7):
        look(world, days)
    told = [(row["date"], row["by"], row["value"], row["measure"]) for row in rows(world)]
    assert len(told) == len(set(told))
    assert len({date for date, *_ in told}) == 2


def test_an_event_counts_for_the_newest_score_whichever_version_gave_it(world: World) -> None:
    """A version that was taken back spoke first; the one put back has the lower number and the last word."""
    chances = guests()
    world.said(3, "2", opposite(chances))
    early = world.lake.read("deliver.scores").num_rows
    world.came(DAYS, A_DAY, chances)
    later = {guest: chance for guest, chance in chances.items() if int(guest[1:]) < 30}
    for day in range(3, DAYS):
        _say(world, day, "1", later)
    assert world.lake.read("deliver.scores").num_rows == early + (DAYS - 3) * len(later)

    interval = world.until(DAYS + 6)
    assert versions(world.tenant, world.lake, TARGET, BEGIN) == ["1", "2"]
    found = settled(
        world.tenant, interval, world.lake, world.contracts, world.definitions, TARGET
    ).rows.rows.to_pylist()

    assert found
    for row in found:
        day = (row["event_time"] - BEGIN).days
        known = day >= 3 and row["entity_id"] in later
        assert row["version"] == ("1" if known else "2")
        assert row["scored"] == BEGIN + timedelta(days=day if known else min(day, 2))
        expected = chances if known else opposite(chances)
        assert row["predicted"] == expected[row["entity_id"]]


def _say(world: World, day: int, version: str, chances: dict[str, float]) -> None:
    """What a version says on one day after `BEGIN`."""
    import pyarrow as pa

    from pipelines.core.interval import Interval
    from pipelines.deliver.table import score_rows, write_scores

    as_of = BEGIN + timedelta(days=day)
    interval = Interval.day((as_of - timedelta(days=1)).date())
    columns = {
        "as_of": as_of,
        "model_version": version,
        "_loaded_at": as_of,
        "tier": "B",
        "model_name": "demo.conversion",
        "feature_service": TARGET,
        "run_id": "r",
        "probability": pa.array(list(chances.values()), pa.float64()),
    }
    scored = score_rows(world.tenant, interval, TARGET, pa.array(list(chances)), columns)
    write_scores(world.lake, TARGET, interval.label, [scored])
