"""Files of a growing folder whose rows have left raw are not read again as news."""

from copy import deepcopy
from datetime import date, timedelta

import pytest

from pipelines.collect.ingest import ingest
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.privacy.expire import expire
from pipelines.privacy.forget import forget
from pipelines.quality.validate import validate
from tests.conftest import MakeTenant
from tests.pipelines.quality.conftest import make_visiting
from tests.pipelines.quality.market import PARAMS, visit, write_csv

DAY = date(2026, 3, 1)
ANA, EVA = "+525512345001", "+525512345002"


@pytest.fixture
def tenant(make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    """Two files, one of each lead, of the first of March."""
    params = deepcopy(PARAMS)
    source = {"path": "{home}/in/visits/*.csv", "grows": True, "settle_seconds": 0}
    params["tenants"]["demo"]["sources"]["visits"] = source
    made = make_visiting(make_tenant, monkeypatch, {**params, "retention": {"raw_days": 3}})
    write_csv(made.home / "in" / "visits" / "ana.csv", [visit(1, phone=ANA)])
    write_csv(made.home / "in" / "visits" / "eva.csv", [visit(2, phone=EVA)])
    read(made, DAY)
    return made


def read(tenant: Tenant, day: date) -> None:
    ingest(tenant, Interval.day(day))
    validate(tenant, Interval.day(day))


def phones(tenant: Tenant, table: str = "raw.visits") -> list[str]:
    return sorted(row["phone"] for row in Lake(tenant).read(table).to_pylist())


def test_what_expired_stays_away(tenant: Tenant) -> None:
    later = DAY + timedelta(days=10)
    expire(tenant, Interval.day(later))
    assert phones(tenant) == []
    read(tenant, later)
    assert phones(tenant) == []
    assert Lake(tenant).count("clean.visits") == 2


def test_a_file_of_none_but_the_forgotten_is_not_news(tenant: Tenant) -> None:
    known = Lake(tenant).read("identity.identities").to_pylist()
    forget(tenant, [row["lead_id"] for row in known if row["phone"] == ANA])
    read(tenant, DAY + timedelta(days=1))
    assert phones(tenant) == phones(tenant, "identity.identities") == [EVA]
    assert Lake(tenant).count("clean.visits") == 1
