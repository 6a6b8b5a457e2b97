"""What `init` writes runs: every shape of files goes from the source to a scored audience, and sees no future."""

import gzip
import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.collect.ingest import ingest
from pipelines.core.settings import Settings
from pipelines.core.tenant import Tenant
from pipelines.deliver.score import score
from pipelines.features.step import features
from pipelines.init import Made
from pipelines.lake.catalog import Lake
from pipelines.promotion.promote import promote
from pipelines.quality.validate import validate
from pipelines.train.step import train
from tests.conftest import BANK_FILE
from tests.gates import eased
from tests.pipelines.init.conftest import Start, contacts, write

pytestmark = pytest.mark.slow
DATED = BANK_FILE.with_name("bank-full-dated.csv")


def walk(project: Settings, made: Made, quick: bool = True) -> dict[str, Any]:
    """All steps over the whole run; returns the counts of the last."""
    data = yaml.safe_load(project.params.read_text(encoding="utf-8"))
    data["promotion"]["gate"] = eased(data["promotion"]["gate"])
    if quick:
        data["train"]["lightgbm"]["num_boost_round"] = data["train"]["xgboost"]["num_boost_round"] = 20
    project.params.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    tenant = Tenant.load(made.tenant)
    report = None
    for step in (ingest, validate, features, train, promote, score):
        report = step(tenant, tenant.whole_run)
    assert report is not None
    return report.counts


def table(name: str, tenant: str) -> list[dict[str, Any]]:
    """Rows of a table of the lake."""
    return Lake(Tenant.load(tenant)).scan(name).read_all().to_pylist()


def orders(people: int, seed: int = 4) -> list[dict[str, Any]]:
    """Orders over 60 days; the higher the number of a client, the more."""
    draw = random.Random(seed)
    found = []
    for _ in range(people * 3):
        when = datetime(2026, 1, 1) + timedelta(seconds=draw.randint(0, 60 * 86_400))
        person = max(draw.randint(0, people - 1), draw.randint(0, people - 1))
        amount = f"{draw.uniform(5, 90):.2f}"
        found.append({"client_id": person + 1000, "ordered_at": when.isoformat(), "amount": amount})
    return found


def test_one_row_each_with_an_outcome_in_it(project: Settings, start: Start, tmp_path: Path) -> None:
    made = start("club", write(tmp_path / "contacts.csv", contacts(), delimiter=";"))
    counts = walk(project, made)
    assert counts["audience"] == counts["candidates"] > 300
    assert len(table("clean.contacts", "club")) == 600


def test_several_rows_each_with_an_outcome_in_them(project: Settings, start: Start, tmp_path: Path) -> None:
    rows = contacts(people=150, each=4)
    made = start("club", write(tmp_path / "contacts.csv", rows), entity="client_id")
    counts = walk(project, made)
    assert counts["candidates"] == 150

    seen = {(row["client_id"], row["as_of"]): row for row in table("features.contacts", "club")}
    assert seen
    for (client, as_of), row in seen.items():
        mine = [one for one in rows if str(one["client_id"]) == client]
        days = [datetime.fromisoformat(one["contacted_at"]).replace(hour=0, minute=0, second=0) for one in mine]
        assert row["contacts_30d"] == sum(as_of - timedelta(days=30) < day <= as_of for day in days)
        known = [
            one["bought"] == "yes" and day + timedelta(days=7) <= as_of for one, day in zip(mine, days, strict=True)
        ]
        within = [as_of - timedelta(days=30) < day <= as_of for day in days]
        assert row["bought_known_30d"] == sum(k and w for k, w in zip(known, within, strict=True))


def test_the_outcome_is_a_row_of_a_second_file(project: Settings, start: Start, tmp_path: Path) -> None:
    people = [
        {
            "client_id": 1000 + n,
            "phone": f"+52551234{n:04d}",
            "joined_on": "2026-01-01",
            "city": "León" if n % 2 else "CDMX",
        }
        for n in range(300)
    ]
    bought = orders(300)
    clients = write(tmp_path / "clients.csv", people)
    second = tmp_path / "orders.jsonl"
    second.write_text("".join(json.dumps(one) + "\n" for one in bought), encoding="utf-8")

    made = start("shop", clients, second, label="orders")
    counts = walk(project, made)

    assert counts["candidates"] == 300
    contract = yaml.safe_load((project.expectations / "shop" / "clients.yaml").read_text(encoding="utf-8"))
    phone = next(one for one in contract["schema"][0]["properties"] if one["name"] == "phone")
    assert phone["classification"] == "restricted"
    assert {"property": "phone", "value": True} in phone["customProperties"]
    assert "phone" not in table("clean.clients", "shop")[0]
    for row in table("features.orders", "shop")[:500]:
        mine = [one for one in bought if str(one["client_id"]) == row["client_id"]]
        times = [datetime.fromisoformat(one["ordered_at"]) for one in mine]
        begins = row["as_of"] - timedelta(days=30)
        within = [one for one, when in zip(mine, times, strict=True) if begins < when <= row["as_of"]]
        assert row["orders_30d"] == len(within)
        assert row["orders_amount_30d"] == pytest.approx(sum(float(one["amount"]) for one in within))


