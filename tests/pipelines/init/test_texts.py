"""What is written says what the rows hold: awkward headers and values pass the very contract made of them."""

import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from expectations.contract import load_contracts
from pipelines.cli.main import app
from pipelines.collect.ingest import ingest
from pipelines.core.params import load_params
from pipelines.core.settings import Settings
from pipelines.core.tenant import Tenant
from pipelines.init import tenants
from pipelines.quality.validate import validate
from tests.pipelines.init.conftest import Start, contacts, write

AWKWARD = ["yes: no", "# none", "it's", 'say "so"', "null", "ñandú", "a,b", "{x}", "1.0.0", "- x", "%d"]


def awkward(rows: int = 400) -> list[dict[str, Any]]:
    """Rows whose headers are keywords, reserved names or no names at all."""
    draw = random.Random(9)
    return [
        {
            "ID": f"{n:05d}",
            "select": draw.choice(AWKWARD),
            "Año de alta": draw.choice(["2024", "2025", "NA"]),
            "event_time": draw.randint(-5, 5),
            "label": "won" if draw.random() < 0.3 else "lost",
            "{x}": f" {draw.random()} ",
            "order by": draw.choice(["x ", " y", ""]),
            "2nd%": draw.choice(["0", "1"]),
            "When": (datetime(2026, 1, 1) + timedelta(hours=3 * n)).strftime("%d.%m.%Y %H:%M"),
            "when_": "" if n % 3 else "2026-01-01",
            "Unsubscribed": "yes" if n % 50 == 0 else "no",
            "tz": draw.choice(["Europe/Madrid", "America/Lima"]),
            "nothing": "",
        }
        for n in range(rows)
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_row_passes_the_contract_made_of_it(
    delimiter: str, project: Settings, start: Start, tmp_path: Path
) -> None:
    made = start("odd", write(tmp_path / "Órdenes (2026) [a]{b}.csv", awkward(), delimiter))
    tenant = Tenant.load(made.tenant)
    ingest(tenant, tenant.whole_run)
    counts = validate(tenant, tenant.whole_run).counts
    assert counts["rows"] == 400
    assert counts["quarantined"] == 0

    columns = load_contracts(tenant.contracts_dir)["ordenes_2026_a_b"].by_name
    assert columns["id"].key
    assert set(columns["select"].allowed or ()) == set(AWKWARD)
    assert columns["ano_de_alta"].type == "integer"
    assert not columns["ano_de_alta"].required
    assert columns["event_time_value"].minimum == -(10**2)
    assert columns["x"].type == "number"
    assert columns["when"].event_time
    assert columns["unsubscribed"].opt_out == "yes"
    assert columns["tz"].timezone
    assert columns["label_value"].known_after == timedelta(days=6)  # an eighth of the 50 days
    assert columns["nothing"].type == "string"


PARAMS = """# science
quality: {max_quarantine_share: 0.2} # kept
tenants: # people
  one: # first
    use_case: a
    # inside one

  # above two
  two:
    use_case: b
# at the end
score: {}
"""


def test_a_tenant_is_put_in_as_text(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS, encoding="utf-8")
    lines = "  new: # made\n    use_case: c\n"

    added = tenants.with_tenant(path, "new", lines)
    above, below = PARAMS.split("# at the end")
    wanted = [*above.splitlines(), *lines.splitlines(), "# at the end", *below.splitlines()]
    assert [line for line in added.splitlines() if line] == [line for line in wanted if line]
    assert list(yaml.safe_load(added)["tenants"]) == ["one", "two", "new"]
    path.write_text(added, encoding="utf-8")
    assert tenants.with_tenant(path, "new", lines) == added

    replaced = tenants.with_tenant(path, "one", "  one:\n    use_case: other\n")
    assert yaml.safe_load(replaced)["tenants"]["one"] == {"use_case": "other"}
    assert "  # above two\n  two:" in replaced


def test_the_run_has_quoted_days_that_fit_the_rows(project: Settings, start: Start, tmp_path: Path) -> None:
    start("club", write(tmp_path / "contacts.csv", contacts()))
    run = load_params(project.params)["club"].run
    assert str(run.start) == "2026-01-01"
    assert run.start < run.dates[0] < run.end
    assert f'start: "{run.start}"' in project.params.read_text(encoding="utf-8")


def test_the_command_tells_what_it_made_and_what_comes_next(project: Settings, tmp_path: Path) -> None:
    file = str(write(tmp_path / "contacts.csv", contacts(60)))
    told = CliRunner().invoke(app, ["init", "club", "--from", file])
    assert told.exit_code == 0, told.output
    assert "leadwise run --tenant club" in told.output
    assert "bought of contacts" in told.output

    again = CliRunner().invoke(app, ["init", "club", "--from", file, "--tenant", "other", "--force", "--json"])
    made = json.loads(again.stdout)
    assert made["tenant"] == "other"
    assert made["tables"] == {"contacts": 60}
    assert set(load_params(project.params)) >= {"club", "other", "demo"}
