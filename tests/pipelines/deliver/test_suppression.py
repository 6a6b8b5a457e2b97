"""Every rule leaves out whom it should, and nobody else; lists of people who are never written to."""

import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations.contract import Column
from pipelines.core.audience_params import AudienceParams, QuietHours
from pipelines.core.errors import ConfigError, SourceError
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from tests.conftest import MakeTenant
from tests.pipelines.deliver.test_audience import DAY, PHONE, audience, contract, fill, known, put_scores

LEADS = contract(
    "leads",
    PHONE,
    Column("line_type", "string", unreachable="landline"),
    Column("timezone", "string", timezone=True),
    Column("seen_at", "timestamp", event_time=True),
)
MESSAGES = contract(
    "messages",
    Column("message_id", "string", key=True),
    Column("phone", "string", personal=True, entity="lead_id", phone=True),
    Column("sent_at", "timestamp", event_time=True),
)
SENT = DAY.end + timedelta(hours=17)
"""When the audience is sent to: 11:00 in Mexico City, 9:00 in Tijuana, 18:00 in Madrid, 2:00 in Tokyo."""


def lead(name: str, zone: str | None = "America/Mexico_City", line: str = "mobile") -> dict[str, Any]:
    return {"lead_id": name, "line_type": line, "timezone": zone, "seen_at": DAY.start}


def why(tenant: Tenant) -> dict[str, str]:
    rows = pq.read_table(tenant.audience_dir / DAY.label / "suppressed.parquet").to_pylist()
    return {row["lead_id"]: row["suppressed_why"] for row in rows}


def market(tenant: Tenant, *leads: dict[str, Any], phones: str | None = None) -> None:
    names = [one["lead_id"] for one in leads]
    fill(Lake(tenant), LEADS, list(leads))
    put_scores(tenant, dict.fromkeys(names, 0.5))
    known(Lake(tenant), phones if phones is not None else names)


