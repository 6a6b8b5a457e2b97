"""The shipped labels of `sms` against a second, plain way to make them: late rows, edges of the horizon, ties."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.features.queries import rows_of
from pipelines.lake.asof import AsOf
from tests.pipelines.features.conftest import World, at, world

__all__ = ["world"]

HORIZON = 3
END = 12
Row = tuple[str, datetime, float | None, datetime]

hours = st.integers(0, END * 4).map(lambda sixths: at(0, 6 * sixths))  # coarse, so that edges and ties are met
late = st.sampled_from([0, 0, 0, 6, 72, 120]).map(lambda delay: timedelta(hours=delay))
leads = st.sampled_from("abcdef")
messages = st.lists(
    st.tuples(leads, hours, st.sampled_from(["delivered", "delivered", "failed"])), min_size=4, max_size=40
)
acts = st.lists(
    st.tuples(
        leads, hours, late, st.sampled_from(["opt_out", "purchase", "purchase", "click"]), st.integers(0, 50_000)
    ),
    min_size=4,
    max_size=40,
)


def label(world: World, target: str, as_of: datetime) -> list[Row]:
    """Rows of the shipped SQL, sorted."""
    query = world.definitions.label(target)
    with AsOf(world.lake, world.contracts, query.reads) as views:
        found = rows_of(views, query, as_of, {"horizon_days": HORIZON}).read_all()
    return sorted(zip(*(found[name].to_pylist() for name in found.schema.names), strict=True), key=str)


def plant(world: World, sent: list[Any], done: list[Any]) -> None:
    batch = "b"
    world.plant(
        "messages",
        *(
            {"message_id": f"m{n}", "lead_id": lead, "sent_at": when, "status": status}
            for n, (lead, when, status) in enumerate(sent)
        ),
        batch=batch,
    )
    world.plant(
        "conversions",
        *(
            {"conversion_id": f"c{n}", "message_id": f"m{n % len(sent)}", "lead_id": lead, "occurred_at": when,
             "kind": kind, "received_at": when + delay, "revenue": cents / 100 if kind == "purchase" else None}
            for n, (lead, when, delay, kind, cents) in enumerate(done)
        ),
        batch=batch,
    )  # fmt: skip


def churn(sent: list[Any], done: list[Any], as_of: datetime) -> list[Row]:
    rows: list[Row] = []
    for lead, when, status in sent:
        if status != "delivered" or when > as_of:
            continue
        left = [
            (happened, happened + delay)
            for who, happened, delay, kind, _ in done
            if (who, kind) == (lead, "opt_out") and happened + delay <= as_of
        ]
        if any(happened <= when for happened, _ in left):
            continue  # gone before
        over = when + timedelta(days=HORIZON)
        first = min((happened for happened, _ in left), default=None)
        leaves = first is not None and first <= over
        told = [arrived for happened, arrived in left if happened == first]
        rows += [(lead, when, int(leaves) if over <= as_of else None, max([over, min(told)]) if leaves else over)]
    return sorted(rows, key=str)


def conversion(sent: list[Any], done: list[Any], as_of: datetime) -> list[Row]:
    rows: list[Row] = []
    for number, (lead, when, status) in enumerate(sent):
        if status != "delivered" or when > as_of:
            continue
        over = when + timedelta(days=HORIZON)
        told = [
            happened + delay
            for n, (who, happened, delay, kind, _) in enumerate(done)
            if (n % len(sent), who) == (number, lead) and kind in ("click", "purchase")
            and when < happened <= over and happened + delay <= as_of
        ]  # fmt: skip
        known = max(over, min(told)) if told else over
        rows.append((lead, when, int(bool(told)) if over <= as_of else None, known))
    return sorted(rows, key=str)


def quality(sent: list[Any], done: list[Any], as_of: datetime) -> list[Row]:
    rows: list[Row] = []
    for lead, when, status in sent:
        if status != "delivered" or when > as_of:
            continue
        over = when + timedelta(days=HORIZON)
        bought = [
            (cents, happened + delay)
            for who, happened, delay, kind, cents in done
            if (who, kind) == (lead, "purchase") and when < happened <= over and happened + delay <= as_of
        ]
        value = sum(cents for cents, _ in bought) / 100
        rows.append((lead, when, value if over <= as_of else None, max([over, *(arrived for _, arrived in bought)])))
    return sorted(rows, key=str)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages, acts, st.integers(1, END + 4))
def test_labels_agree_with_plain_python(world: World, sent: list[Any], done: list[Any], day: int) -> None:
    plant(world, sent, done)
    for target, oracle in (("conversion", conversion), ("churn", churn), ("quality", quality)):
        assert label(world, target, at(day)) == oracle(sent, done, at(day)), target


@pytest.mark.parametrize(("hours_after", "churns"), [(0, None), (1, 1), (24 * HORIZON, 1), (24 * HORIZON + 1, 0)])
def test_an_opt_out_counts_up_to_the_end_of_the_horizon_and_nobody_leaves_twice(
    world: World, hours_after: float, churns: int | None
) -> None:
    plant(world, [("a", at(1), "delivered")], [("a", at(1, hours_after), timedelta(0), "opt_out", 0)])
    found = [row[2] for row in label(world, "churn", at(END))]
    assert found == ([] if churns is None else [churns])


def test_what_arrives_late_is_known_late(world: World) -> None:
    sent = [("a", at(1), "delivered"), ("b", at(1), "delivered")]
    done = [
        ("a", at(2), timedelta(days=5), "opt_out", 0),
        ("b", at(2), timedelta(hours=1), "purchase", 1_000),
        ("b", at(3), timedelta(days=4), "purchase", 50),
    ]
    plant(world, sent, done)
    over = at(1 + HORIZON)
    assert label(world, "churn", over) == [("a", at(1), 0, over), ("b", at(1), 0, over)]
    assert label(world, "churn", at(7)) == [("a", at(1), 1, at(7)), ("b", at(1), 0, over)]
    assert label(world, "quality", over) == [("a", at(1), 0.0, over), ("b", at(1), 10.0, over)]
    assert label(world, "quality", at(7)) == [("a", at(1), 0.0, over), ("b", at(1), 10.5, at(7))]
