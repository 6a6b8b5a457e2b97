"""Rows that are added and never changed, numbered without a gap, whoever writes."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from pipelines.core.errors import Busy, LeadwiseError
from pipelines.core.tenant import Tenant
from pipelines.registry.ledger import Entry, Ledger, Look, entry_of

MakeTenant = Callable[..., Tenant]


def decision(known: list[Entry], version: str, target: str = "conversion", **changes: str) -> Entry:
    told = {"by": "ana", "why": "better", "digest": "d", "as_of": "2026-01-01T00:00:00"} | changes
    return entry_of(target, known, version, "promote", **told, evidence={"looks": 3, "checks": {"loss": "passed"}})


def filled(tenant: Tenant, *versions: str) -> Ledger:
    ledger = Ledger(tenant)
    for version in versions:
        ledger.append(decision(ledger.entries("conversion"), version))
    return ledger


def execute(tenant: Tenant, sql: str) -> None:
    engine = create_engine(tenant.catalog_uri)
    with engine.begin() as connection:
        connection.execute(text(sql))
    engine.dispose()


def test_reading_creates_nothing(make_tenant: MakeTenant, var) -> None:
    ledger = Ledger(make_tenant())
    assert ledger.entries("conversion") == []
    assert ledger.current("conversion") is None
    assert ledger.looks("conversion") == []
    assert not var.exists()


def test_what_is_written_is_what_is_read(make_tenant: MakeTenant) -> None:
    ledger = filled(make_tenant(), "1", "2")
    first, second = ledger.entries("conversion")
    assert (first.seq, first.version, first.previous) == (1, "1", None)
    assert (second.seq, second.version, second.previous) == (2, "2", "1")
    assert second.evidence == {"looks": 3, "checks": {"loss": "passed"}}
    assert first.at <= second.at
    assert ledger.current("conversion") == second
    assert second.to_dict()["at"] == second.at.isoformat()


def test_targets_and_tenants_are_numbered_by_themselves(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    ledger = filled(tenant, "1", "2")
    ledger.append(decision([], "7", "churn"))
    assert [entry.version for entry in ledger.entries("churn")] == ["7"]
    assert len(ledger.entries("conversion")) == 2
    assert Ledger(replace(tenant, name="other")).entries("conversion") == []


@pytest.mark.parametrize("word", ["UPDATE leadwise_ledger SET version = '9'", "DELETE FROM leadwise_ledger"])
def test_the_database_itself_refuses_changes(make_tenant: MakeTenant, word: str) -> None:
    tenant = make_tenant()
    ledger = filled(tenant, "1")
    with pytest.raises(DBAPIError, match="added, never changed or removed"):
        execute(tenant, word)
    assert [entry.version for entry in ledger.entries("conversion")] == ["1"]


@pytest.mark.local
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE leadwise_ledger SET version = '9' WHERE seq = 1",
        "UPDATE leadwise_ledger SET digest = 'x' WHERE seq = 2",
        "DELETE FROM leadwise_ledger WHERE seq = 1",
    ],
)
def test_a_row_changed_past_the_database_is_noticed(make_tenant: MakeTenant, change: str) -> None:
    tenant = make_tenant()
    ledger = filled(tenant, "1", "2", "3")
    for word in ("update", "delete"):
        execute(tenant, f"DROP TRIGGER leadwise_ledger_no_{word}")
    execute(tenant, change)
    with pytest.raises(LeadwiseError, match="of the ledger of tenant 'demo'"):
        ledger.current("conversion")


def test_a_decision_that_comes_too_late_writes_nothing(make_tenant: MakeTenant) -> None:
    ledger = filled(make_tenant(), "1")
    known = ledger.entries("conversion")
    ledger.append(decision(known, "2"))
    with pytest.raises(Busy, match="somebody else decided on 'conversion'"):
        ledger.append(decision(known, "3"))
    assert [entry.version for entry in ledger.entries("conversion")] == ["1", "2"]


def _race(tenant: Tenant, version: str, gate, told) -> None:
    ledger = Ledger(tenant)
    known = ledger.entries("conversion")
    gate.wait()
    try:
        ledger.append(decision(known, version))
        told.put(version)
    except Busy:
        told.put(None)


def test_of_many_decisions_at_once_one_wins_and_there_is_no_gap(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()
    ledger = filled(tenant, "1")
    context = multiprocessing.get_context("fork")
    for number in range(3):
        gate, told = context.Barrier(4), context.Queue()
        many = [context.Process(target=_race, args=(tenant, f"{number}{n}", gate, told)) for n in range(4)]
        for one in many:
            one.start()
        won = [told.get(timeout=60) for _ in many]
        for one in many:
            one.join(60)
        assert sum(version is not None for version in won) == 1, won
    assert [entry.seq for entry in ledger.entries("conversion")] == [1, 2, 3, 4]


def test_a_verdict_is_remembered_once(make_tenant: MakeTenant) -> None:
    ledger = Ledger(make_tenant())
    look = Look("v1", "2", "1", datetime(2026, 1, 1), datetime(2026, 2, 1), 3, passed=True)
    ledger.looked("conversion", look)
    ledger.looked("conversion", look)
    assert ledger.looks("conversion") == [look]
