"""Rows that come late, twice, corrected or for an old day reach features, online store and training; others stay."""

from datetime import datetime
from typing import Any

import pyarrow as pa

from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.features.arrivals import ARRIVALS
from pipelines.features.online import read_online
from pipelines.features.step import features

from .conftest import World, at, days


def message(key: str, sent: float, arrived: float | None = None, lead: str = "a", **more: Any) -> dict[str, Any]:
    """A message; times are days after the first."""
    found = {"message_id": key, "lead_id": lead, "sent_at": at(0, 24 * sent), **more}
    return found if arrived is None else {**found, "_arrived_at": at(0, 24 * arrived)}


def run(world: World, *intervals: Interval) -> list[Report]:
    return [features(world.tenant, interval) for interval in intervals]


def tables(world: World) -> dict[str, pa.Table]:
    return {view: world.stored(view) for view in world.definitions.views}


def online(world: World, moment: datetime, lead: str = "a") -> dict[str, Any]:
    found = read_online(world.tenant, "conversion", [{"lead_id": lead, "event_time": moment}])
    return {name: values[0] for name, values in found.items()}


def sent_7d(world: World, *moments: float, lead: str = "a") -> list[int]:
    return [world.as_of(lead, at(0, 24 * moment))["messages_7d"] for moment in moments]


def told(reports: list[Report]) -> list[str]:
    return [note for report in reports for note in report.notes if "computed again" in note]


def test_late_row_of_an_entity_whose_newest_row_lies_far_back(world: World) -> None:
    world.plant("leads", {"lead_id": "a"}, {"lead_id": "b"})
    world.plant("messages", message("m", 1))
    run(world, days(0, 3))
    world.plant("messages", message("late", 2, arrived=11.5, lead="b"), batch="late")
    reports = run(world, days(3, 11), days(11, 13))
    assert world.stored("messages").filter(pa.compute.field("lead_id") == "b")["as_of"].to_pylist() == [at(0), at(12)]
    assert world.as_of("b", at(11))["messages_30d"] == 0
    assert world.as_of("b", at(12))["messages_30d"] == online(world, at(13), "b")["messages_30d"] == 1
    assert told(reports) == []  # nothing computed by then has changed


