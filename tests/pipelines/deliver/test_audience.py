"""Nobody who opted out or never agreed is in an audience, and its files are whole or not there."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
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

from expectations.contract import Column, Contract, load_contracts, load_output
from pipelines.core.errors import BatchRejected, ConfigError
from pipelines.core.interval import Interval
from pipelines.core.settings import ROOT
from pipelines.core.tenant import Tenant
from pipelines.deliver.audience import write_audience
from pipelines.deliver.suppression import RULES
from pipelines.deliver.table import score_rows, write_scores
from pipelines.lake import identities
from pipelines.lake.catalog import Lake
from pipelines.lake.identities import Identities
from tests.conftest import MakeTenant

DAY = Interval.day(date(2026, 1, 10))
NOBODY = dict.fromkeys(["suppressed", *RULES], 0)
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


def known(lake: Lake, names: Iterable[str]) -> None:
    """Phones of leads."""
    rows = [{"lead_id": name, "phone": f"+5255{place:08d}"} for place, name in enumerate(names)]
    lake.write(
        identities.TABLE, identities.SCHEMA, [pa.Table.from_pylist(rows, identities.SCHEMA)], replace=AlwaysTrue()
    )


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
    known(Lake(tenant), ALL)

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
        **NOBODY,
        "audience": len(agreed - stopped),
        "suppressed": len(ALL) - len(agreed - stopped),
        "opted_out": len(stopped),
        "no_consent": len(ALL) - len(agreed),
    }
    left = pq.read_table(tenant.audience_dir / DAY.label / "suppressed.parquet").to_pylist()
    assert {row["lead_id"]: row["suppressed_why"] for row in left} == {
        name: ", ".join(["opted_out"] * (name in stopped) + ["no_consent"] * (name not in agreed))
        for name in ALL
        if name not in agreed - stopped
    }


def test_nothing_is_suppressed_where_the_use_case_declares_nothing(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    put_scores(tenant, {"x": 0.1, "y": 0.9})

    table, counts = audience(tenant, SILENT, entity="thing_id")

    assert table["thing_id"].to_pylist() == ["y", "x"]
    assert counts == {**NOBODY, "audience": 2}


def test_rank_segments_and_columns(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    fill(Lake(tenant), LEADS, [lead("a"), lead("b", state="NLE"), lead("c")])
    put_scores(tenant, {"a": 0.2, "b": 0.7, "c": 0.2})
    known(Lake(tenant), "abc")

    table, _ = audience(tenant, LEADS)

    own = ["score_id", "lead_id", "target", "probability", "probability_low", "probability_high"]
    own += ["tier", "rank", "as_of", "model_version"]
    own += ["suppressed", "suppressed_why"]
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
    known(Lake(tenant), "ab")
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

    folder = tenant.audience_dir / DAY.label
    files = [folder / "audience.csv", folder / "audience.parquet"]
    assert "phone" not in pq.read_schema(folder / "suppressed.parquet").names
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
    known(Lake(tenant), "a")
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


def test_the_manifest_says_what_the_files_hold_and_comes_last(
    make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = make_tenant()
    fill(Lake(tenant), LEADS, [lead("a"), lead("b", consent=False)])
    put_scores(tenant, {"a": 0.5, "b": 0.6})
    known(Lake(tenant), "ab")
    audience(tenant, LEADS)
    folder = tenant.audience_dir / DAY.label
    told = json.loads((folder / "manifest.json").read_text())

    assert told["counts"] == {"audience": 1, "suppressed": 1}
    assert {rule: rows for rule, rows in told["suppressed_by"].items() if rows} == {"no_consent": 1}
    assert (told["date"], told["as_of"], told["sending"]) == (
        "2026-01-10",
        "2026-01-11T00:00:00",
        "2026-01-11T17:00:00",
    )
    for name, about in told["files"].items():
        content = (folder / name).read_bytes()
        assert about == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert set(told["files"]) | {"manifest.json"} == {path.name for path in folder.iterdir()}

    whole = Path.replace

    def stop(self: Path, target: Path) -> Path:
        if Path(target).name == "suppressed.csv":
            raise KeyboardInterrupt
        return whole(self, target)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        audience(tenant, LEADS)
    assert not (folder / "manifest.json").exists()  # half a day is no day


PROMISED = contract(
    "audience",
    Column("score_id", "string", key=True, required=True),
    Column("lead_id", "string", required=True),
    Column("probability", "number", minimum=0, maximum=0.8),
    Column("churn", "number"),
)


def test_what_is_promised_is_what_is_written(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    fill(Lake(tenant), LEADS, [lead("a"), lead("b", consent=False)])
    put_scores(tenant, {"a": 0.5, "b": 0.6})
    known(Lake(tenant), "ab")

    table, _ = audience(tenant, LEADS, output=PROMISED)

    assert table.schema.names == ["score_id", "lead_id", "probability", "churn"]  # a target without a champion yet
    assert table["churn"].null_count == 1
    assert json.loads((tenant.audience_dir / DAY.label / "manifest.json").read_text())["schema_version"] == "1"


def test_an_audience_that_breaks_its_promise_is_not_published(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    fill(Lake(tenant), LEADS, [lead("a"), lead("b", consent=False), lead("c")])
    put_scores(tenant, {"a": 0.5, "b": 0.9, "c": 0.95})
    known(Lake(tenant), "abc")

    with pytest.raises(BatchRejected, match=r"2 of 3 rows break range of probability; nothing of it was published"):
        audience(tenant, LEADS, output=PROMISED)
    assert not list((tenant.audience_dir / DAY.label).iterdir())

    asks = replace(PROMISED, columns=(*PROMISED.columns, Column("best_hour", "integer", required=True)))
    with pytest.raises(ConfigError, match="requires the column 'best_hour', which this audience does not have"):
        audience(tenant, LEADS, output=asks)


@pytest.mark.parametrize("use_case", ["sms", "bank_marketing"])
def test_contracts_of_audiences_are_none_of_what_is_collected(use_case: str) -> None:
    folder = ROOT / "expectations" / use_case
    output = load_output(folder)
    assert output is not None
    assert "audience" not in load_contracts(folder)
    assert {"score_id", "probability", "suppressed", "suppressed_why"} <= set(output.source_columns)
