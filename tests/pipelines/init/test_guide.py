"""docs/bring-your-own-data.md, done as it says: its commands, in its order, by the command line a person uses."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.core.settings import ROOT

pytestmark = pytest.mark.slow

GUIDE = ROOT / "docs" / "bring-your-own-data.md"
EXAMPLE = ROOT / "docs" / "examples" / "gym"


def commands() -> list[str]:
    """The fenced commands of the guide, block by block."""
    return re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_guide_leads_to_a_scored_audience(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "docs" / "examples" / "gym")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    rooms = {f"LEADWISE_{room.upper()}": str(tmp_path / room) for room in ("var", "expectations", "feature_repo")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **rooms, "LEADWISE_PARAMS": str(tmp_path / "params.yaml"), "PATH": path}

    said = []
    for block in commands():
        done = subprocess.run(
            ["sh", "-ec", block], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        said.append(done.stdout)

    first, contract, _, _, quarantine, last = said
    assert "leadwise run --tenant gym" in first
    assert "trial_no of trials says whom" in first
    assert "classification: restricted" in contract
    assert '"Famly"}  # in 2 of 2,400 rows only' in contract
    assert re.search(r"plan\s+2\b", quarantine)
    assert re.search(r"age\s+3\b", quarantine)
    assert "gym.conversion" in last
    audience = sorted((tmp_path / "var" / "gym" / "audience").glob("*/audience.csv"))[-1].read_text(encoding="utf-8")
    rows = list(csv.DictReader(audience.splitlines()))
    assert len(rows) > 1000
    chances = [float(row["probability"]) for row in rows]
    assert chances == sorted(chances, reverse=True)
    assert len(set(chances)) > 100
    assert "@" not in audience


def test_the_example_is_what_its_generator_writes(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "generate.py", tmp_path)
    subprocess.run([sys.executable, str(tmp_path / "generate.py")], check=True)
    for name in ("trials.csv", "visits.csv"):
        assert (tmp_path / name).read_bytes() == (EXAMPLE / name).read_bytes()