def test_late_first_row_of_an_entity(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    run(world, days(0, 4))
    world.plant("leads", {"lead_id": "new", "acquired_at": at(1), "received_at": at(4, 3)}, batch="late")
    world.plant("messages", message("m", 1.5, arrived=4.1, lead="new"))
    run(world, days(4, 5))
    assert world.as_of("new", at(4, 12))["messages_7d"] is None
    assert world.as_of("new", at(5))["messages_7d"] == online(world, at(5), "new")["messages_7d"] == 1


def test_correction_moves_an_event_out_of_its_window_from_its_arrival_on(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    world.plant("messages", message("m", 5))
    run(world, days(0, 7))
    before = tables(world)
    world.plant("messages", message("m", -20, arrived=7.5), batch="corrected")
    run(world, days(7, 9))
    assert sent_7d(world, 6, 7, 7.9, 8, 8.9) == [1, 1, 1, 0, 0]
    assert world.as_of("a", at(8))["messages_30d"] == online(world, at(9))["messages_30d"] == 1
    assert online(world, at(9))["messages_7d"] == 0
    old = world.stored("messages").filter(pa.compute.field("as_of") <= at(7))
    assert old == before["messages"]


def test_correction_gives_an_event_to_another_entity(world: World) -> None:
    world.plant("leads", {"lead_id": "a"}, {"lead_id": "b"})
    world.plant("messages", message("m", 1))
    world.plant("messages", message("m", 1, arrived=3.5, lead="b"), batch="corrected")
    run(world, days(0, 5))
    assert sent_7d(world, 2, 3, 4, 5) == [1, 1, 0, 0]
    assert sent_7d(world, 2, 3, 4, 5, lead="b") == [0, 0, 1, 1]


def test_a_row_that_comes_in_several_batches_counts_once(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    world.plant("messages", message("m", 1), message("m", 1, arrived=1.2))
    world.plant("messages", message("m", 1, arrived=2.5), batch="again")
    world.plant("messages", message("m", 1), batch="once more")
    run(world, days(0, 5))
    assert sent_7d(world, 2, 3, 4, 5) == [1, 1, 1, 1]
    assert world.stored("messages").num_rows == 2


def test_a_batch_loaded_for_an_old_day_reaches_the_days_after_it(world: World) -> None:
    world.plant("leads", {"lead_id": "a"}, {"lead_id": "b"})
    world.plant("messages", message("m", 1), batch="1")
    run(world, days(0, 3), days(3, 6), days(6, 12))
    # Of the second day and of the fourth; both leave the seven days before the last instant.
    world.plant("messages", message("n", 2.2), message("o", 4.1, lead="b"), batch="2")
    [report] = run(world, days(2, 3))
    [sentence] = told([report])
    assert "messages" in sentence
    assert "from 2026-01-04 on" in sentence
    assert "up to 2026-01-13" in sentence
    assert sent_7d(world, 2, 3, 8, 9, 10, 11) == [1, 2, 1, 1, 0, 0]
    assert sent_7d(world, 4, 5, 11, 12, lead="b") == [0, 1, 1, 0]
    found = tables(world)
    values = {lead: online(world, at(12, 1), lead) for lead in "ab"}
    assert values["b"]["messages_30d"] == 1
    # The same as if all had come in time.
    run(world, days(0, 12))
    assert tables(world) == found
    assert {lead: online(world, at(12, 1), lead) for lead in "ab"} == values


def test_rows_that_a_batch_lost_are_lost_to_the_days_after_it(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    world.plant("messages", message("m", 1), message("wrong", 1.1), batch="1")
    run(world, days(0, 4))
    world.plant("messages", message("m", 1), batch="1")
    reports = run(world, days(4, 5))
    assert len(told(reports)) == 1
    assert sent_7d(world, 2, 3, 4, 5) == [1, 1, 1, 1]


def test_a_batch_written_again_as_it_was_changes_nothing(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    rows = [message(f"m{number}", number / 2, arrived=number / 2 + 1) for number in range(8)]
    world.plant("messages", *rows, batch="1")
    run(world, days(0, 6))
    found, known = tables(world), world.lake.read(ARRIVALS).drop_columns(["_loaded_at"])
    world.plant("messages", *rows, batch="1")
    world.plant("messages", *rows[:3], batch="2")  # and some of it twice
    reports = run(world, days(2, 3), days(0, 6))
    assert told(reports) == []
    assert tables(world) == found
    assert world.lake.read(ARRIVALS).drop_columns(["_loaded_at"]) == known


def test_arrival_at_the_midnight_computed_last_counts_from_it_on(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    run(world, days(0, 3))
    world.plant("messages", message("m", 1, arrived=3))
    reports = run(world, days(3, 4))
    assert len(told(reports)) == 1
    assert sent_7d(world, 2.9, 3, 4) == [0, 1, 1]


def test_days_before_the_first_computed_are_left_alone(world: World) -> None:
    world.plant("leads", {"lead_id": "a", "acquired_at": at(-60), "received_at": at(-60)})
    run(world, days(5, 7))
    world.plant("messages", message("m", 1))
    run(world, days(7, 8))
    assert world.stored("messages")["as_of"].to_pylist() == [at(5), at(8)]
    assert sent_7d(world, 5, 7) == [1, 1]


def test_killed_before_it_is_remembered_a_run_computes_again(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    run(world, days(0, 4))
    world.plant("messages", message("m", 1), batch="late")
    world.compute(days(0, 2))  # as far as a killed run came: it wrote rows and remembered nothing
    [report] = run(world, days(4, 5))
    assert len(told([report])) == 1
    found = tables(world)
    run(world, days(0, 5))
    assert tables(world) == found
    assert sent_7d(world, 2, 3, 4, 5) == [1, 1, 1, 1]
