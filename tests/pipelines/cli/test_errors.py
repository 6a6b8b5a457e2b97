"""What a person sees when something is wrong: one sentence, and the right exit code."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import steps
from pipelines.cli.errors import sentence
from pipelines.cli.main import app
from pipelines.core.errors import SourceError

BIN = [sys.executable, "-c", "from pipelines.cli.main import main; main()"]


def leadwise(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BIN, *words], env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ingest", "--tenant", "demmo"], "there is no tenant 'demmo' in"),
        (["ingest", "--tenant", "demmo"], "did you mean 'demo'?"),
        (["train", "--target", "conversoin"], "did you mean 'conversion'?"),
        (["score", "--date", "2026-02-30"], "'2026-02-30' is not a day"),
        (["features", "--from", "2026-03-02", "--to", "2026-03-02"], "is empty"),
        (["simulate", "--tenant", "bank"], "has no 'simulate' section"),
        (["ingest", "--tenant", "bank"], "bank-full.csv"),
        (["score"], "leadwise"),
        (["serve"], "no champion"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_exit_1(
    words: list[str], told: str, var: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEADWISE_DATA", str(tmp_path / "nothing"))
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert result.stdout == ""
    last = result.stderr.strip().splitlines()[-1]
    assert told in last
    assert "Traceback" not in result.stderr


def test_a_misspelt_parameter_is_told_with_the_nearest_right_one(var: Path, tmp_path: Path) -> None:
    from tests.conftest import write_params

    params = write_params(tmp_path / "params.yaml", {"monitor": {"sample_row": 5}})
    done = leadwise("status", LEADWISE_PARAMS=str(params))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "did you mean 'sample_rows'?" in done.stderr


@pytest.mark.parametrize(
    "words", [["ingset"], ["ingest", "--datum", "x"], ["simulate", "--leads", "none"], ["run", "x"]]
)
def test_wrong_usage_exits_with_2(words: list[str]) -> None:
    assert CliRunner().invoke(app, words).exit_code == 2


def test_a_day_and_a_range_together_are_wrong_usage(var: Path) -> None:
    assert CliRunner().invoke(app, ["ingest", "--date", "2026-01-01", "--to", "2026-01-03"]).exit_code == 2


def test_a_wrong_setting_is_told_by_its_variable() -> None:
    done = leadwise("status", LEADWISE_THREADS="many")
    assert done.returncode == 1
    assert done.stderr.startswith("the environment variable LEADWISE_THREADS is 'many'")


def test_a_folder_that_can_not_be_written_is_one_sentence() -> None:
    done = leadwise("simulate", "--leads", "10", "--days", "2", LEADWISE_VAR="/proc/leadwise")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "/proc/leadwise" in done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EACCES])
def test_trouble_with_the_disk_names_the_place_and_the_way_out(number: int) -> None:
    told = sentence(OSError(number, os.strerror(number), "/data/table.parquet"))
    assert told is not None
    assert "/data/table.parquet" in told
    assert "LEADWISE_VAR" in told


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def test_sqlite_on_a_full_disk_is_told_through_other_libraries() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    assert "the disk is full" in (sentence(caused(RuntimeError("commit failed"), full)) or "")


def test_an_error_nobody_foresaw_says_how_to_see_more(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(steps.STEPS, "ingest", "json")
    result = CliRunner().invoke(app, ["ingest"])
    assert result.exit_code == 1
    assert "LEADWISE_DEBUG=1" in result.stderr
    assert "Traceback" not in result.stderr
    monkeypatch.setenv("LEADWISE_DEBUG", "1")
    assert "Traceback" in CliRunner().invoke(app, ["ingest"]).stderr


def test_the_reason_is_found_behind_other_errors() -> None:
    reason = SourceError("there is no file x: put it there")
    assert sentence(caused(RuntimeError("wrapped"), reason)) == str(reason)


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "LEADWISE_VAR": str(tmp_path)}
    command = [*BIN, "simulate", "--leads", "200000", "--days", "300"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 60
        while not (tmp_path / "demo" / "locks").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)
    assert running.returncode == 130
    assert told.startswith("Interrupted")
    assert told.count("\n") == 1
    assert list((tmp_path / "demo").glob("source/[a-z]*/*.parquet")) == []
