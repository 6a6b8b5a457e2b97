"""A tenant whose one source is a CSV file a day."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import date
from typing import Any

import pytest
import yaml

from pipelines.collect.ingest import ingest
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.settings import ROOT
from pipelines.core.tenant import Tenant
from pipelines.quality.validate import validate
from tests.conftest import MakeTenant
from tests.pipelines.quality.market import CONTRACT, PARAMS, write_csv

DAY = date(2026, 3, 1)
Visits = Callable[..., Report]


@pytest.fixture
def tenant(make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    return make_visiting(make_tenant, monkeypatch, PARAMS)


def make_visiting(make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch, params: dict[str, Any]) -> Tenant:
    """A tenant of the visiting use case alone: the sources of the repository's own tenants do not feed it."""
    common = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    sources = common["tenants"]["demo"]["sources"]
    params = deepcopy(params)
    monkeypatch.setattr("tests.conftest._merge", _replacing(set(sources)))
    return make_tenant(params=params, contracts={"visits.yaml": CONTRACT}, sql={"readme.txt": ""})


def _replacing(dropped: set[str]) -> Callable[[Any, Any], Any]:
    from pipelines.core.params import _merge

    def merge(base: Any, change: Any) -> Any:
        merged = _merge(base, change)
        for name in dropped:
            merged["tenants"]["demo"]["sources"].pop(name, None)
        return merged

    return merge


@pytest.fixture
def bring(tenant: Tenant) -> Visits:
    """A function that writes a day's file, ingests and validates it."""

    def run(rows: Sequence[dict[str, Any]], day: date = DAY, **options: Any) -> Report:
        write_csv(tenant.home / "in" / "visits" / f"{day}.csv", rows, **options)
        ingest(tenant, Interval.day(day))
        return validate(tenant, Interval.day(day))

    return run
