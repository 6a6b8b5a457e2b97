"""`leadwise sql` on the terminal: what it prints, writes, refuses, and that Ctrl-C stops it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from pipelines.cli.main import app
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake

TIERS = "SELECT tier, count(*) AS n FROM deliver.scores GROUP BY tier ORDER BY tier"


def ask(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["sql", *arguments], input=stdin)


def test_a_table_for_a_person(demo: Tenant) -> None:
    everything = Lake(demo).count("deliver.scores")
    done = ask("SELECT entity_id FROM deliver.scores ORDER BY 1", "--limit", "5")
    assert done.exit_code == 0
    assert f"… and {everything - 5:,} rows more" in done.stdout
    assert f"{everything:,} rows, as of 2026-03-02 00:00 UTC" in done.stdout
    shown = [line.strip() for line in done.stdout.splitlines() if re.fullmatch(r"\s*[0-9a-f]{24}\s*", line)]
    assert shown == sorted(Lake(demo).read("deliver.scores")["entity_id"].to_pylist())[:5]
    assert "more" not in ask(TIERS).stdout


def test_without_a_query_it_lists_the_tables(demo: Tenant) -> None:
    told = json.loads(ask("--json").stdout)
    by_name = {row["table"]: row for row in told}
    assert by_name["features.lead"]["rows"] == Lake(demo).count("features.lead")
    assert by_name["deliver.scores"]["columns"]["probability"] == "double"
    assert not [name for name in by_name if name.startswith(("raw", "identity"))]
    early = {row["table"]: row["rows"] for row in json.loads(ask("--tables", "--as-of", "2026-01-10", "--json").stdout)}
    assert 0 < early["messages"] < by_name["messages"]["rows"]
    plain = ask()
    assert plain.exit_code == 0
    assert "deliver.scores" in plain.stdout


def test_csv_parquet_json_and_stdin_agree(demo: Tenant, tmp_path: Path) -> None:
    expected = json.loads(ask(TIERS, "--json").stdout)
    assert [row["tier"] for row in expected] == ["A", "B", "C", "D"]
    assert json.loads(ask("-", "--json", stdin=TIERS + ";\n").stdout) == expected
    assert ask(TIERS, "--csv", str(tmp_path / "t.csv")).exit_code == 0
    assert pc.read_csv(tmp_path / "t.csv").to_pylist() == expected
    assert ask(TIERS, "--csv", "-").stdout == (tmp_path / "t.csv").read_text(encoding="utf-8")
    assert ask(TIERS, "--parquet", str(tmp_path / "t.parquet")).exit_code == 0
    assert pq.read_table(tmp_path / "t.parquet").to_pylist() == expected
    assert json.loads(ask(TIERS, "--as-of", "2026-01-01", "--json").stdout) == []


def test_what_json_and_csv_cannot_hold(demo: Tenant) -> None:
    query = "SELECT 'nan'::DOUBLE AS x, [1, 2] AS l, {'a': DATE '2026-01-01'} AS s, TIMESTAMP '2026-01-01' AS t"
    assert json.loads(ask(query, "--json").stdout) == [
        {"x": None, "l": [1, 2], "s": {"a": "2026-01-01"}, "t": "2026-01-01T00:00:00"}
    ]
    assert '"[1, 2]","{""a"": ""2026-01-01""}"' in ask(query, "--csv", "-").stdout


def test_columns_of_one_name_are_told_apart(demo: Tenant, tmp_path: Path) -> None:
    query = "SELECT 1 AS a, 2 AS a, sum(3) AS s, 1.5 AS d"
    expected = [{"a": 1, "a_1": 2, "s": 3, "d": 1.5}]
    assert json.loads(ask(query, "--json").stdout) == expected
    assert ask(query).exit_code == 0
    assert ask(query, "--csv", str(tmp_path / "t.csv")).exit_code == 0
    assert pc.read_csv(tmp_path / "t.csv").to_pylist() == expected
    assert ask(query, "--parquet", str(tmp_path / "t.parquet")).exit_code == 0
    assert pq.read_table(tmp_path / "t.parquet").to_pylist() == expected


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["DROP TABLE leads"], 1, "DROP is not allowed"),
        (["SELECT * FROM leeds"], 1, "did you mean 'leads'?"),
        (["SELECT 1", "--as-of", "soon"], 1, "'soon' is neither a day nor an instant"),
        (["SELECT 1", "--parquet", "/nowhere/x.parquet"], 1, "there is no folder /nowhere"),
        (["SELECT 1", "--csv", ""], 1, "--csv has an empty name"),
        (["SELECT 1", "--parquet", ""], 1, "--parquet has an empty name"),
        (["SELECT 1", "--csv", "/"], 1, "--csv names the folder /"),
        (["SELECT 1", "--parquet", "/proc/x.parquet"], 1, "/proc/x.parquet can't be written"),
        (["SELECT 1", "--as-of", "0001-01-01T00:00:00+14:00"], 1, "outside the years"),
        (["SELECT 1", "--json", "--csv", "-"], 2, "give one of"),
        (["SELECT 1", "--tenant", "demos"], 1, "no tenant 'demos'"),
    ],
)
def test_refusals(demo: Tenant, arguments: list[str], code: int, sentence: str) -> None:
    done = ask(*arguments)
    assert done.exit_code == code
    assert sentence in " ".join(done.output.replace("│", " ").split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        "SELECT sum(a.range * b.range) FROM range(100000000) a, range(10000000) b",
        "SELECT a.* FROM messages a, messages b, messages c",
    ],
)
def test_ctrl_c_stops_a_query(demo: Tenant, tmp_path: Path, query: str) -> None:
    file = tmp_path / "all.csv"
    start = "from pipelines.cli.main import main; main()"
    command = [sys.executable, "-c", start, "sql", query, "--csv", str(file)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ)
    time.sleep(6)
    assert process.poll() is None, "the query is long enough to be stopped"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert told.startswith("Interrupted")
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []
