"""Nobody who opted out or never agreed is in an audience, and its files are whole or not there."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyiceberg.expressions import AlwaysTrue

from expectations.contract import Column, Contract
from pipelines.core.errors import ConfigError
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.deliver.audience import write_audience
from pipelines.deliver.table import score_rows, write_scores
from pipelines.lake.catalog import Lake
from pipelines.lake.identities import Identities
from tests.conftest import MakeTenant

DAY = Interval.day(date(2026, 1, 10))
SYSTEM = pa.schema(
    [
        ("_arrived_at", pa.timestamp("us")),
        ("_batch_id", pa.string()),
        ("_source_file", pa.string()),
        ("_source_row", pa.int64()),
    ]
)


def contract(name: str, *columns: Column) -> Contract:
    return Contract(name, "1", "", columns, Path(f"{name}.yaml"))


PHONE = Column("phone", "string", key=True, personal=True, entity="lead_id", phone=True)
LEADS = contract(
    "leads",
    PHONE,
    Column("consent", "boolean", consent=True),
    Column("state", "string", segment=True),
    Column("seen_at", "timestamp", event_time=True),
)
EVENTS = contract(
    "events",
    Column("event_id", "string", key=True),
    Column("phone", "string", personal=True, entity="lead_id", phone=True),
    Column("kind", "string", opt_out="stop"),
    Column("at", "timestamp", event_time=True),
)
SILENT = contract(
    "things", Column("thing", "string", key=True, entity="thing_id"), Column("at", "timestamp", event_time=True)
)


def fill(lake: Lake, table: Contract, rows: list[dict[str, Any]]) -> None:
    """Write clean rows; `arrived` is hours before the end of the day."""
    schema = pa.schema([*table.clean_schema(), *SYSTEM])
    full = [
        {
            "_arrived_at": DAY.end - timedelta(hours=row.pop("arrived", 1)),
            "_batch_id": "b",
            "_source_file": "f",
            "_source_row": number,
            **row,
        }
        for number, row in enumerate(rows)
    ]
    lake.write(f"clean.{table.name}", schema, [pa.Table.from_pylist(full, schema=schema)], replace=AlwaysTrue())


def put_scores(tenant: Tenant, scores: dict[str, float], target: str = "conversion", interval: Interval = DAY) -> None:
    columns = {
        "as_of": interval.as_of,
        "probability": pa.array(list(scores.values()), pa.float64()),
        "tier": "B",
        "model_name": "m",
        "model_version": "3",
        "feature_service": target,
        "run_id": "r",
        "_loaded_at": datetime(2026, 1, 1),
    }
    rows = score_rows(tenant, interval, target, pa.array(list(scores), pa.string()), columns)
    write_scores(Lake(tenant), target, interval.label, [rows])


def audience(
    tenant: Tenant, *contracts: Contract, entity: str = "lead_id", **options: Any
) -> tuple[pa.Table, dict[str, int]]:
    by_name = {one.name: one for one in contracts}
    counts = write_audience(tenant, DAY, by_name, Lake(tenant), entity, **options)
    return pq.read_table(tenant.audience_dir / DAY.label / "audience.parquet"), counts


def lead(name: str, consent: bool | None = True, arrived: int = 1, state: str = "JAL") -> dict[str, Any]:
    return {"lead_id": name, "consent": consent, "state": state, "seen_at": DAY.start, "arrived": arrived}


def event(number: int, name: str, kind: str, arrived: int = 1) -> dict[str, Any]:
    return {"event_id": str(number), "lead_id": name, "kind": kind, "at": DAY.start, "arrived": arrived}


ALL = "abcdefghijklmnopqrstuvwxyz"
NAMES = st.sampled_from(ALL)
LEAD_ROWS = st.lists(
    st.tuples(NAMES, st.sampled_from([True, False, None]), st.integers(-3, 9)), min_size=10, max_size=60
)
EVENT_ROWS = st.lists(st.tuples(NAMES, st.sampled_from(["stop", "go"]), st.integers(-3, 9)), max_size=25)


# Each example writes two tables: no shrinking.
@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(leads=LEAD_ROWS, events=EVENT_ROWS)
def test_only_those_who_agreed_and_never_opted_out_are_there(
    make_tenant: MakeTenant, leads: list[tuple[str, bool | None, int]], events: list[tuple[str, str, int]]
) -> None:
    tenant = make_tenant()
    fill(Lake(tenant), LEADS, [lead(name, consent, arrived) for name, consent, arrived in leads])
    fill(Lake(tenant), EVENTS, [event(n, name, kind, arrived) for n, (name, kind, arrived) in enumerate(events)])
    put_scores(tenant, dict.fromkeys(ALL, 0.5))

    table, counts = audience(tenant, LEADS, EVENTS)

    # By hand: what arrived by the end of the day, the newest version of each lead.
    newest: dict[str, tuple[int, int, bool | None]] = {}
    for number, (name, consent, arrived) in enumerate(leads):
        if arrived >= 0 and (-arrived, number) > newest.get(name, (-99, -1, None))[:2]:
            newest[name] = (-arrived, number, consent)
    agreed = {name for name, (_, _, consent) in newest.items() if consent is True}
    stopped = {name for name, kind, arrived in events if kind == "stop" and arrived >= 0}
    assert table["lead_id"].to_pylist() == sorted(agreed - stopped)
    assert counts == {
        "audience": len(agreed - stopped),
        "opted_out": len(stopped),
        "no_consent": len(ALL) - len(agreed),
    }


def test_nothing_is_suppressed_where_the_use_case_declares_nothing(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    put_scores(tenant, {"x": 0.1, "y": 0.9})

    table, counts = audience(tenant, SILENT, entity="thing_id")

    assert table["thing_id"].to_pylist() == ["y", "x"]
    assert counts == {"audience": 2, "opted_out": 0, "no_consent": 0}


def test_rank_segments_and_columns(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    fill(Lake(tenant), LEADS, [lead("a"), lead("b", state="NLE"), lead("c")])
    put_scores(tenant, {"a": 0.2, "b": 0.7, "c": 0.2})

    table, _ = audience(tenant, LEADS)

    own = ["score_id", "lead_id", "target", "probability", "tier", "rank", "as_of", "model_version"]
    assert table.schema.names == [*own, "state"]
    assert table.select(["lead_id", "rank", "state"]).to_pylist() == [
        {"lead_id": "b", "rank": 1, "state": "NLE"},
        {"lead_id": "a", "rank": 2, "state": "JAL"},
        {"lead_id": "c", "rank": 3, "state": "JAL"},
    ]
    assert "phone" not in (tenant.audience_dir / DAY.label / "audience.csv").read_text()


def test_csv_and_parquet_say_the_same_and_a_second_run_writes_the_same_bytes(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    fill(Lake(tenant), LEADS, [lead("a"), lead("b")])
    put_scores(tenant, {"a": 0.123456789012345678, "b": 0.7})
    folder = tenant.audience_dir / DAY.label

    table, _ = audience(tenant, LEADS)
    first = [(folder / name).read_bytes() for name in ("audience.csv", "audience.parquet")]
    audience(tenant, LEADS)

    assert [(folder / name).read_bytes() for name in ("audience.csv", "audience.parquet")] == first
    lines = pyarrow.csv.read_csv(folder / "audience.csv")
    assert lines["lead_id"].to_pylist() == table["lead_id"].to_pylist()
    assert lines["probability"].to_pylist() == table["probability"].to_pylist()


def test_phones_only_on_demand_and_then_for_the_owner_alone(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    identities = Identities(Lake(tenant))
    [lead_id] = identities.resolve(pa.array(["+525512345678"]), "b").to_pylist()
    identities.commit()
    fill(Lake(tenant), LEADS, [lead(lead_id)])
    put_scores(tenant, {lead_id: 0.5})

    table, _ = audience(tenant, LEADS, with_phone=True)

    files = sorted((tenant.audience_dir / DAY.label).iterdir())
    assert table["phone"].to_pylist() == ["+525512345678"]
    assert '"+525512345678"' in files[0].read_text() or "+525512345678" in files[0].read_text()
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600, 0o600]


def test_phones_are_refused_where_there_are_none(make_tenant: MakeTenant) -> None:
    with pytest.raises(ConfigError, match="keeps no phones"):
        audience(make_tenant(), SILENT, entity="thing_id", with_phone=True)


def test_an_audience_that_can_not_be_finished_leaves_the_last_one(
    make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = make_tenant()
    fill(Lake(tenant), LEADS, [lead("a")])
    put_scores(tenant, {"a": 0.5})
    audience(tenant, LEADS)
    folder = tenant.audience_dir / DAY.label
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    put_scores(tenant, {"a": 0.9})

    monkeypatch.setattr("pipelines.deliver.audience.defuse", _full_disk)
    with pytest.raises(ConfigError, match="No space left"):
        audience(tenant, LEADS)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def _full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")
