"""`leadwise doctor` as a person and a script meet it, and the registry behind it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.doctor import rules
from pipelines.doctor.facts import Facts
from pipelines.doctor.rules import Fault, Rule, all_rules, examine
from tests.pipelines.doctor.conftest import MAPPING, World

QUICK = [word for group in ("contracts", "sql", "params", "settings") for word in ("--only", group)]


def doctor(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *words])
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout if not result.exception or result.stdout else result.stderr


def test_without_a_fault_it_ends_with_0(world: World) -> None:
    code, told = doctor(*QUICK)
    assert code == 0
    assert "0 errors, 0 warnings: all is well" in told


def test_a_warning_alone_ends_with_0_and_an_error_with_1(world: World) -> None:
    world.remove("feature_repo/shop/candidates.sql")
    assert doctor(*QUICK)[0] == 0
    world.write("feature_repo/shop/mapping.sql", MAPPING.replace("from visits", "from visitors"))
    code, told = doctor(*QUICK)
    assert code == 1
    assert told.index("sql-mapping") < told.index("no-candidates")  # errors first
    assert "mend: " in told
    assert "1 error, 1 warning" in told


def test_json_has_every_finding(world: World) -> None:
    world.remove("feature_repo/shop/candidates.sql")
    code, told = doctor(*QUICK, "--json")
    report = json.loads(told)
    assert (code, report["errors"], report["warnings"]) == (0, 0, 1)
    assert set(report["findings"][0]) == {"rule", "level", "where", "what", "mend"}


def test_the_list_shows_every_rule_and_only_narrows_it() -> None:
    _, told = doctor("--list")
    assert all(f"  {name} " in told for name in all_rules())
    listed = json.loads(doctor("--list", "--json", "--only", "sql")[1])
    assert {one["group"] for one in listed} == {"sql"}
    assert all(one["why"] and one["mend"] for one in listed)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "sql-mappin"], "did you mean 'sql-mapping'?"),
        (["--tenant", "shopp", "--only", "sql"], "did you mean 'shop'?"),
    ],
)
def test_a_misspelt_rule_or_tenant_is_told(world: World, words: list[str], told: str) -> None:
    result = CliRunner().invoke(app, ["doctor", *words])
    assert result.exit_code == 1
    assert told in result.stderr


def test_a_wrong_setting_is_a_finding_and_no_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_THREADS", "many")
    code, told = doctor("--only", "settings", "--only", "sql")
    assert code == 1
    assert "LEADWISE_THREADS" in told


def test_another_folder_of_dags(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "mine.py").write_text("import pandas\n", encoding="utf-8")
    code, told = doctor("--dags", str(folder), "--only", "dag-heavy-import")
    assert code == 1
    assert "mine.py:1" in told


def test_a_rule_that_fails_is_told_and_the_others_look_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(facts: Facts) -> Iterator[Fault]:
        yield Fault("here", "first")
        raise ZeroDivisionError("oops")

    broken = Rule("aaa", "contracts", "warning", "h", "w", "m", breaks)
    all_rules()
    monkeypatch.setattr(rules, "_RULES", {"aaa": broken, **rules._RULES})
    world.remove("feature_repo/shop/candidates.sql")
    findings = examine(Facts(), ["aaa", "no-candidates"])
    assert [(one.rule, one.level) for one in findings] == [
        ("aaa", "warning"), ("aaa", "error"), ("no-candidates", "warning")
    ]  # fmt: skip
    assert "ZeroDivisionError: oops" in findings[1].what


def test_every_rule_has_a_test_that_plants_its_fault() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*_rules.py"))
    assert [name for name in all_rules() if f'"{name}"' not in texts] == []
