"""The file collector: formats, batches, order, and sources that are not what they should be."""

import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.collect.ingest import ingest
from pipelines.core.errors import ConfigError, LeadwiseError, SourceError
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from tests.conftest import MakeTenant

CONTRACT = """
kind: DataContract
apiVersion: v3.2.0
id: market
version: 1.0.0
status: active
schema:
  - name: market
    properties:
      - {name: place, logicalType: string, primaryKey: true}
      - {name: n, logicalType: integer}
"""
DAY = date(2026, 3, 1)
Make = Callable[..., Tenant]


@pytest.fixture
def make(make_tenant: MakeTenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A tenant with one source `market` at the given path."""

    def tenant(path: str, more: dict[str, Any] | None = None, **source: Any) -> Tenant:
        from pipelines.core.params import _merge

        def only_market(base: Any, change: Any) -> Any:
            merged = _merge(base, change)
            merged["tenants"]["demo"]["sources"] = change["tenants"]["demo"]["sources"]
            return merged

        monkeypatch.setattr("tests.conftest._merge", only_market)
        sources = {"market": {"path": path, **source}, **(more or {})}
        params = {"quality": {"batch_rows": 1000}, "tenants": {"demo": {"use_case": "tiny", "sources": sources}}}
        made = make_tenant(params=params, contracts={"market.yaml": CONTRACT}, sql={"readme.txt": ""})
        made.home.mkdir(parents=True, exist_ok=True)
        return made

    return tenant


def load(tenant: Tenant, day: date = DAY) -> list[dict[str, Any]]:
    ingest(tenant, Interval.day(day))
    rows = Lake(tenant).read("raw.market").to_pylist()
    return sorted(rows, key=lambda row: (row["_batch_id"], row["_source_file"], row["_source_row"]))


def test_csv_and_json_stay_text(make: Make) -> None:
    tenant = make("{home}/m.csv", delimiter=";")
    (tenant.home / "m.csv").write_text('place;n\n"a;b";007\nc;\n', encoding="utf-8")
    rows = load(tenant)
    assert [(row["place"], row["n"]) for row in rows] == [("a;b", "007"), ("c", None)]
    assert [row["_source_row"] for row in rows] == [1, 2]
    assert rows[0]["_batch_id"] == "bulk"
    assert rows[0]["_interval_end"] == datetime(2026, 3, 2)


@pytest.mark.parametrize("ending", ["jsonl", "ndjson"])
def test_json_lines_keep_every_key(make: Make, ending: str) -> None:
    tenant = make("{home}/m." + ending)
    lines = [{"place": "a", "n": 1}, {"place": "b", "o": {"x": [1]}}]
    (tenant.home / f"m.{ending}").write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    assert [(row["place"], row["n"], row["o"]) for row in load(tenant)] == [("a", "1", None), ("b", None, '{"x":[1]}')]


def test_parquet_keeps_types_and_order_over_batches(make: Make) -> None:
    tenant = make("{home}/in/*.parquet")
    (tenant.home / "in").mkdir()
    for part in (0, 1):
        table = pa.table({"place": [f"p{i}" for i in range(5000)], "n": pa.array(range(5000), pa.int32())})
        pq.write_table(table, tenant.home / "in" / f"{part}.parquet")
    rows = load(tenant)
    assert [row["n"] for row in rows] == [*range(5000), *range(5000)]
    assert [row["_source_row"] for row in rows] == [*range(1, 5001), *range(1, 5001)]


def test_again_replaces_and_other_days_stay(make: Make) -> None:
    tenant = make("{home}/{date}.csv")
    for day, n in (("2026-03-01", 1), ("2026-03-02", 2), ("2026-03-01", 3)):
        (tenant.home / f"{day}.csv").write_text(f"place,n\na,{n}\n", encoding="utf-8")
        rows = load(tenant, date.fromisoformat(day))
    assert [(row["_batch_id"], row["n"]) for row in rows] == [("2026-03-01", "3"), ("2026-03-02", "2")]
    assert len(load(tenant)) == 2


def test_numbers_with_gaps_fit_whole_numbers(make: Make) -> None:
    tenant = make("{home}/{date}.parquet")
    for day, n in (("2026-03-01", pa.array([1, 2])), ("2026-03-02", pa.array([1.0, None]))):
        pq.write_table(pa.table({"place": ["a", "b"], "n": n}), tenant.home / f"{day}.parquet")
        rows = load(tenant, date.fromisoformat(day))
    assert [row["n"] for row in rows] == [1, 2, 1, None]


def _parquet(n: pa.Array) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table({"place": ["a"] * len(n), "n": n}), path)


def _text(text: str | bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(text.encode() if isinstance(text, str) else text) and None


@pytest.mark.parametrize(
    ("file", "write", "says"),
    [
        ("2026-03-01.csv", None, "no file .*2026-03-01.csv.*put it there"),
        ("2026-03-01.csv", _text(""), "is empty"),
        ("2026-03-01.csv", _text("place,n\n"), "holds no rows"),
        ("2026-03-01.csv", _text('place,n\na,1\n"b,2\nc,3,4,5\n'), "can't be read as csv"),
        ("2026-03-01.parquet", _text("place,n\na,1\n"), "can't be read as parquet"),
        ("2026-03-01.parquet", _text(b"PAR1" + bytes(50)), "can't be read as parquet"),
        ("2026-03-01.parquet", _parquet(pa.array([], pa.int64())), "holds no rows"),
        ("2026-03-01.jsonl", _text("{not json\n"), "can't be read as json"),
        ("2026-03-01.xlsx", _text("x"), "name files .csv, .parquet"),
        ("2026-03-01.csv", _text("place,_batch_id\na,1\n"), "begins with _"),
    ],
)
def test_bad_source_is_one_sentence(make: Make, file: str, write: Callable[[Path], None] | None, says: str) -> None:
    tenant = make("{home}/{date}" + Path(file).suffix)
    if write is not None:
        write(tenant.home / file)
    with pytest.raises(LeadwiseError, match=says) as caught:
        load(tenant)
    assert "\n" not in str(caught.value)
    assert "market" in str(caught.value)
    assert Lake(tenant).count("raw.market") == 0, "nothing half-written"


def test_type_that_changes_is_refused_until_nothing_binds_it(make: Make) -> None:
    tenant = make("{home}/{date}.parquet")
    _parquet(pa.array(["x"]))(tenant.home / "2026-03-01.parquet")
    load(tenant)
    _parquet(pa.array([1]))(tenant.home / "2026-03-02.parquet")
    with pytest.raises(SourceError, match="'n' holds whole numbers, and text in what was read before"):
        load(tenant, date(2026, 3, 2))
    _parquet(pa.array([1]))(tenant.home / "2026-03-01.parquet")  # the wrong day is exported again
    assert [row["n"] for row in load(tenant)] == [1]


def test_missing_everywhere_and_sparse_days(make: Make) -> None:
    tenant = make("{home}/{date}.csv", sparse=True)
    with pytest.raises(SourceError, match=r"for any day.*leadwise simulate"):
        load(tenant)
    (tenant.home / "2026-03-09.csv").write_text("place,n\na,1\n", encoding="utf-8")
    assert ingest(tenant, Interval.day(DAY)).counts == {"market": 0}


def test_source_that_feeds_nothing_is_a_misspelt_one(make: Make) -> None:
    tenant = make("{home}/m.csv", more={"markt": {"path": "{home}/m.csv"}})
    (tenant.home / "m.csv").write_text("place,n\na,1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"'markt'.*did you mean 'market'"):
        load(tenant)


@pytest.mark.parametrize(
    ("text", "first"),
    [("place,n\n", "1"), ("place,n\n" + "a,1\n" * 100_000 + "a,1,2,3\n", "2")],
    ids=["no row: nothing is written", "breaks late: what stands before is read and noted"],
)
def test_rows_and_notes_agree_when_a_later_source_breaks(make: Make, text: str, first: str) -> None:
    tenant = make("{home}/m.csv", more={"other": {"path": "{home}/o.csv"}})
    sql = "-- table: market\nselect place, n from market union all select place, n from other\n"
    (tenant.sql_dir / "mapping.sql").write_text(sql, encoding="utf-8")
    (tenant.home / "o.csv").write_text("place,n\nb,1\n", encoding="utf-8")
    (tenant.home / "m.csv").write_text("place,n\na,1\n", encoding="utf-8")
    load(tenant)
    (tenant.home / "m.csv").write_text("place,n\na,2\na,2\n", encoding="utf-8")
    (tenant.home / "o.csv").write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=r"o\.csv"):
        load(tenant)
    lake = Lake(tenant)
    rows = {name: lake.read(f"raw.{name}").to_pylist() for name in ("market", "other")}
    assert (rows["market"][0]["n"], rows["other"][0]["place"], len(rows["other"])) == (first, "b", 1)
    noted = {row["source"]: row["rows"] for row in lake.read("raw._files").to_pylist()}
    assert noted == {name: len(held) for name, held in rows.items()}


def test_old_rows_stay_when_files_of_another_type_break(make: Make) -> None:
    tenant = make("{home}/in/*")
    (tenant.home / "in").mkdir()
    _parquet(pa.array([1]))(tenant.home / "in" / "a.parquet")
    load(tenant)
    (tenant.home / "in" / "a.parquet").unlink()
    (tenant.home / "in" / "b.csv").write_text("place,n\n" + "a,1\n" * 100_000 + "a,1,2,3\n", encoding="utf-8")
    with pytest.raises(SourceError, match="can't be read as csv"):
        load(tenant)
    assert [row["n"] for row in Lake(tenant).read("raw.market").to_pylist()] == [1]