def test_landlines_and_leads_without_a_phone(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    market(tenant, lead("a"), lead("b", line="landline"), lead("c"), phones="ab")

    table, counts = audience(tenant, LEADS)

    assert table["lead_id"].to_pylist() == ["a"]
    assert why(tenant) == {"b": "unreachable", "c": "invalid"}
    assert (counts["unreachable"], counts["invalid"], counts["suppressed"]) == (1, 1, 2)


def test_quiet_hours_are_those_of_the_lead(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    zones = {
        "mexico": "America/Mexico_City",
        "tijuana": "America/Tijuana",  # 9:00, the first hour that is not quiet
        "madrid": "Europe/Madrid",
        "tokyo": "Asia/Tokyo",
        "nowhere": "Mars/Olympus",
        "unknown": None,
    }
    market(tenant, *(lead(name, zone) for name, zone in zones.items()))

    table, counts = audience(tenant, LEADS)

    assert set(table["lead_id"].to_pylist()) == {"mexico", "tijuana", "madrid"}
    assert set(why(tenant).values()) == {"quiet_hours"}
    assert counts["quiet_hours"] == 3

    never = {"audience": {"quiet_hours": {"start": 0, "end": 0}}}
    table, _ = audience(make_tenant(params=never), LEADS)
    assert len(table) == len(zones)


@given(st.integers(0, 23), st.integers(0, 23))
def test_quiet_hours_go_round_the_clock(start: int, end: int) -> None:
    quiet = QuietHours(start=start, end=end)
    expected, hour = set(), start
    while hour != end:
        expected.add(hour)
        hour = (hour + 1) % 24
    assert {hour for hour in range(24) if quiet.holds(hour)} == expected


def test_who_got_enough_messages_this_week_waits(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    market(tenant, lead("few"), lead("many"), lead("long ago"), lead("none"))
    week = timedelta(days=7)
    sent = {
        "few": [SENT - timedelta(days=2), SENT - timedelta(days=3), SENT - week],
        "many": [SENT - timedelta(days=2), SENT - timedelta(days=3), SENT - week + timedelta(minutes=1)],
        "long ago": [SENT - week - timedelta(days=day) for day in range(5)],
    }
    rows = [
        {"message_id": f"{name}{number}", "lead_id": name, "sent_at": moment}
        for name, moments in sent.items()
        for number, moment in enumerate(moments)
    ]
    fill(Lake(tenant), MESSAGES, rows)

    table, counts = audience(tenant, LEADS, replace(MESSAGES, message=True))

    assert set(table["lead_id"].to_pylist()) == {"few", "long ago", "none"}
    assert why(tenant) == {"many": "too_many_messages"}
    assert counts["too_many_messages"] == 1


def test_several_reasons_stand_in_one_order(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    market(tenant, lead("a", "Asia/Tokyo", "landline"), phones="")
    table, counts = audience(tenant, LEADS)
    assert len(table) == 0
    assert why(tenant) == {"a": "unreachable, invalid, quiet_hours"}
    assert counts["suppressed"] == 1


LISTS = {
    "ids.csv": "lead_id\nc\nnobody\n",
    "phones.csv": "phone;since\n+52 55 0000 0000;2020\n5500000001;2021\nnone;\n;\n",
    "nobody.csv": "phone\n",
    "dialled.csv": "phone\n044 55 0000 0000\n(55) 0000-0002\n123\n",
}


@pytest.mark.parametrize(
    ("name", "out"),
    [
        ("ids.csv", {"c"}),
        ("phones.csv", {"a", "b"}),
        ("nobody.csv", set()),
        ("dialled.csv", {"a", "c"}),
        ("numbers.parquet", {"d"}),
        ("both.parquet", {"b", "c"}),
    ],
)
def test_a_list_blocks_by_id_and_by_phone_however_it_is_written(
    make_tenant: MakeTenant, tmp_path: Path, name: str, out: set[str]
) -> None:
    if name in LISTS:
        (tmp_path / name).write_text(LISTS[name])
    else:
        both = {"lead_id": ["c", None], "phone": [None, "+525500000001"]}
        numbers = {"phone": [5500000003.0, None]}  # as a spreadsheet makes them
        pq.write_table(pa.table(both if name == "both.parquet" else numbers), tmp_path / name)
    tenant = make_tenant(params={"audience": {"do_not_contact": [{"path": str(tmp_path / name)}]}})
    market(tenant, lead("a"), lead("b"), lead("c"), lead("d"))

    table, counts = audience(tenant, LEADS)

    assert set(table["lead_id"].to_pylist()) == {*"abcd"} - out
    assert why(tenant) == dict.fromkeys(out, "do_not_contact")
    assert counts["do_not_contact"] == len(out)


def test_a_list_in_a_database(make_tenant: MakeTenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(tmp_path / "crm.db") as crm:
        crm.execute("CREATE TABLE blocked (tel TEXT)")
        crm.execute("INSERT INTO blocked VALUES ('+525500000001')")
    monkeypatch.setenv("LEADWISE_CONN_CRM", f"sqlite:///{tmp_path / 'crm.db'}")
    source = {"connection": "crm", "query": "select tel as phone from blocked"}
    tenant = make_tenant(params={"audience": {"do_not_contact": [source]}})
    market(tenant, lead("a"), lead("b"))
    table, _ = audience(tenant, LEADS)
    assert table["lead_id"].to_pylist() == ["a"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "is not there: put it there, or correct its path in params.yaml; without it nobody is written to"),
        ("", "is empty"),
        ("tel\n5500000001\n", "has the columns tel: it needs 'phone' or 'lead_id'"),
    ],
)
def test_a_list_that_can_not_be_read_stops_everything(
    make_tenant: MakeTenant, tmp_path: Path, text: str | None, sentence: str
) -> None:
    if text is not None:
        (tmp_path / "list.csv").write_text(text)
    tenant = make_tenant(params={"audience": {"do_not_contact": [{"path": str(tmp_path / "list.csv")}]}})
    market(tenant, lead("a"))
    with pytest.raises(SourceError, match=sentence):
        audience(tenant, LEADS)
    assert not list((tenant.audience_dir / DAY.label).glob("*")) if tenant.audience_dir.exists() else True


@pytest.mark.parametrize(
    "source",
    [
        {"path": "s3://bucket/list.csv", "connection": "store"},
        {"path": "lists/{date}.csv"},
        {"path": "x", "grows": True},
    ],
)
def test_lists_are_whole(make_tenant: MakeTenant, source: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="one file of this machine, or one query"):
        make_tenant(params={"audience": {"do_not_contact": [source]}})


@pytest.mark.parametrize(
    ("at", "sending"),
    [("17:00", datetime(2026, 1, 11, 17)), ("00:00", datetime(2026, 1, 11)), ("05:30", datetime(2026, 1, 11, 5, 30))],
)
def test_messages_go_out_after_everything_is_known(at: str, sending: datetime) -> None:
    params = AudienceParams.model_validate(
        {"max_messages_per_week": 3, "quiet_hours": {"start": 21, "end": 9}, "send_at": at, "reasons": 0}
    )
    assert params.sending(DAY.end) == sending
