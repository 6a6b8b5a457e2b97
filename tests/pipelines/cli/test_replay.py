"""`leadwise replay` on a small market: clean tables and features as if the mended rule had been there all along."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.collect.ingest import ingest
from pipelines.collect.simulator import simulate
from pipelines.core.settings import ROOT
from pipelines.core.tenant import Tenant
from pipelines.features.step import features
from pipelines.lake.catalog import Lake
from pipelines.lake.identities import TABLE as IDENTITIES
from pipelines.quality.validate import validate
from tests.conftest import MakeTenant

pytestmark = pytest.mark.slow

MARKET = {"run": {"start": "2026-01-01", "end": "2026-01-21", "dates": []}, "simulate": {"leads": 150, "days": 20}}


def walk(tenant: Tenant) -> None:
    for step in (ingest, validate, features):
        step(tenant, tenant.whole_run)


def contents(tenant: Tenant) -> dict[str, list[str]]:
    """All rows of clean, quarantine and features, without wall clock and folder, and with phones instead of ids."""
    lake = Lake(tenant)
    known = lake.read(IDENTITIES, columns=["lead_id", "phone"]).to_pydict()
    phones = dict(zip(known["lead_id"], known["phone"], strict=True))
    found = {}
    for namespace in ("clean", "quarantine", "features"):
        for name in lake.names(namespace):
            rows = lake.read(f"{namespace}.{name}").drop_columns(["_loaded_at"]).to_pylist()
            found[f"{namespace}.{name}"] = sorted(repr(_told(row, phones)) for row in rows)
    return found


def _told(row: dict[str, Any], phones: dict[str, str]) -> dict[str, Any]:
    if "lead_id" in row:
        row["lead_id"] = phones[row["lead_id"]]
    if row.get("_source_file"):
        row["_source_file"] = Path(row["_source_file"]).name
    return row


def test_features_after_a_replay_are_those_of_a_fresh_run(
    make_tenant: MakeTenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "expectations" / "sms", tmp_path / "expectations" / "sms")
    monkeypatch.setenv("LEADWISE_EXPECTATIONS", str(tmp_path / "expectations"))
    tenant = make_tenant(params={"tenants": {"demo": MARKET}, "quality": {"max_quarantine_share": 0.9}})
    contract = tmp_path / "expectations" / "sms" / "validations.yaml"
    right = contract.read_text(encoding="utf-8")
    assert right.count("maximum: 120000") == 5
    contract.write_text(right.replace("maximum: 120000", "maximum: 900"), encoding="utf-8")  # refuses slow answers
    simulate(tenant)
    walk(tenant)
    refused = Lake(tenant).count("quarantine.validations")
    contract.write_text(right, encoding="utf-8")

    done = CliRunner().invoke(app, ["replay", "--dry-run", "--json", "--rule", "range"])
    assert done.exit_code == 0, done.output
    tried = json.loads(done.stdout)
    done = CliRunner().invoke(app, ["replay", "--features", "--json", "--rule", "range"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["counts"] == tried["counts"]
    assert told["counts"]["released"] == refused - Lake(tenant).count("quarantine.validations") > 10
    assert told["counts"]["features_to"] == "2026-01-21"
    replayed = contents(tenant)

    source = tenant.source_dir
    monkeypatch.setenv("LEADWISE_VAR", str(tmp_path / "fresh"))
    other = Tenant.load("demo")
    shutil.copytree(source, other.source_dir)
    walk(other)
    fresh = contents(other)
    assert replayed.keys() == fresh.keys()
    for name, rows in fresh.items():
        assert replayed[name] == rows, name
    again = CliRunner().invoke(app, ["replay"])
    assert again.exit_code == 0
    assert "nothing changed" in again.stdout


def test_bad_requests(make_tenant: MakeTenant) -> None:
    make_tenant()
    done = CliRunner().invoke(app, ["replay", "--table", "message"])
    assert (done.exit_code, "did you mean 'messages'" in done.stderr) == (1, True)
    done = CliRunner().invoke(app, ["replay"])
    assert (done.exit_code, "leadwise ingest" in done.stderr) == (1, True)
