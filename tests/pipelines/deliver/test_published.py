"""The audience in a table of another database: whole dates, and nothing where it breaks off."""

import sqlite3
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from pipelines.core.audience_params import TableParams
from pipelines.core.errors import ConfigError, LeadwiseError, StoreUnreachable
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.deliver import published
from pipelines.deliver.published import publish
from tests.conftest import MakeTenant
from tests.servers import Started

DAY, NEXT = Interval.day(date(2026, 1, 10)), Interval.day(date(2026, 1, 11))
WHERE = TableParams(connection="crm")


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant()


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "crm.db"
    monkeypatch.setenv("LEADWISE_CONN_CRM", f"sqlite:///{path}")
    return path


def written(folder: Path, name: str, probabilities: dict[str, float]) -> Path:
    rows = pa.table(
        {
            "lead_id": list(probabilities),
            "probability": list(probabilities.values()),
            "suppressed": [False] * len(probabilities),
            "phone": ["+525512345678"] * len(probabilities),
        }
    )
    pq.write_table(rows, folder / name)
    return folder / name


def held(path: Path) -> list[Any]:
    with sqlite3.connect(path) as session:
        return session.execute(
            "SELECT tenant, date, lead_id, probability FROM leadwise_audience ORDER BY 2, 3"
        ).fetchall()


def test_a_date_takes_the_place_of_itself(tenant: Tenant, crm: Path, tmp_path: Path) -> None:
    first, others = written(tmp_path, "a", {"x": 0.1, "y": 0.2}), written(tmp_path, "b", {"z": 0.3})
    for interval in (DAY, NEXT, DAY):
        assert publish(tenant, interval, WHERE, [first, others]) == 3
    assert publish(tenant, NEXT, WHERE, [written(tmp_path, "c", {"y": 0.9})]) == 1

    assert held(crm) == [
        ("demo", "2026-01-10", "x", 0.1),
        ("demo", "2026-01-10", "y", 0.2),
        ("demo", "2026-01-10", "z", 0.3),
        ("demo", "2026-01-11", "y", 0.9),
    ]
    assert b"5512345678" not in crm.read_bytes()


def test_rows_of_another_tenant_stay(tenant: Tenant, crm: Path, tmp_path: Path) -> None:
    publish(tenant, DAY, WHERE, [written(tmp_path, "a", {"x": 0.1})])
    with sqlite3.connect(crm) as session:
        session.execute("UPDATE leadwise_audience SET tenant = 'bank'")
    publish(tenant, DAY, WHERE, [written(tmp_path, "a", {"y": 0.1})])
    assert [row[0] for row in held(crm)] == ["demo", "bank"] or [row[0] for row in held(crm)] == ["bank", "demo"]


def test_what_breaks_off_leaves_the_table_as_it_was(
    tenant: Tenant, crm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tenant, DAY, WHERE, [written(tmp_path, "a", {"x": 0.1})])
    before = held(crm)
    many = written(tmp_path, "b", {f"l{number}": 0.5 for number in range(12_000)})
    whole = published._parts

    def broken(*words: Any) -> Any:
        for number, part in enumerate(whole(*words)):
            if number:
                raise OSError("gone")
            yield part

    monkeypatch.setattr(published, "_parts", broken)
    with pytest.raises(StoreUnreachable, match="its table 'leadwise_audience' is as it was"):
        publish(tenant, DAY, WHERE, [many])
    assert held(crm) == before


def test_what_can_not_be_published_is_one_sentence(
    tenant: Tenant, crm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, "a", {"x": 0.1})
    with sqlite3.connect(crm) as session:
        session.execute("CREATE TABLE leadwise_audience (tenant TEXT, date DATE, lead_id TEXT)")
    with pytest.raises(LeadwiseError, match="refuses the rows of the audience for table 'leadwise_audience'"):
        publish(tenant, DAY, WHERE, [file])
    with pytest.raises(ConfigError, match="there is no connection 'dwh'"):
        publish(tenant, DAY, TableParams(connection="dwh"), [file])
    monkeypatch.setenv("LEADWISE_CONN_DWH", "postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(StoreUnreachable, match="does not answer") as told:
        publish(tenant, DAY, TableParams(connection="dwh"), [file])
    assert "secret" not in str(told.value)


@pytest.mark.slow
def test_postgresql(servers: Started, tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = servers.told["catalog_url"]
    monkeypatch.setenv("LEADWISE_CONN_CRM", url)
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as session:
        session.execute(sa.text("CREATE SCHEMA IF NOT EXISTS marketing"))
    where = TableParams(connection="crm", db_schema="marketing")
    many = written(tmp_path, "a", {f"l{number}": number / 12_000 for number in range(12_000)})
    for _ in range(2):
        assert publish(tenant, DAY, where, [many]) == 12_000
    with engine.connect() as session:
        found = session.execute(
            sa.text("SELECT count(*), max(probability), bool_or(suppressed) FROM marketing.leadwise_audience")
        ).one()
    engine.dispose()
    assert tuple(found) == (12_000, 11_999 / 12_000, False)
