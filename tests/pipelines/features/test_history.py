"""Views whose definition changed: their history is written anew in one commit, and nothing differs silently."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.expressions import NotEqualTo

from feature_repo.definitions import View
from feature_repo.queries import Binder
from pipelines.core.errors import NotReady
from pipelines.features.history import joined, older_rows, spans_of, standing, table_of, unfinished, whole
from pipelines.lake.catalog import Lake
from pipelines.lake.fields import columns_of
from tests.conftest import MakeTenant

from .conftest import World, at, days

Redefine = Callable[[str], View]
FIRST = "select lead_id, carrier, length(state)::int as letters, 1 as extra from leads"


@pytest.fixture
def redefine(world: World, tmp_path: Path) -> Redefine:
    """Give the world one view, `lead`, by a text."""

    def bound(sql: str) -> View:
        path = tmp_path / "features_lead.sql"
        path.write_text(sql, encoding="utf-8")
        world.definitions.views.clear()
        world.definitions.views["lead"] = Binder(world.contracts, ["lead_id"]).view(path, "lead")
        return world.definitions.views["lead"]

    return bound


def plant(world: World) -> None:
    world.plant("leads", {"lead_id": "a"}, {"lead_id": "b", "acquired_at": at(1), "carrier": "Movistar"})


def commits(world: World, view: View) -> int:
    table = world.lake.table(table_of(view))
    return 0 if table is None else len(table.metadata.metadata_log)


def test_history_is_written_anew_in_one_commit(world: World, redefine: Redefine) -> None:
    plant(world)
    world.compute(days(0, 3))
    view = redefine(FIRST)
    world.compute(days(0, 3))
    old, before = world.stored("lead"), commits(world, view)
    snapshot = world.lake.snapshot_id(table_of(view))

    changed = redefine("select lead_id, upper(carrier) as carrier, length(state)::varchar as letters from leads")
    assert standing(world.lake, changed).word == "changed"
    done = world.compute(days(0, 3), rewrite=True)["lead"]

    assert (done.rows, done.differ) == (old.num_rows, 0)
    assert commits(world, changed) == before + 1
    rows = world.stored("lead")
    assert set(rows["carrier"].to_pylist()) == {"TELCEL", "MOVISTAR"}
    assert rows.schema.field("letters").type == pa.string()
    assert "extra" not in rows.schema.names
    assert set(rows["_sql_hash"].to_pylist()) == {changed.sql_hash}
    # What a run was trained on is still there, in its own columns and types.
    then = world.lake.read(table_of(view), snapshot_id=snapshot)
    assert then.sort_by([("lead_id", "ascending"), ("as_of", "ascending")]).select(old.schema.names).equals(old)


def test_a_rewrite_gives_what_a_first_run_gives(world: World, redefine: Redefine) -> None:
    plant(world)
    redefine(FIRST)
    world.compute(days(0, 2))
    world.compute(days(2, 3))
    redefine("select lead_id, carrier, $as_of > timestamp '2026-01-02' as later from leads")
    world.compute(whole([standing(world.lake, world.definitions.views["lead"])]) or days(0, 1), rewrite=True)
    anew = world.stored("lead")
    world.lake.catalog.drop_table("features.lead")
    world.compute(days(0, 3))
    assert anew.equals(world.stored("lead").select(anew.schema.names))


def test_other_definitions_beyond_the_days_are_refused(world: World, redefine: Redefine) -> None:
    plant(world)
    redefine(FIRST)
    world.compute(days(0, 3))
    before = world.stored("lead")
    redefine("select lead_id, carrier from leads")
    for interval in (days(3, 4), days(0, 2), days(1, 3)):
        with pytest.raises(NotReady, match=r"rows of view 'lead' were computed by an older.*--rewrite"):
            world.compute(interval)
    assert world.stored("lead").equals(before)
    world.compute(days(0, 3))  # all that is stored: the same as a rewrite
    assert standing(world.lake, world.definitions.views["lead"]).older == 0


def test_rows_that_are_not_what_they_were_are_counted(world: World, redefine: Redefine) -> None:
    plant(world)
    redefine(FIRST)
    assert world.compute(days(0, 3))["lead"].differ == 0
    assert world.compute(days(0, 3))["lead"].differ == 0
    assert world.compute(days(1, 3))["lead"].differ == 0
    # A batch that should have been there, with an older arrival: b was another one's from the beginning.
    world.plant(
        "leads", {"lead_id": "b", "acquired_at": at(1), "carrier": "Unefon", "_arrived_at": at(1, 1)}, batch="x"
    )
    world.plant("leads", {"lead_id": "c", "acquired_at": at(1, 1)}, batch="y")
    assert world.compute(days(3, 4))["lead"].differ == 0  # days that nobody had computed
    assert world.compute(days(0, 4))["lead"].differ == 4  # b and c: two rows are new on day 2, and theirs of day 4 go
    assert world.compute(days(0, 4))["lead"].differ == 0


def test_statistics_of_files_tell_older_rows(world: World, redefine: Redefine) -> None:
    plant(world)
    first = redefine(FIRST)
    world.compute(days(0, 2))
    other = redefine("select lead_id, carrier from leads")
    for view in (first, other):
        brute = sum(
            batch.num_rows for batch in world.lake.scan(table_of(view), where=NotEqualTo("_sql_hash", view.sql_hash))
        )
        assert older_rows(world.lake, view) == brute
    assert older_rows(world.lake, other) > 0


def test_a_new_view_has_its_history_to_be_written(world: World, redefine: Redefine) -> None:
    plant(world)
    lead = redefine(FIRST)
    world.compute(days(0, 3))
    late = View("late", *[getattr(lead, name) for name in ("entity", "sql", "sql_hash", "path", "schema", "reads")])
    world.definitions.views["late"] = late
    world.compute(days(3, 4))
    standings = [standing(world.lake, view) for view in (lead, late)]
    assert [one.word for one in standings] == ["current", "current"]
    assert [one.view.name for one in unfinished(standings)] == ["late"]
    interval = whole(standings)
    assert interval is not None
    del world.definitions.views["lead"]
    world.compute(interval, rewrite=True)
    assert [one.view.name for one in unfinished([standing(world.lake, view) for view in (lead, late)])] == []
    columns = ["lead_id", "as_of", "carrier"]
    stored = [
        world.lake.read(table_of(view), columns=columns).sort_by([("lead_id", "ascending")]) for view in (lead, late)
    ]
    assert stored[0].equals(stored[1])
    assert columns_of(world.lake.table(table_of(late)))["carrier"] == pa.string()  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), min_size=1, max_size=6))
def test_stretches_hold_exactly_what_was_computed(runs: list[tuple[int, int]]) -> None:
    start, told, instants = datetime(2026, 1, 1), "", set()
    for first, length in runs:
        some = [start + timedelta(days=first + number) for number in range(length)]
        instants |= set(some)
        told = joined(_parsed(told), some, 1)
    spans = _parsed(told)
    inside = {
        start + timedelta(days=day) for day in range(40) if any(a <= start + timedelta(days=day) <= b for a, b in spans)
    }
    assert inside == instants
    assert spans == sorted(spans)


def _parsed(told: str) -> list[tuple[datetime, datetime]]:
    class Table:
        properties = {"leadwise.computed": told}  # noqa: RUF012

    return spans_of(Table()) if told else []  # type: ignore[arg-type]


def test_other_midnights_are_told_until_the_history_is_written_for_them(
    world: World, redefine: Redefine, make_tenant: MakeTenant
) -> None:
    plant(world)
    view = redefine("select lead_id, count(*) as n, max(acquired_at) as at, $as_of as now from leads group by lead_id")
    world.compute(days(0, 6))
    assert standing(world.lake, view).grids is None
    assert set(world.stored("lead")["as_of"].to_pylist()) == {at(day) for day in range(7)}

    params = {"features": {"every_days": 3}, "tenants": {"demo": {"run": {"start": at(0).date(), "dates": []}}}}
    world.tenant = make_tenant("demo", params)
    world.lake = Lake(world.tenant)
    world.compute(days(6, 9))
    found = standing(world.lake, view)
    assert (found.grids, found.word, found.older) == (("1/0", f"3/{at(0).toordinal() % 3}"), "changed", 0)
    assert world.stored("lead")["as_of"].to_pylist().count(at(5)) == 2  # what was written stays

    world.compute(days(0, 9), rewrite=True)
    assert standing(world.lake, view).grids is None
    assert set(world.stored("lead")["as_of"].to_pylist()) == {at(day) for day in (0, 3, 6, 9)}
