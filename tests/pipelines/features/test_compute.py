"""Feature rows know what had arrived by their instant, and nothing else."""

from datetime import datetime, timedelta

import pytest

from pipelines.core.errors import SqlError
from pipelines.core.interval import Interval

from .conftest import World, at, days

WINDOWS = ("_7d", "_30d", "_90d")


def test_rows_are_stored_only_when_something_changed(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    world.plant("messages", {"message_id": "m", "lead_id": "a", "sent_at": at(2, 10)})
    for interval in (days(0, 4), days(9, 11), days(32, 34), days(92, 94)):
        world.compute(interval)
    rows = world.stored("messages")
    # Known from the first instant; the message enters at day 3 and leaves the windows 7, 30 and 90 days later.
    assert rows["as_of"].to_pylist() == [at(0), at(3), at(10), at(33), at(93)]
    assert rows["messages_7d"].to_pylist() == [0, 1, 0, 0, 0]
    assert rows["messages_90d"].to_pylist() == [0, 1, 1, 1, 0]


def test_window_holds_its_end_and_not_its_start(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    world.plant("messages", {"message_id": "m", "lead_id": "a", "sent_at": at(2)})
    world.compute(days(0, 12))
    assert world.as_of("a", at(2))["messages_7d"] == 1
    assert world.as_of("a", at(8, 23))["messages_7d"] == 1
    assert world.as_of("a", at(9))["messages_7d"] == 0


def test_planted_future_rows_never_reach_a_feature(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    world.plant("validations", {"validation_id": "v", "lead_id": "a", "validated_at": at(3, 5)})
    world.compute(days(0, 5))
    before = {view: world.stored(view) for view in world.definitions.views}
    world.plant("messages", {"message_id": "m", "lead_id": "a", "sent_at": at(6)}, batch="late")
    world.plant("validations", {"validation_id": "w", "lead_id": "a", "validated_at": at(5, 1)}, batch="late")
    world.plant(
        "conversions",
        # Says that it happened long ago, and arrives after the interval.
        {"conversion_id": "k", "lead_id": "a", "message_id": "m", "occurred_at": at(1), "_arrived_at": at(5, 1)},
    )
    world.compute(days(0, 5))
    assert {view: world.stored(view) for view in world.definitions.views} == before


def test_late_row_counts_from_its_arrival_on(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    world.plant("messages", {"message_id": "m", "lead_id": "a", "sent_at": at(2), "_arrived_at": at(4, 6)})
    world.compute(days(0, 8))
    assert world.as_of("a", at(4, 23))["messages_7d"] == 0
    assert world.as_of("a", at(5))["messages_7d"] == 1


def test_correction_takes_the_place_of_what_it_corrects(world: World) -> None:
    world.plant("leads", {"lead_id": "a", "carrier": "Telcel"})
    world.plant("leads", {"lead_id": "a", "carrier": "AT&T", "received_at": at(3, 1)}, batch="second")
    world.compute(days(0, 6))
    assert world.as_of("a", at(3, 5))["carrier"] == "Telcel"
    assert world.as_of("a", at(4))["carrier"] == "AT&T"
    assert world.stored("lead").num_rows == 2


def test_silent_lead_has_every_window_at_zero(world: World) -> None:
    world.plant("leads", {"lead_id": "a", "acquired_at": at(-60)})
    world.plant("messages", {"message_id": "m", "lead_id": "a", "sent_at": at(1)})
    world.plant("validations", {"validation_id": "v", "lead_id": "a", "validated_at": at(1)})
    world.plant(
        "conversions",
        {"conversion_id": "k", "lead_id": "a", "message_id": "m", "occurred_at": at(1, 1), "kind": "purchase",
         "revenue": 9.5},
    )  # fmt: skip
    world.compute(days(0, 4))
    world.compute(days(101, 102))
    alive = world.as_of("a", at(3))
    silent = world.as_of("a", at(102, 3))
    windows = [name for name in silent if name.endswith(WINDOWS)]
    assert len(windows) > 15
    assert {name: silent[name] for name in windows} == dict.fromkeys(windows, 0)
    assert alive["revenue_90d"] == 9.5
    assert silent["days_since_purchase"] == pytest.approx(101 + 2 / 24)


def test_every_view_holds_a_row_of_a_lead_without_any_event(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    world.compute(days(0, 2))
    assert {view: world.stored(view).num_rows for view in world.definitions.views} == dict.fromkeys(
        world.definitions.views, 1
    )


def test_newest_validation_wins_whatever_the_order_of_rows(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    checks = [
        {"validation_id": "v1", "lead_id": "a", "validated_at": at(1, 1), "whatsapp_active": True},
        {"validation_id": "v3", "lead_id": "a", "validated_at": at(1, 3), "whatsapp_active": False,
         "apple_active": True, "google_active": True},
        {"validation_id": "v2", "lead_id": "a", "validated_at": at(1, 2), "facebook_active": True},
    ]  # fmt: skip
    world.plant("validations", *checks)
    world.compute(days(0, 3))
    found = world.as_of("a", at(2))
    active = {name for name in found if name.endswith("_active") and found[name]}
    assert active == {"apple_active", "google_active"}
    assert found["platform_count"] == 2
    assert found["days_since_validation"] == pytest.approx(21 / 24)


def test_run_twice_gives_equal_tables(world: World) -> None:
    world.plant("leads", {"lead_id": "a"}, {"lead_id": "b", "acquired_at": at(2, 7)})
    world.plant("messages", *({"message_id": f"m{n}", "lead_id": "ab"[n % 2], "sent_at": at(n, 5)} for n in range(9)))
    for interval in (days(0, 4), days(4, 7), days(7, 10)):
        world.compute(interval)
    first = {view: world.stored(view) for view in world.definitions.views}
    for interval in (days(4, 7), days(0, 4), days(7, 10)):
        world.compute(interval)
    assert {view: world.stored(view) for view in world.definitions.views} == first


def test_one_long_interval_equals_many_short_ones(world: World) -> None:
    world.plant("leads", {"lead_id": "a"}, {"lead_id": "b", "acquired_at": at(2, 7)})
    world.plant("messages", *({"message_id": f"m{n}", "lead_id": "ab"[n % 2], "sent_at": at(n, 5)} for n in range(9)))
    for start in range(10):
        world.compute(days(start, start + 1))
    short = {view: world.stored(view) for view in world.definitions.views}
    world.compute(days(0, 10))
    assert {view: world.stored(view) for view in world.definitions.views} == short


def test_a_range_of_days_is_one_commit(world: World) -> None:
    world.plant("leads", {"lead_id": "a"})
    world.compute(days(0, 5))
    table = world.lake.table("features.lead")
    assert table is not None
    assert len(table.snapshots()) == 1


def test_outcome_is_unknown_until_the_day_after_the_call(calls: World) -> None:
    day = datetime(2008, 6, 2)
    calls.plant(
        "calls",
        *({"call_id": f"C{n:06d}", "called_at": day, "subscribed": True} for n in range(10)),
        *({"call_id": f"D{n:06d}", "called_at": day + timedelta(days=1)} for n in range(10)),
    )
    calls.compute(Interval(day - timedelta(days=1), day + timedelta(days=3)))
    first, second = (calls.as_of(call, day + timedelta(days=2)) for call in ("C000000", "D000000"))
    assert (first["calls_7d"], second["calls_7d"]) == (0, 10)
    assert first["success_rate_7d"] == pytest.approx(0.1)
    assert second["success_rate_7d"] > 0.3


def test_each_call_gets_its_row_on_its_day_also_on_the_first(calls: World) -> None:
    start = datetime(2008, 5, 5)
    calls.plant("calls", *({"call_id": f"C{n:06d}", "called_at": start + timedelta(days=n % 4)} for n in range(12)))
    calls.compute(Interval(start, start + timedelta(days=5)))
    rows = calls.stored("call")
    expected = [start + timedelta(days=n % 4) for n in range(12)]
    assert rows["as_of"].to_pylist() == expected


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        (
            "select lead_id, carrier from leads, (values (1), (2)) as twice",
            r"features_lead.sql:1: .* 2 rows for lead_id 'a'",
        ),
        ("select nullif(lead_id, 'a') as lead_id, carrier from leads", r"features_lead.sql:1: .* without lead_id"),
        ("select lead_id,\n carrier::int as n\nfrom leads", r"features_lead.sql:\d: DuckDB refuses .*to INT32"),
    ],
)
def test_bad_rows_are_one_sentence_and_nothing_is_written(world: World, sql: str, says: str) -> None:
    world.plant("leads", {"lead_id": "a"})
    view = world.definitions.views["lead"]
    from feature_repo.queries import Binder
    from pipelines.features.compute import compute

    path = world.tenant.home / "features_lead.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(sql, encoding="utf-8")
    bad = Binder(world.contracts, [view.entity]).view(path, "lead")
    definitions = world.definitions
    definitions.views.clear()
    definitions.views["lead"] = bad
    with pytest.raises(SqlError, match=says):
        compute(world.tenant, days(0, 3), definitions, world.contracts, world.lake)
    assert world.lake.count("features.lead") == 0
