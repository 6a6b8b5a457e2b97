"""The commands: how fast they start, what they explain, what they hand to the steps and print."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pipelines.cli import options, show, steps
from pipelines.cli.main import app
from pipelines.core.errors import ConfigError
from pipelines.core.interval import Interval, parse_day
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant

COMMANDS = {
    "airflow", "approve", "compare", "doctor", "experiments", "expire", "explain", "features", "forget", "history",
    "ingest", "init", "keys", "market", "monitor", "parity", "plan", "promote", "reference", "reject", "replay",
    "reproduce", "rollback", "run", "score", "serve", "services", "simulate", "sql", "status", "train", "tune",
    "up", "validate",
}  # fmt: skip
OF_ALL_TENANTS = {"reference", "up", "services"}


def days(start: str, end: str) -> Interval:
    return Interval.of_days(parse_day(start), parse_day(end))


def test_the_command_line_starts_at_once() -> None:
    heavy = ("pydantic", "pandas", "pyarrow", "airflow", "mlflow", "duckdb", "rich.table")
    code = f"import sys, pipelines.cli.main; print([m for m in {heavy!r} if m in sys.modules])"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - began < 5  # a busy machine; 0.25 s on an idle one


def test_every_command_explains_itself_with_an_example() -> None:
    told = CliRunner().invoke(app, ["--help"], terminal_width=200).stdout
    assert set(re.findall(r"^│ ([a-z]+) ", told, re.MULTILINE)) == COMMANDS
    for name in COMMANDS - {"airflow"}:  # whose help is Airflow's own
        result = CliRunner().invoke(app, [name, "--help"])
        assert result.exit_code == 0
        assert f"leadwise {name}" in result.stdout.partition("Usage")[2].partition("\n")[2]
        assert ("--tenant" in result.stdout) == (name not in OF_ALL_TENANTS), name


@pytest.mark.parametrize(
    ("date", "start", "end", "expected"),
    [
        ("2026-03-01", None, None, ("2026-03-01", "2026-03-02")),
        (None, "2026-03-01", "2026-03-08", ("2026-03-01", "2026-03-08")),
        (None, None, None, ("2026-01-01", "2026-04-01")),
        (None, "2026-03-01", None, ("2026-03-01", "2026-04-01")),
        (None, None, "2026-01-15", ("2026-01-01", "2026-01-15")),
    ],
)
def test_days_of_a_command(
    date: str | None, start: str | None, end: str | None, expected: tuple[str, str], make_tenant: Any
) -> None:
    assert options.days(make_tenant(), date, start, end) == days(*expected)


def test_days_refuse_what_is_unclear(make_tenant: Any) -> None:
    with pytest.raises(typer.BadParameter):
        options.days(make_tenant(), "2026-03-01", "2026-03-01", None)
    with pytest.raises(ConfigError):
        options.days(make_tenant(), None, "2026-03-02", "2026-03-01")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Tenant, Interval, dict[str, Any]]]:
    """Every step replaced by one that notes what it was given: what is tested is the way from words to arguments."""
    calls: list[tuple[str, Tenant, Interval, dict[str, Any]]] = []

    def step(name: str) -> Any:
        def record(tenant: Tenant, interval: Interval, **given: Any) -> Report:
            calls.append((name, tenant, interval, given))
            return Report(name, tenant.name, interval, {"rows": 1234, "share": 0.25}, ["done"], [{"model": "mean"}])

        return record

    module = ModuleType("recorded_steps")
    for name in steps.STEPS:
        setattr(module, name, step(name))
    monkeypatch.setitem(sys.modules, "recorded_steps", module)
    monkeypatch.setattr(steps, "STEPS", dict.fromkeys(steps.STEPS, "recorded_steps"))
    return calls


@pytest.mark.parametrize("name", sorted(steps.STEPS))
def test_each_step_command_calls_its_step_and_prints_its_report_as_json(
    name: str, recorded: list[Any], var: Path
) -> None:
    result = CliRunner().invoke(app, [name, "--tenant", "demo", "--date", "2026-03-01", "--json"])
    assert result.exit_code == 0
    [(called, tenant, interval, _)] = recorded
    assert (called, tenant.name, interval) == (name, "demo", days("2026-03-01", "2026-03-02"))
    assert json.loads(result.stdout) == {
        "step": name,
        "tenant": "demo",
        "interval": {"from": "2026-03-01", "to": "2026-03-02"},
        "counts": {"rows": 1234, "share": 0.25},
        "notes": ["done"],
        "details": [{"model": "mean"}],
        "links": {},
    }


def test_options_reach_the_steps(recorded: list[Any], var: Path) -> None:
    for words in (["train", "--target", "conversion"], ["promote"], ["score", "--with-phone"], ["score"]):
        assert CliRunner().invoke(app, words).exit_code == 0
    assert [given for *_, given in recorded] == [
        {"target": "conversion"},
        {"target": None},
        {"target": None, "with_phone": True},
        {"target": None, "with_phone": False},
    ]


def test_a_report_for_a_person_shows_counts_details_and_notes(recorded: list[Any], var: Path) -> None:
    told = CliRunner().invoke(app, ["train", "--date", "2026-03-01"]).stdout
    for words in ("train", "demo", "2026-03-01", "1,234", "0.2500", "mean", "• done"):
        assert words in told


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (True, "yes"),
        (1234567, "1,234,567"),
        (0.123456, "0.1235"),
        (12345.6, "12,346"),
        ({"A": 1, "B": 0.5}, "A 1, B 0.5000"),
        (["x", "y"], "x, y"),
        ("text", "text"),
    ],
)
def test_figures_are_readable(value: Any, shown: str) -> None:
    assert show.figure(value) == shown
