"""The export of a simulated market: files, replacement, refusals."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.collect.simulator import export as exporting
from pipelines.collect.simulator import simulate
from pipelines.collect.simulator.tables import KEYS
from pipelines.core.errors import LeadwiseError
from pipelines.core.tenant import Tenant

MakeTenant = Callable[..., Tenant]


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_one_file_per_table_and_day_of_arrival(tenant: Tenant) -> None:
    report = simulate(tenant, leads=100, days=5)
    for table in KEYS:
        rows = 0
        for path in (tenant.source_dir / table).glob("*.parquet"):
            day = pq.read_table(path)
            rows += day.num_rows
            assert {moment.date().isoformat() for moment in day["received_at"].to_pylist()} == {path.stem}
        assert rows == report.counts[table]
    assert report.interval is not None
    assert report.interval.to_dict() == {"from": "2026-01-01", "to": "2026-01-06"}


def test_same_arguments_same_files(tenant: Tenant) -> None:
    simulate(tenant, leads=80, days=4, fraud=True, drift=True)
    first = contents(tenant.source_dir)
    simulate(tenant, leads=200, days=6, seed=1)
    simulate(tenant, leads=80, days=4, fraud=True, drift=True)
    assert contents(tenant.source_dir) == first


def test_types_of_the_columns(tenant: Tenant) -> None:
    simulate(tenant, leads=300, days=10)
    kinds = {pa.string(), pa.bool_(), pa.int64(), pa.float64(), pa.timestamp("us")}
    for table in KEYS:
        schemas = {pq.read_schema(path) for path in (tenant.source_dir / table).glob("*.parquet")}
        assert len(schemas) == 1, table
        assert set(schemas.pop().types) <= kinds, table


def test_columns_follow_the_contracts(tenant: Tenant) -> None:
    from expectations.contract import load_contracts

    simulate(tenant, leads=300, days=10)
    for name, contract in load_contracts(tenant.contracts_dir).items():
        path = next((tenant.source_dir / name).glob("*.parquet"))
        assert set(pq.read_schema(path).names) == {column.name for column in contract.columns}, name


def test_truth_stands_apart(tenant: Tenant) -> None:
    simulate(tenant, leads=300, days=10, fraud=True)
    truth = {path.stem for path in (tenant.source_dir / "_truth").glob("*.parquet")}
    assert truth == {"messages", "leads", "fraud", "dirt"}
    exported = {name for table in KEYS for name in pq.read_schema(next((tenant.source_dir / table).iterdir())).names}
    assert not exported & {"probability", "quality", "ring", "fault", "converted"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"leads": 0}, "leads = 0"),
        ({"days": -3}, "days = -3"),
        ({"seed": -1}, "seed = -1"),
        ({"leads": 10**9}, "leads = 1000000000"),
        ({"start": date(9999, 12, 31)}, "start = 9999-12-31"),
        ({"days": 10**9}, "days = 1000000000"),
    ],
)
def test_wrong_arguments_are_one_sentence(tenant: Tenant, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(LeadwiseError, match=said) as caught:
        simulate(tenant, **wrong)
    assert "\n" not in str(caught.value)
    assert not tenant.source_dir.exists()


def test_tenant_without_a_market(make_tenant: MakeTenant) -> None:
    with pytest.raises(LeadwiseError, match="no 'simulate' section"):
        simulate(make_tenant("bank"))


def test_other_peoples_files_are_never_replaced(tenant: Tenant) -> None:
    (tenant.source_dir / "leads").mkdir(parents=True)
    (tenant.source_dir / "leads" / "mine.parquet").write_bytes(b"mine")
    with pytest.raises(LeadwiseError, match="did not write"):
        simulate(tenant, leads=5, days=1)
    assert (tenant.source_dir / "leads" / "mine.parquet").read_bytes() == b"mine"


def test_full_disk_keeps_the_earlier_export(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(tenant, leads=50, days=2)
    before = contents(tenant.source_dir)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(LeadwiseError, match="No space left on device"):
        simulate(tenant, leads=60, days=2)
    assert contents(tenant.source_dir) == before
    assert not list(tenant.home.glob(".export-*"))


def test_var_that_is_no_folder(make_tenant: MakeTenant, var: Path) -> None:
    var.write_text("a file")
    with pytest.raises(LeadwiseError, match="can't be written"):
        simulate(make_tenant(), leads=5, days=1)


def test_killed_between_two_renames_heals(tenant: Tenant) -> None:
    simulate(tenant, leads=50, days=2)
    before = contents(tenant.source_dir)
    scratch = tenant.home / ".export-killed"
    scratch.mkdir()
    tenant.source_dir.rename(scratch / "old")
    exporting.remove_leftovers(tenant.source_dir)
    assert contents(tenant.source_dir) == before
    assert not scratch.exists()


def test_given_start(tenant: Tenant) -> None:
    simulate(tenant, leads=20, days=2, start=date(2025, 3, 1))
    days = {path.stem for path in tenant.source_dir.glob("[a-z]*/*.parquet")}
    assert days == {"2025-03-01", "2025-03-02"}
