"""Every command of README.md and docs/ runs, in the order in which it stands, on a tiny market.

Two exceptions, both in tables below: documents that a test of their own follows, and commands that can't run inside a
suite; neither table may go stale.
"""

import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.core.settings import ROOT
from tests.conftest import BANK_FILE, write_params
from tests.docs.commands import Block, blocks, inline, invocations, run
from tests.gates import EASY

pytestmark = pytest.mark.slow

# Documents that another test follows command by command.
FOLLOWED = {
    "bring-your-own-data.md": "tests/pipelines/init/test_guide.py",
    "experiments.md": "tests/test_dvc.py",
}
# Commands that can't run here, and what runs them instead.
ELSEWHERE = {
    "make test": "tests",  # this suite
    "make setup": "Makefile",  # every other target asks for it first
    "make up": "tests/dags/test_live.py",  # they stay until Ctrl-C
    "make services": "tests/services/test_command.py",
    "LEADWISE_PROFILE=services .venv/bin/leadwise run --tenant demo": "tests/test_whole_way.py",
    ".venv/bin/leadwise up --day-seconds 300": "tests/dags/test_live.py",
    ".venv/bin/leadwise airflow backfill create --dag-id demo_ingest --from-date 2026-03-18 --to-date 2026-03-24": (
        "tests/dags/test_live.py"
    ),
    ".venv/bin/leadwise airflow tasks clear demo_features --yes": "tests/dags/test_live.py",
}
EVERY = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS = [path for path in EVERY if path.name not in FOLLOWED]
BLOCKS = [block for path in DOCUMENTS for block in blocks(path)]

TINY: dict[str, Any] = {
    "train": {"min_rows": 100, "lightgbm": {"num_boost_round": 20}, "xgboost": {"num_boost_round": 20}},
    "promotion": {"gate": EASY},
    "tenants": {
        "demo": {
            "run": {"start": "2026-03-01", "end": "2026-04-01", "dates": []},
            "simulate": {"leads": 900, "days": 31, "start": "2026-03-01", "ahead_days": 0},
        },
        "bank": {"run": {"start": "2008-06-15", "end": "2008-11-18", "dates": []}},
    },
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with state, data and parameters of its own."""
    home = tmp_path_factory.mktemp("workspace")
    for path in ROOT.iterdir():
        if path.name not in ("var", "data", "params.yaml", ".git", ".dvc"):
            (home / path.name).symlink_to(path)
    write_params(home / "params.yaml", TINY)
    if BANK_FILE.is_file():
        head, *rows = BANK_FILE.read_text(encoding="utf-8").splitlines()
        few = home / "data" / "bank_marketing" / BANK_FILE.name
        few.parent.mkdir(parents=True)
        # End of June to November of the last year, which the mapping takes for the first.
        few.write_text("\n".join([head, *rows[44_000:45_200], ""]), encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def adapted(block: Block, port: int) -> str:
    """The text of a block as it can run here: another port, time for a server to start, no installation."""
    kept = [line for line in block.text.splitlines() if _command(line) not in ELSEWHERE]
    text = "\n".join(kept).replace("localhost:8000", f"127.0.0.1:{port}").replace("--port 8000", f"--port {port}")
    text = text.replace("curl ", "curl --fail --retry 60 --retry-delay 1 --retry-connrefused ")
    return re.sub(r"^make ", "make -o requirements.lock -o pyproject.toml ", text, flags=re.MULTILINE)


def _command(line: str) -> str:
    return line.partition("#")[0].strip()


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_a_block_runs(block: Block, workspace: Path, port: int) -> None:
    if "--tenant bank" in block.text and not BANK_FILE.is_file():
        pytest.skip(f"no {BANK_FILE}")
    text = adapted(block, port)
    if not text.strip():
        pytest.skip("all of it runs elsewhere: see the table")
    settings = {
        "LEADWISE_VAR": str(workspace / "var"),
        "LEADWISE_PARAMS": str(workspace / "params.yaml"),
        "LEADWISE_DATA": str(workspace / "data"),
    }
    done = run(text, workspace, settings)
    assert done.returncode == 0, f"{block.name}:\n{text}\n{done.stdout[-3000:]}"
    assert "Traceback" not in done.stdout


def test_the_way_led_to_an_audience(workspace: Path) -> None:
    """Runs last: what stands in the workspace after all documents were followed."""
    assert (workspace / "var" / "demo" / "audience" / "2026-03-31" / "audience.csv").is_file()


def test_no_document_is_forgotten() -> None:
    names = {path.name for path in EVERY}
    for name, test in FOLLOWED.items():
        assert name in names, f"the table FOLLOWED names {name}, which is gone"
        followed = ROOT / test
        assert followed.is_file(), f"{name} is followed by {test}, which is gone"
        assert name in followed.read_text(encoding="utf-8"), f"{test} does not speak of {name}"
    other = [
        f"{path.name}:{block.line}"
        for path in EVERY
        for language in ("bash", "shell", "console")
        for block in blocks(path, language)
    ]
    assert other == [], "commands stand in blocks of `sh`, so that they are found here"


def test_the_table_of_commands_is_not_stale() -> None:
    written = {command for block in BLOCKS for command in block.commands}
    assert [command for command in ELSEWHERE if command not in written] == []
    assert [test for test in ELSEWHERE.values() if not (ROOT / test).exists()] == []


MENTIONED = [
    (path.name, command)
    for path in EVERY
    for command in [*inline(path), *(one for block in blocks(path) for one in block.commands)]
]


@pytest.mark.parametrize(("document", "command"), MENTIONED, ids=lambda value: str(value)[:60])
def test_a_command_that_is_mentioned_exists(document: str, command: str) -> None:
    """Also those between backticks: the command and each of its options, or the target of make."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    known: Any = typer.main.get_command(app)
    for stem, *words in invocations(command):
        if stem == "make":
            named = [word for word in words if re.fullmatch(r"[a-z]+", word)]
            assert set(named) <= targets, f"{document}: {command}"
            continue
        if not words or words[0].startswith("-"):
            assert CliRunner().invoke(app, words or ["--help"]).exit_code == 0
            continue
        assert words[0] in known.commands, f"{document}: there is no command '{words[0]}' in {command}"
        if words[0] == "airflow":
            continue  # the rest is Airflow's
        parameters = known.commands[words[0]].params
        options = {name for one in parameters for name in (*one.opts, *one.secondary_opts)} | {"--help", "-h"}
        given = {part for word in words if word.startswith("-") and word != "-" for part in word.split("/")}
        assert given <= options, f"{document}: {command} has an option that is not there"


def test_the_tiny_market_is_the_shipped_one_but_smaller() -> None:
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["tenants"]
    assert set(TINY["tenants"]) <= set(shipped)
    assert shutil.which("bash")
