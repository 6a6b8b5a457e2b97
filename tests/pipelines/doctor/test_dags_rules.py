"""Rules of DAG files: a folder in which every file has one fault, read by Airflow itself once."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.doctor import dags_rules
from pipelines.doctor.facts import Facts
from pipelines.doctor.rules import Finding, examine

pytestmark = pytest.mark.slow

GOOD = """
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from airflow.sdk import DAG, Asset, task
if TYPE_CHECKING:
    import pandas

with DAG(
    "{name}", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule="@daily", catchup=False, max_active_runs=1,
    tags=["shop"], doc_md="What it does.", default_args={{"retries": 2, "owner": "shop"}},
):
    @task(outlets=[Asset(name="{name}.done", uri="shop://{name}")])
    def work():
        import pandas
        from airflow.sdk import Variable
        return Variable.get("x"), open("x").read(), datetime.now()
    work()
"""

START = "start_date=datetime(2026, 1, 1, tzinfo=UTC)"


def top(lines: str) -> tuple[str, str]:
    """Lines that stand before the DAG."""
    return "\nwith DAG(", f"\n{lines}\nwith DAG("


# Each rule, and how to break it: what is replaced, and what stands there then.
FAULTS: dict[str, list[tuple[str, str]]] = {
    "dag-tags": [('tags=["shop"], ', "")],
    "dag-doc": [('doc_md="What it does.", ', ""), ('doc_md="What it does."', 'doc_md="  "')],
    "dag-retries": [('"retries": 2, ', ""), ('"retries": 2', '"retries": 0')],
    "dag-owner": [("    work()\n", '    work()\n    @task(owner="other")\n    def more(): pass\n    more()\n')],
    "dag-start-date": [(START + ", ", "")],
    "dag-moving-start": [
        (START, "start_date=datetime.now(UTC)"),
        (START, "start_date=datetime.now(UTC).replace(hour=0)"),
        (START, "start_date=BEGIN"),
    ],
    "dag-catchup": [("catchup=False, ", "")],
    "dag-max-active-runs": [("max_active_runs=1,", "")],
    "dag-heavy-import": [top("import numpy.linalg"), top("if True:\n    from duckdb import connect")],
    "dag-variable": [top('from airflow.sdk import Variable\ndef later(x=Variable.get("x", 1)): pass')],
    "dag-io": [
        top("import pathlib\ntext = pathlib.Path(__file__).read_text()"),
        top("import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''])"),
    ],
    "dag-asset": [('schedule="@daily"', 'schedule=[Asset(name="nobody", uri="shop://nobody")]')],
    "dag-parse-time": [top("from time import monotonic as at\nend = at() + 0.5\nwhile at() < end: pass")],
}


def cases() -> Iterator[tuple[str, str, str]]:
    for rule, faults in FAULTS.items():
        for number, (old, new) in enumerate(faults):
            name = f"{rule.replace('-', '_')}_{number}"
            text = GOOD.replace(old, new)
            if "BEGIN" in new:
                text = text.replace("\nwith DAG(", "\nBEGIN = datetime.now(UTC)\nwith DAG(")
            assert text != GOOD
            yield rule, name, text.format(name=name)


CASES = list(cases())


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """Findings by file."""
    folder = tmp_path_factory.mktemp("dags")
    for _, name, text in [*CASES, ("", "good", GOOD.format(name="good"))]:
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dags_rules, "SLOW", 0.2)
        findings = examine(Facts(dags=folder), ["dags"])
    by_file: dict[str, list[Finding]] = {name: [] for _, name, _ in [*CASES, ("", "good", "")]}
    for finding in findings:
        by_file[Path(finding.where.partition(":")[0]).stem].append(finding)
    return by_file


@pytest.mark.parametrize(("rule", "name"), [(rule, name) for rule, name, _ in CASES])
def test_a_fault_is_that_finding_alone(found: dict[str, list[Finding]], rule: str, name: str) -> None:
    # Besides reading a Variable or starting a process, time is measured: a busy machine may find a file slow.
    others = found[name] if rule == "dag-parse-time" else [one for one in found[name] if one.rule != "dag-parse-time"]
    assert [one.rule for one in others] == [rule]
    assert others[0].mend


def test_a_good_file_has_none(found: dict[str, list[Finding]]) -> None:
    assert [one for one in found["good"] if one.rule != "dag-parse-time"] == []


def test_files_that_airflow_cannot_import(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("# airflow dag\nfrom airflow.sdk import DAG\nimport no_such_module\n", "utf-8")
    (tmp_path / "torn.py").write_text("# airflow dag\nwith DAG(\n", "utf-8")
    (tmp_path / "first.py").write_text(GOOD.format(name="same"), "utf-8")
    (tmp_path / "second.py").write_text(GOOD.format(name="same"), "utf-8")
    findings = examine(Facts(dags=tmp_path), ["dags"])
    assert [(one.rule, Path(one.where).stem) for one in findings if one.rule != "dag-parse-time"] == [
        ("dag-import", "broken"),
        ("dag-import", "torn"),
        ("dag-unique-id", "second"),
    ]
    assert "no_such_module" in findings[0].what
    assert "same" in findings[2].what


def test_the_dags_of_the_repository_have_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_VAR", str(tmp_path / "var"))
    monkeypatch.setattr(dags_rules, "SLOW", 30)
    facts = Facts()
    assert examine(facts, ["dags"]) == []
    assert len(facts.parsed.dags) >= 10  # it did look: five for each of two tenants
    assert not (tmp_path / "var").exists()  # and left nothing behind


def test_an_airflow_that_cannot_be_asked_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    [finding] = examine(Facts(dags=tmp_path), ["dags"])
    assert (finding.rule, finding.level) == ("dag-import", "error")


def test_the_doctor_imports_neither_airflow_nor_a_dag_file(tmp_path: Path) -> None:
    code = (
        "import sys; from pipelines.doctor.facts import Facts; from pipelines.doctor.rules import examine;"
        "examine(Facts(), ['dag-heavy-import', 'contracts', 'sql', 'params', 'settings']);"
        "print([name for name in ('airflow', 'dags', 'mlflow', 'feast') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