def test_phones_are_whom_and_times_are_american(project: Settings, start: Start, tmp_path: Path) -> None:
    rows = [
        {
            "Phone Number": f"+52551234{n:04d}",
            "Sent At": (datetime(2026, 1, 1) + timedelta(hours=n * 3)).strftime("%m/%d/%Y %H:%M"),
            "Offer": "B" if (n % 3 == 0) != (n % 5 == 0) else "A",  # tells something, and not all
            "Consent": "yes" if n % 10 else "no",
            "Converted": "won" if n % 3 == 0 or n % 7 == 0 else "lost",
        }
        for n in range(500)
    ]
    made = start("offers", write(tmp_path / "My Offers.csv", rows))
    counts = walk(project, made)
    assert counts["no_consent"] > 0
    clean = table("clean.my_offers", "offers")
    assert len(clean) == 500
    assert min(row["sent_at"] for row in clean) == datetime(2026, 1, 1)
    assert not any("+52" in str(value) for row in clean for value in row.values())


def test_parquet_with_a_packed_file_without_times(project: Settings, start: Start, tmp_path: Path) -> None:
    rows = contacts(people=150, each=4)
    times = [datetime.fromisoformat(row["contacted_at"]) for row in rows]
    data = {name: [row[name] for row in rows] for name in rows[0] if name != "contacted_at"}
    main = tmp_path / "contacts.parquet"
    pq.write_table(pa.table({**data, "contacted_at": times}), main)
    other = tmp_path / "clients.csv.gz"
    with gzip.open(other, "wt", encoding="utf-8") as handle:
        handle.write("client_id,tariff\n" + "".join(f"{1000 + n},{'AB'[n % 2]}\n" for n in range(150)))

    made = start("club", main, other, entity="client_id", label="bought")
    walk(project, made)

    assert len(table("clean.clients", "club")) == 150
    assert {row["clients_tariff"] for row in table("features.clients", "club")} == {"A", "B"}


def test_the_same_files_give_the_same_texts(project: Settings, start: Start, tmp_path: Path) -> None:
    file = write(tmp_path / "contacts.csv", contacts())

    def texts() -> dict[Path, bytes]:
        rooms = (project.expectations, project.feature_repo)
        return {path: path.read_bytes() for room in rooms for path in room.rglob("*") if path.is_file()} | {
            project.params: project.params.read_bytes()
        }

    before = project.params.read_text(encoding="utf-8")
    start("club", file)
    first = texts()
    assert first[project.params].decode().startswith(before)  # comments and order stay
    start("club", file, force=True)
    assert texts() == first


@pytest.mark.skipif(not DATED.is_file(), reason=f"real data is not at {DATED}")
def test_the_real_bank_file_gets_to_an_audience(project: Settings, start: Start, tmp_path: Path) -> None:
    lines = DATED.read_text(encoding="utf-8").splitlines(keepends=True)
    short = tmp_path / "bank.csv"
    short.write_text("".join([lines[0], *lines[40_000::3]]), encoding="utf-8")
    made = start("calls", short)
    assert any("label: y of bank" in guess for guess in made.guesses)
    assert any("contact_date" in guess for guess in made.guesses)
    counts = walk(project, made)
    assert counts["audience"] == counts["candidates"] > 500
    view = (project.feature_repo / "calls" / "features_bank.sql").read_text(encoding="utf-8")
    assert "    duration" not in view  # known only when the call is over


@pytest.mark.skipif(not BANK_FILE.is_file(), reason=f"real data is not at {BANK_FILE}")
def test_the_real_bank_file_as_it_comes_has_no_time(start: Start) -> None:
    with pytest.raises(Exception, match="no usable time column"):
        start("calls", BANK_FILE)
