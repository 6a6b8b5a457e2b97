"""Personal data on the whole way: phones planted everywhere stay where they may be, and can be forgotten.

All of `var/` is searched, inside of whatever holds anything: `tests/test_leaks.py` proves that the search finds them.
"""

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.core.settings import get_settings
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from tests.conftest import write_params
from tests.gates import EASY
from tests.leaks import Search
from tests.test_whole_way import QUICK, leadwise

pytestmark = pytest.mark.slow

STRANGER = "+525587650123"
"""A phone of nobody who is a lead."""

DAY, REFUSED = "2026-01-20", "2026-01-30"
PARAMS = {
    "train": {**QUICK, "min_rows": 100},
    "promotion": {"gate": EASY},
    "quality": {"max_quarantine_share": 0.9},
    "tenants": {
        "demo": {
            "run": {"start": "2026-01-01", "end": "2026-01-31", "dates": []},
            "simulate": {"leads": 1000, "days": 30, "ahead_days": 0},
        }
    },
}


@dataclass(frozen=True)
class Market:
    """A market that went the whole way, with phones of its leads planted in wrong places."""

    tenant: Tenant
    environment: dict[str, str]
    phones: tuple[str, ...]
    told: str

    def told_by(self, *words: str, code: int = 0) -> str:
        done = leadwise(self.environment, *words)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


def export(tenant: Tenant, table: str, day: str = DAY) -> Path:
    return tenant.source_dir / table / f"{day}.parquet"


EVENT = {"leads": "acquired_at", "messages": "sent_at", "validations": "validated_at"}


def plant(path: Path, cells: list[dict[str, Any]]) -> None:
    """Append copies of a good row with other cells; each value as the column's type has it."""
    table = pq.read_table(path)
    event = EVENT[path.parent.name]
    good = next(
        row
        for row in table.to_pylist()
        if row[event] <= row["received_at"] and str(row["received_at"])[:10] == path.stem and len(row["phone"]) == 13
    )
    rows = [{**good, **change} for change in cells]
    pq.write_table(pa.concat_tables([table, pa.Table.from_pylist(rows, table.schema)]), path)


