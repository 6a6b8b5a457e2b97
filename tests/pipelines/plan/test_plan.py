"""`leadwise plan` on a small market that went the whole way: what it says, and that it writes nothing."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from pipelines.cli.main import app
from pipelines.cli.plan import lines
from pipelines.core.errors import ConfigError
from pipelines.core.tenant import Tenant
from pipelines.deliver.score import score
from pipelines.features.apply import open_store, quiet
from pipelines.features.step import features
from pipelines.plan.plan import Plan, plan
from pipelines.registry.definitions import champions, older
from pipelines.watch.monitor import monitor
from tests.conftest import MakeTenant

pytestmark = pytest.mark.slow

Edit = Callable[..., Tenant]


@pytest.fixture
def edit(demo: Tenant, tmp_path: Path) -> Edit:
    """The tenant with other contracts and SQL, and the same state: `edit((file, old, new), …)`."""

    def made(*changes: tuple[str, str, str]) -> Tenant:
        folders = {"expectations": tmp_path / "expectations", "feature_repo": tmp_path / "feature_repo"}
        for room, folder in folders.items():
            shutil.copytree(getattr(demo.settings, room) / "sms", folder / "sms", dirs_exist_ok=True)
        for file, old, new in changes:
            path = folders["expectations" if file.endswith(".yaml") else "feature_repo"] / "sms" / file
            text = path.read_text(encoding="utf-8")
            assert old in text
            path.write_text(text.replace(old, new), encoding="utf-8")
        return Tenant(demo.name, demo.params, demo.settings.model_copy(update=folders))

    return made


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file, its size and when it was written."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def states(found: Plan) -> dict[str, str]:
    return {query.name: query.state for query in found.queries if query.state != "current"}


def test_nothing_to_do_and_nothing_written(demo: Tenant) -> None:
    before = state(demo.settings.var)
    found = plan(demo)
    assert not found.changes
    assert list(lines(found)) == [line for line in lines(found) if line.startswith("nothing to do")]
    assert state(demo.settings.var) == before


def test_changes_are_told(edit: Edit) -> None:
    tenant = edit(
        ("leads.yaml", "version: 1.0.0", "version: 1.1.0"),
        ("leads.yaml", "      - name: lada\n", "      - name: area\n        id: lada\n"),
        ("features_lead.sql", "lada in", "area in"),
        ("features_market.sql", "interval 7 days", "interval 14 days"),
        ("labels/conversion.sql", "select", "select distinct"),
        ("candidates.sql", "line_type in ('mobile', 'voip')", "line_type = 'mobile'"),
    )
    before = state(tenant.settings.var)
    found = plan(tenant)

    assert [(table.table, table.versions) for table in found.tables] == [("leads", "1.0.0 → 1.1.0")]
    assert [change["kind"] for change in found.tables[0].changes] == ["renamed"]
    assert states(found) == {
        "features.lead": "changed",
        "features.market": "changed",
        "label.conversion": "changed",
        "candidates": "changed",
    }
    market = next(query for query in found.queries if query.name == "features.market")
    assert market.older == market.rows > 0
    assert market.instants == 61  # the midnights of 60 days, and the first one
    runs = [run.partition(" ")[2] for run in market.runs]  # one of each target
    assert set(runs) <= {"(v1, challenger, champion)", "(v1, challenger)"}
    assert "(v1, challenger, champion)" in runs
    champion = next(one for one in found.champions if one.target == "conversion")
    assert champion.missing == []
    assert champion.older == ["the label", "view 'lead'", "view 'market'"]
    services = {f"FeatureService {target}" for target in tenant.params.train.targets}
    assert set(found.feast["apply"]) == {"FeatureView lead", "FeatureView market", *services}
    assert found.breaking == []
    told = "\n".join(lines(found))
    assert "  ~ area is renamed from 'lada'" in told
    assert "--rewrite` computes 61 instants, 2026-01-01 to 2026-03-02" in told
    assert "keeps working" in told
    json.dumps(found.to_dict())
    assert state(tenant.settings.var) == before


def test_parameters_that_change_no_data(demo: Tenant) -> None:
    train = demo.params.train
    other = train.model_copy(update={"xgboost": train.xgboost.model_copy(update={"max_depth": 3})})
    found = plan(replace(demo, params=demo.params.model_copy(update={"train": other})))
    assert states(found) == {}
    assert found.champions[0].parameters == {"xgboost.max_depth": (str(train.xgboost.max_depth), "3")}


def test_other_midnights(demo: Tenant) -> None:
    other = demo.params.features.model_copy(update={"every_days": 7})
    found = plan(replace(demo, params=demo.params.model_copy(update={"features": other})))
    assert found.breaking == []
    views = [query for query in found.queries if query.name.startswith("features.")]
    assert {(query.state, query.older, query.every_days) for query in views} == {("changed", 0, ("1", "7"))}
    assert all(query.runs == () for query in views)
    told = "\n".join(lines(found))
    assert "computed every 1 days, and by features.every_days every 7 days from now on" in told
    assert "--rewrite` computes 9 instants, 2026-01-01 to 2026-03-02" in told


def test_what_breaks_is_told_and_refused(edit: Edit) -> None:
    tenant = edit(
        ("validations.yaml", "      - name: whatsapp_ms\n", "      - name: wa_ms\n        id: whatsapp_ms\n"),
        ("leads.yaml", "name: consent\n        logicalType: boolean", "name: consent\n        logicalType: string"),
        ("leads.yaml", "          - {property: consent, value: true}", "          - {property: segment, value: true}"),
    )  # fmt: skip
    found = plan(tenant)
    assert len(found.breaking) == 2
    assert "column 'consent' changes from boolean to string" in found.breaking[0]
    assert "feature view 'validations' (and with it the champion, version 1 of demo.c" in found.breaking[1]
    assert "version 1 of demo.conversion" in found.breaking[1]
    assert "features_validations.sql:" in found.breaking[1]


def test_a_feature_that_the_champion_reads(edit: Edit) -> None:
    tenant = edit(("features_market.sql", "    week.state_index,\n", ""))
    before = state(tenant.settings.var / tenant.name / "lake")
    sentence = next(one for one in plan(tenant).breaking if "demo.conversion" in one)
    assert "version 1 of demo.conversion, the champion, reads the feature 'state_index'" in sentence
    for rewrite in (False, True):
        with pytest.raises(ConfigError, match=r"reads the feature 'state_index'.*--without-champion"):
            features(tenant, tenant.whole_run, rewrite=rewrite)
    assert state(tenant.settings.var / tenant.name / "lake") == before


def test_score_and_monitor_notice_an_older_definition(edit: Edit) -> None:
    """The label alone is another one: what they write is the same."""
    tenant = edit(("labels/conversion.sql", "select", "select distinct"))
    sentence = "'conversion': version 1 was trained on an older definition of the label: train and promote again"
    assert sentence in score(tenant, tenant.whole_run).notes
    assert sentence in monitor(tenant, tenant.whole_run).notes


def test_hashes_travel(demo: Tenant) -> None:
    """With rows, with Feast's objects, with the run and the version."""
    definitions = load_definitions(demo, load_contracts(demo.contracts_dir))
    hashes = definitions.hashes("conversion")
    assert set(hashes) == {"label.conversion", "on_demand.lead_id", *(f"features.{name}" for name in definitions.views)}
    with quiet():
        store = open_store(demo)
        assert store.get_feature_service("conversion").tags == hashes
        assert store.get_feature_view("market").tags["sql_hash"] == hashes["features.market"]
        assert store.get_on_demand_feature_view("moment_lead_id").tags == {"hash": hashes["on_demand.lead_id"]}
    version = champions(demo)["conversion"]
    assert json.loads(version.tags["sql_hashes"]) == hashes
    assert older(version.tags, definitions, "conversion") == []


def test_the_command(make_tenant: MakeTenant, var: Path) -> None:
    make_tenant()
    shown = CliRunner().invoke(app, ["plan"])
    assert shown.exit_code == 0
    assert "new: the first run computes it" in shown.stdout
    told: dict[str, Any] = json.loads(CliRunner().invoke(app, ["plan", "--json"]).stdout)
    assert told["changes"]
    assert told["breaking"] == []
    assert not var.exists()
