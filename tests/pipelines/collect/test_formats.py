"""Compressed and partitioned files."""

import gzip
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipelines.collect.found import as_regex
from pipelines.collect.types import fit
from pipelines.core.errors import ConfigError, SourceError
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from tests.pipelines.collect.conftest import DAY, MakeSource, read, rows

RECORDS = [{"place": "a", "n": "1"}, {"place": "b;", "n": None}, {"place": "ñ", "n": "3"}]
PLAIN: dict[str, bytes] = {
    "csv": "place,n\na,1\nb;,\nñ,3\n".encode(),
    "jsonl": "\n".join(map(json.dumps, RECORDS)).encode(),
    "ndjson": "\n".join(map(json.dumps, RECORDS)).encode(),
    "json": json.dumps(RECORDS, indent=1).encode(),
}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize("ending", PLAIN)
def test_every_format_gives_the_same_rows_packed_or_not(make_source: MakeSource, ending: str, packed: str) -> None:
    tenant = make_source(path=f"{{home}}/in/{{date}}.{ending}{packed}")
    path = tenant.home / "in" / f"{DAY}.{ending}{packed}"
    path.parent.mkdir()
    path.write_bytes(PACK[packed](PLAIN[ending]))
    read(tenant)
    assert [{"place": row["place"], "n": row["n"]} for row in rows(tenant)] == RECORDS


@pytest.mark.parametrize("name", ["x.csv.bz2", "x.parquet.gz", "x.gz", "x"])
def test_an_ending_that_tells_no_format_is_refused(make_source: MakeSource, name: str) -> None:
    tenant = make_source(path=f"{{home}}/{name}")
    (tenant.home / name).write_bytes(b"place\na\n")
    with pytest.raises(ConfigError, match="ending tells no format: name files"):
        read(tenant)


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_a_packed_file_that_is_cut_short_is_one_sentence(make_source: MakeSource, packed: str) -> None:
    tenant = make_source(path=f"{{home}}/m.csv{packed}")
    text = "place,n\n" + "".join(f"p{n * 7919 % 10007},{n}\n" for n in range(200_000))
    whole = PACK[packed](text.encode())
    (tenant.home / f"m.csv{packed}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="can't be read as csv") as caught:
        read(tenant)
    assert "\n" not in str(caught.value)
    assert Lake(tenant).count("raw.market") == 0


def hive(folder: Path, parts: dict[str, list[Any]]) -> None:
    for part, numbers in parts.items():
        path = folder / part / "a.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"place": [f"p{n}" for n in numbers], "n": numbers}), path)


def test_folders_become_columns_as_another_reader_sees_them(make_source: MakeSource) -> None:
    tenant = make_source(path="{home}/root/**/*.parquet", partitioned=True)
    parts = {f"year={year}/month={month:02d}/shop={shop}": [year, month] for year, month, shop in (
        (2025, 12, "x%20y"), (2026, 1, "7"), (2026, 2, "__HIVE_DEFAULT_PARTITION__"))}  # fmt: skip
    hive(tenant.home / "root", parts)
    read(tenant)
    import duckdb

    other = duckdb.sql(
        f"SELECT n, year, month, shop FROM read_parquet('{tenant.home}/root/**/*.parquet', hive_partitioning = true,"
        " hive_types = {'shop': VARCHAR, 'year': BIGINT, 'month': BIGINT}) ORDER BY year, n"
    ).fetchall()
    held = [(row["n"], row["year"], row["month"], row["shop"]) for row in rows(tenant)]
    assert sorted(held, key=str) == sorted(other, key=str)


def test_keys_keep_the_type_they_once_had(make_source: MakeSource) -> None:
    tenant = make_source(path="{home}/in/day={date}/**/*.parquet", partitioned=True)
    hive(tenant.home / "in", {"day=2026-03-01/shop=north": [1], "day=2026-03-02/shop=7": [2]})
    read(tenant)
    read(tenant, date(2026, 3, 2))
    assert [(row["shop"], row["day"]) for row in rows(tenant)] == [("north", DAY), ("7", date(2026, 3, 2))]


def test_keys_of_text_files_are_text(make_source: MakeSource) -> None:
    tenant = make_source(path="{home}/in/*/m.csv", partitioned=True)
    (tenant.home / "in" / "month=03").mkdir(parents=True)
    (tenant.home / "in" / "month=03" / "m.csv").write_text("place,n\na,1\n", encoding="utf-8")
    read(tenant)
    assert rows(tenant)[0]["month"] == "03"


def test_partitioned_without_such_folders_is_one_sentence(make_source: MakeSource) -> None:
    tenant = make_source(path="{home}/in/*/m.csv", partitioned=True)
    (tenant.home / "in" / "x").mkdir(parents=True)
    (tenant.home / "in" / "x" / "m.csv").write_text("place,n\na,1\n", encoding="utf-8")
    with pytest.raises(SourceError, match="no folder named key=value"):
        read(tenant)


@pytest.mark.parametrize(
    "pattern", ["a/*.csv", "a/**/*.csv", "**/x?.csv", "a/[xz]*.csv", "a/[!x]*", "a/**", "a/b/x.csv"]
)
def test_patterns_of_buckets_match_what_those_of_folders_do(tmp_path: Path, pattern: str) -> None:
    names = ["a/x.csv", "a/b/x.csv", "a/b/c/xy.csv", "z1.csv", "a/z.csv", "a/b.c/y+.csv", "x1.csv"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    on_disk = {
        path.relative_to(tmp_path).as_posix() for path in map(Path, _glob(f"{tmp_path}/{pattern}")) if path.is_file()
    }
    assert {name for name in names if as_regex(pattern).fullmatch(name)} == on_disk


def _glob(pattern: str) -> list[str]:
    from glob import glob

    return glob(pattern, recursive=True)  # noqa: PTH207 - what the product does


def _csv(make_source: MakeSource, text: str) -> Tenant:
    tenant = make_source(path="{home}/in.csv")
    (tenant.home / "in.csv").write_text(text, encoding="utf-8")
    return tenant


def test_ids_that_begin_with_a_hash_are_rows(make_source: MakeSource) -> None:
    tenant = _csv(make_source, "place,n\n" + "".join(f"#{n},{n}\n" for n in range(1, 30)))
    read(tenant)
    assert [row["place"] for row in rows(tenant)] == [f"#{n}" for n in range(1, 30)]


def test_ragged_first_lines_lose_no_row(make_source: MakeSource) -> None:
    tenant = _csv(make_source, "place,n\na\nb,2\nc,3\n")
    read(tenant)
    assert len(rows(tenant)) == 3


def test_a_ragged_line_is_named_without_its_values(make_source: MakeSource) -> None:
    tenant = _csv(make_source, "place,n\n" + "a,1\n" * 50_000 + "topsecret\n")
    with pytest.raises(SourceError, match=r"line 50002 has 1 columns and the header 2: mend that line") as caught:
        read(tenant)
    assert "topsecret" not in str(caught.value)


def test_values_that_do_not_fit_are_told_by_column_and_type() -> None:
    table = pa.table({"n": [5512345678.5]})
    with pytest.raises(SourceError, match=r"column 'n' holds values of type double that do not fit") as caught:
        fit(table, pa.schema([("n", pa.int64())]), "source 'x': a.parquet")
    assert "5512345678" not in str(caught.value)