def planted(tenant: Tenant) -> tuple[str, ...]:
    """Numbers of leads that came before the day, after they were written into all kinds of places on that day."""
    early = [path for path in sorted((tenant.source_dir / "leads").glob("*.parquet")) if path.stem < DAY]
    known = sorted({phone for path in early for phone in pq.read_table(path)["phone"].to_pylist() if len(phone) == 13})
    a, b, c, d, e = phones = tuple(known[:: len(known) // 5][:5])
    national = [phone[3:] for phone in phones]
    spaced = [f"{one[:2]} {one[2:6]}-{one[6:]}" for one in national]
    coded = [base64.b64encode(one.encode()).decode() for one in phones]
    new = iter(f"planted-{number}" for number in range(100))
    plant(
        export(tenant, "leads"),
        [
            {"phone": f"+52 {spaced[0]}"},
            {"phone": b, "carrier": f"Telcel, {spaced[1]}"},
            {"phone": b, "carrier": f"of {STRANGER[3:]}"},
            {"phone": c, "carrier": c},
            {"phone": d, "carrier": coded[3]},
            {"phone": e, "carrier": f"of {coded[0]}!"},
            {"phone": national[0]},
            {"phone": coded[1]},
            {"phone": a, "state": b},
            {"phone": a, "lada": national[2]},
            {"phone": a, "timezone": d},
            {"phone": a, "line_type": f"({e[3:5]}) {e[5:]}"},
        ],
    )
    plant(
        export(tenant, "messages"),
        [
            {"message_id": a},
            {"message_id": next(new), "campaign_id": spaced[1]},
            {"message_id": next(new), "campaign_id": coded[2]},
            {"message_id": next(new), "status": d},
            {"message_id": next(new), "variant": coded[4]},
            {"message_id": next(new), "length": int(national[0])},
            {"message_id": next(new), "cost": float(national[1])},
            {"message_id": next(new), "phone": f"tel {spaced[2]}"},
        ],
    )
    plant(
        export(tenant, "validations"),
        [
            {"validation_id": f"v {spaced[3]}"},
            {"validation_id": coded[0]},
            {"validation_id": next(new), "whatsapp_ms": int(e[1:])},
        ],
    )
    return phones


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    home = tmp_path_factory.mktemp("personal")
    own = {"LEADWISE_VAR": str(home / "var"), "LEADWISE_PARAMS": str(write_params(home / "params.yaml", PARAMS))}
    environment = {**os.environ, **own}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in own.items():
            patch.setenv(variable, value)
        tenant = Tenant.load("demo", get_settings())
        assert leadwise(environment, "simulate").returncode == 0
        phones = planted(tenant)
        done = leadwise(environment, "run", "--json")
        assert done.returncode == 0, done.stderr
        # A batch that is refused as a whole tells its reasons in other places: once more, and it fails.
        path = export(tenant, "messages", REFUSED)
        table = pq.read_table(path)
        wrong = pa.array([phones[number % 5] for number in range(table.num_rows)])
        pq.write_table(table.set_column(table.column_names.index("status"), "status", wrong), path)
        refused = leadwise(environment, "run", "--date", REFUSED)
        assert refused.returncode == 1
        assert "messages" in refused.stderr
        yield Market(tenant, environment, phones, done.stdout + done.stderr + refused.stdout + refused.stderr)


def allowed(market: Market, path: Path) -> bool:
    """Exports of the sources, and the tables that may hold phones."""
    parts = path.relative_to(market.tenant.home).parts if path.is_relative_to(market.tenant.home) else ()
    return parts[:1] == ("source",) or (parts[:1] == ("lake",) and parts[1] in ("identity", "raw", "quarantine"))


def found(market: Market, *phones: str) -> dict[Path, set[str]]:
    """Files under `var/` with one of the numbers, and the containers it stood in."""
    search = Search([("52", phone.removeprefix("+52")) for phone in phones])
    places: dict[Path, set[str]] = {}
    for hit in search.folder(market.tenant.settings.var):
        places.setdefault(hit.path, set()).add(hit.inside[-1] if hit.inside else "file")
    return places


def test_phones_stand_where_they_may_and_nowhere_else(market: Market) -> None:
    places = found(market, *market.phones)
    assert [path for path in places if not allowed(market, path)] == []
    spaces = {path.relative_to(market.tenant.lake_dir).parts[0] for path in places if "lake" in path.parts}
    assert spaces == {"identity", "raw", "quarantine"}
    assert {"parquet", "statistics", "avro"} <= set().union(*places.values())


def test_a_strangers_number_without_its_plus_is_kept_out_of_a_free_text(market: Market) -> None:
    """Nobody knows it, and digits may be an id: the contract says what may stand there."""
    places = found(market, STRANGER)
    assert [path for path in places if not allowed(market, path)] == []
    rows = Lake(market.tenant).read("quarantine.leads", where="rule = 'pattern'").to_pylist()
    assert [row["column"] for row in rows if STRANGER[3:] in str(row)] == ["carrier"]


def test_nothing_was_told_on_the_terminal(market: Market) -> None:
    assert Search([("52", phone.removeprefix("+52")) for phone in market.phones])._in(market.told.encode()) == set()


def test_var_holds_all_the_places_that_were_searched(market: Market) -> None:
    """A search in the wrong folder finds nothing either."""
    var = market.tenant.settings.var
    for place in ("airflow/airflow.db", "mlflow/mlflow.db", "demo/catalog.db", "demo/feast/online.db"):
        assert (var / place).is_file()
    for pattern in (
        "airflow/logs/**/*.log", "mlflow/artifacts/**/*.parquet", "demo/data_docs/**/*.html",
        "demo/reports/**/*.html", "demo/audience/**/*.csv", "demo/lake/clean/**/*.avro",
    ):  # fmt: skip
        assert list(var.glob(pattern)), pattern


def test_every_planted_row_that_was_bad_is_in_quarantine(market: Market) -> None:
    lake = Lake(market.tenant)
    rules = {
        table: set(lake.read(f"quarantine.{table}", where=f"_batch_id = '{DAY}'")["rule"].to_pylist())
        for table in ("leads", "messages", "validations")
    }
    assert "pattern" in rules.pop("leads"), "its free text takes no digits at all"
    assert all("personal" in told for told in rules.values()), rules


def test_a_lead_is_forgotten_to_the_last_byte_and_the_champion_misses_its_rows(market: Market) -> None:
    before = json.loads(market.told_by("reproduce", "champion", "--json"))
    assert before["same_rows"]
    assert before["same_predictions"]
    market.told_by("expire")
    assert json.loads(market.told_by("reproduce", "champion", "--json"))["same_predictions"]

    gone, stays = market.phones[0], market.phones[1]
    table = Lake(market.tenant).read("identity.identities").to_pylist()
    lead = next(row["lead_id"] for row in table if row["phone"] == gone)
    held = [path for path in found(market, gone) if "source" not in path.parts]
    assert held
    report = json.loads(market.told_by("forget", "--lead", lead, "--yes", "--json"))
    assert report["counts"]["leads"] == 1
    assert [path for path in found(market, gone) if "source" not in path.parts] == []
    assert [path for path in found(market, stays) if "source" not in path.parts]

    after = json.loads(market.told_by("reproduce", "champion", "--json"))
    assert after["rows"] == before["rows"]
    assert after["rows_gone"] > 0
    assert after["rows_added"] == 0
    assert f"{after['rows_gone']} of {after['rows']} rows are gone" in after["differences"][0]
    assert "had been forgotten already" in market.told_by("forget", "--lead", lead, "--yes")
