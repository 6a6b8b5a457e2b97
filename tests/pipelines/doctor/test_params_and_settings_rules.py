"""Rules of params.yaml and of the settings: each fault is that finding alone."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.doctor.conftest import VISITS, World


def rules(world: World, *only: str, **facts: Any) -> list[str]:
    return [one.rule for one in world.look(*only, **facts)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tenants: [", "can't be read as YAML"),
        ("just text", "has no tenants"),
        ("tenants: {}", "has no tenants"),
        ("tenants: {shop: 3}", "must be a mapping"),
        ("tenants: {shop: {use_case: shop}}", "is missing"),
    ],
)
def test_a_broken_file_is_one_finding(world: World, text: str, told: str) -> None:
    world.write("params.yaml", text)
    findings = [one for one in world.look() if one.rule != "use-case-unused"]
    assert [one.rule for one in findings] == ["params-read"]
    assert told in findings[0].what


def test_a_missing_file_is_one_finding(world: World) -> None:
    world.remove("params.yaml")
    assert rules(world) == ["params-read"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"train": {"min_rowz": 100}}, "did you mean 'min_rows'?"),
        ({"run": {"start": "2026-04-01"}}, "must grow"),
        ({"score": {"tiers": {"A": 0.1}}}, "A > B > C"),
    ],
)
def test_a_wrong_parameter_is_one_finding(world: World, change: dict[str, Any], told: str) -> None:
    world.shop(change)
    [finding] = world.look()
    assert finding.rule == "params-read"
    assert told in finding.what


def test_every_tenant_is_told_of_and_one_alone_when_asked(world: World) -> None:
    other = {**world.document["tenants"]["shop"], "run": {"start": "2026-04-01", "end": "2026-03-01"}}
    world.params({"tenants": {"other": other, "third": {**other, "oops": 1}}})
    assert rules(world) == ["params-read", "params-read"]
    assert rules(world, tenant="shop") == []
    assert rules(world, tenant="third") == ["params-read"]


def test_an_unknown_common_section(world: World) -> None:
    world.params({"trian": {}})
    [finding] = world.look()
    assert finding.rule == "params-read"
    assert "did you mean 'train'?" in finding.what


@pytest.mark.parametrize(
    "change",
    [
        {"sources": {"visits": {"path": "postgresql://me:hunter2@db/shop"}}},
        {"password": "hunter2"},
        {"sources": {"visits": {"connection": "mysql+pymysql://me:hunter2@db"}}},
        {"simulate": {"api_key": "hunter2"}},
    ],
)
def test_credentials_are_found_and_never_shown(world: World, change: dict[str, Any]) -> None:
    world.shop(change)
    findings = world.look("params")
    assert "params-credentials" in [one.rule for one in findings]
    assert all("hunter2" not in f"{one.where}{one.what}{one.mend}" for one in findings)


def test_a_credential_where_anything_may_stand_is_that_finding_alone(world: World) -> None:
    world.params({"train": {"targets": {}}})
    world.shop({"sources": {"visits": {"path": "{data}/https://me:hunter2@host/{date}.csv"}}})
    assert "params-credentials" in rules(world)


def test_names_of_tenants(world: World) -> None:
    world.params({"tenants": {"Big-Shop": world.document["tenants"]["shop"]}})
    [finding] = world.look()
    assert finding.rule == "tenant-name"
    assert "'Big-Shop'" in finding.what


def test_a_use_case_without_folders(world: World) -> None:
    world.shop({"use_case": "shopp"})
    findings = [one for one in world.look() if one.rule != "use-case-unused"]
    assert [one.rule for one in findings] == ["tenant-use-case", "tenant-use-case"]  # contracts, and SQL
    assert all("did you mean 'shop'?" in one.what for one in findings)


MARKET = {
    "leads": 10, "days": 20, "seed": 1, "start": "2026-01-01", "validations_per_lead_month": 1.0,
    "messages_per_lead_week": 1.0, "dirty_share": 0.0, "late_share": 0.0, "randomized_share": 0.0,
}  # fmt: skip


def test_a_run_beyond_its_market(world: World) -> None:
    world.shop({"simulate": MARKET, "sources": {"visits": {"path": "{home}/source/visits/{date}.parquet"}}})
    [finding] = world.look()
    assert finding.rule == "run-market"
    assert "2026-01-21" in finding.what
    world.shop({"run": {"end": "2026-01-21"}})
    assert rules(world) == []


def test_a_market_that_no_source_reads(world: World) -> None:
    world.shop({"simulate": {**MARKET, "days": 59}})
    [finding] = world.look()
    assert (finding.rule, finding.level) == ("params-unused", "warning")


def test_a_section_that_repeats_the_common_one(world: World) -> None:
    world.shop({"promotion": world.document["promotion"]})
    [finding] = world.look()
    assert finding.rule == "params-unused"
    assert "'promotion'" in finding.what


def test_a_horizon_as_long_as_the_run(world: World) -> None:
    world.shop({"train": {"targets": {"spender": {"horizon_days": 59}}}})
    [finding] = world.look()
    assert finding.rule == "run-horizon"
    world.shop({"train": {"targets": {"spender": {"horizon_days": 58}}}})
    assert rules(world) == []


def test_a_use_case_that_no_tenant_has(world: World) -> None:
    world.write("expectations/spare/visits.yaml", VISITS)
    [finding] = world.look()
    assert finding.rule == "use-case-unused"
    assert "'spare'" in finding.what


def test_placeholders_of_paths(world: World) -> None:
    world.shop({"sources": {"visits": {"path": "{dat}/visits.csv"}}})
    [finding] = world.look()
    assert finding.rule == "source-path"


def test_files_that_are_not_there(world: World) -> None:
    world.shop({"sources": {"visits": {"path": "{data}/visits*.csv"}}})
    [finding] = world.look()
    assert (finding.rule, finding.level) == ("source-files", "warning")
    world.write("data/visits_1.csv", "x")
    assert rules(world) == []


def test_connections_are_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.shop({"sources": {"visits": {"path": None, "query": "select 1", "connection": "crm"}}})
    [finding] = world.look()
    assert finding.rule == "connection"
    assert "LEADWISE_CONN_CRM" in finding.what
    monkeypatch.setenv("LEADWISE_CONN_CRM", "postgresql://me:hunter2@db/crm")
    assert rules(world) == []  # and the variable is no unknown setting
    monkeypatch.setenv("LEADWISE_CONN_CRM", "me:hunter2")
    [finding] = world.look()
    assert "hunter2" not in finding.what


def test_a_variable_that_is_no_setting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_THREDS", "2")
    [finding] = world.look()
    assert (finding.rule, finding.level) == ("setting-unknown", "warning")
    assert "did you mean 'LEADWISE_THREADS'?" in finding.what


def test_a_setting_with_a_wrong_value_is_one_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_THREADS", "many")
    [finding] = world.look()
    assert (finding.rule, finding.level) == ("setting-value", "error")
    assert "'many'" in finding.what


def test_the_profile_of_servers_that_were_never_started(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_PROFILE", "services")
    [finding] = world.look()
    assert finding.rule == "setting-value"
    assert "start `make services` first" in finding.what


def test_more_threads_than_cores(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_THREADS", str((os.cpu_count() or 1) + 1))
    [finding] = world.look()
    assert (finding.rule, finding.level) == ("setting-threads", "warning")


def test_a_folder_of_contracts_that_is_not_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_EXPECTATIONS", str(world.home / "nowhere"))
    assert [one for one in rules(world) if one.startswith("setting")] == ["setting-folder"]


def test_a_state_folder_that_is_a_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_VAR", str(world.write("file", "") / "var"))
    assert rules(world, "settings") == ["setting-writable"]


def test_a_state_folder_that_cannot_be_written(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    monkeypatch.setenv("LEADWISE_VAR", str(folder / "var"))
    assert rules(world) == []
    # Permission bits do not keep root out: what is asked of the system is answered for it.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder)
    assert rules(world) == ["setting-writable"]
