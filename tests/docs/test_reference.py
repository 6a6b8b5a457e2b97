"""docs/reference.md is what the code says."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from expectations.vocabulary import TABLE_WORDS, WORDS
from pipelines.cli.main import app
from pipelines.cli.reference import build
from pipelines.core.settings import ROOT, Settings
from pipelines.doctor.rules import all_rules

REFERENCE = ROOT / "docs" / "reference.md"


def test_the_file_is_what_the_code_says() -> None:
    current = REFERENCE.read_text(encoding="utf-8") == build()
    assert current, "docs/reference.md is not what the code says: run `.venv/bin/leadwise reference`"


def test_it_depends_neither_on_the_environment_nor_on_the_order_of_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VAR", "DATA", "EXPECTATIONS", "FEATURE_REPO"):
        monkeypatch.setenv(f"LEADWISE_{name}", str(tmp_path))
    monkeypatch.setenv("LEADWISE_THREADS", "3")
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    monkeypatch.setenv("COLUMNS", "40")
    command = [sys.executable, "-c", "from pipelines.cli.reference import build; print(build(), end='')"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == build()
    assert str(ROOT) not in done.stdout


def test_nothing_is_left_out() -> None:
    text = build()
    group = typer.main.get_command(app)
    words = [f"### leadwise {name}\n" for name in group.commands]  # type: ignore[attr-defined]
    words += [f"`LEADWISE_{name.upper()}`" for name in Settings.model_fields]
    words += [f"| `{name}` |" for name in [*WORDS, *TABLE_WORDS]]
    words += [f"| `{name}` |" for name in all_rules()]
    words += ["`train.lightgbm.num_leaves`", "`sources.<name>.path`", "`simulate.leads`", "`monitor.numeric.threshold`"]
    words += ["`raw.<source>`", "`clean.<table>`", "`identity.identities`", "`deliver.scores`", "`watch.drift`"]
    words += [f"#### {path.stem}\n" for path in (ROOT / "expectations").glob("*/*.yaml")]
    assert [word for word in words if word not in text] == []


def test_the_command_writes_and_checks(tmp_path: Path) -> None:
    path = tmp_path / "reference.md"
    missing = CliRunner().invoke(app, ["reference", "--check", "--path", str(path)])
    assert missing.exit_code == 1
    assert "run `leadwise reference`" in missing.stderr
    assert CliRunner().invoke(app, ["reference", "--path", str(path)]).exit_code == 0
    assert path.read_text(encoding="utf-8") == build()
    assert CliRunner().invoke(app, ["reference", "--check", "--path", str(path)]).exit_code == 0


def test_tables_hold_together() -> None:
    """Every row of a table has the cells of its head: a bar in a pattern would break it."""
    import re

    width = 0
    for line in build().splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert cells in (0, width) or not width, line
        width = cells
