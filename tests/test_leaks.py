"""The search for phones finds a planted one in every container and form, and nothing where there is none."""

import base64
import gzip
import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from tests.leaks import Search

COUNTRY, NATIONAL = "52", "5512345678"
FORMS = {
    "E.164": "+525512345678",
    "without plus": "525512345678",
    "national": "5512345678",
    "spaced": "+52 55 1234 5678",
    "punctuated": "(55) 1234-5678",
    "in a sentence": "call +52-55-1234-5678 after six",
    "in a link": "tel:%2B52%2055%201234%205678",
    "base64": base64.b64encode(b"+525512345678").decode(),
    "base64 national": base64.b64encode(b"5512345678").decode(),
    "base64 within more": base64.b64encode(b'{"to": "+525512345678"}').decode(),
}


def plain(folder: Path, text: str) -> None:
    (folder / "log.txt").write_text(f"2026-03-01 {text}\n")


def packed(folder: Path, text: str) -> None:
    (folder / "log.gz").write_bytes(gzip.compress(f"x {text}".encode()))


def zipped(folder: Path, text: str) -> None:
    with zipfile.ZipFile(folder / "data.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inner.json", json.dumps({"a": text}))


def packed_twice(folder: Path, text: str) -> None:
    with zipfile.ZipFile(folder / "data.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inner.gz", gzip.compress(text.encode()))


def database(folder: Path, text: str) -> None:
    with sqlite3.connect(folder / "any.db") as connection:
        connection.execute("CREATE TABLE t (a TEXT, b BLOB)")
        connection.execute("INSERT INTO t VALUES (?, NULL)", ("x" * 5000 + text,))  # over the edge of a page
    connection.close()


def blob(folder: Path, text: str) -> None:
    with sqlite3.connect(folder / "any.db") as connection:
        connection.execute("CREATE TABLE t (b BLOB)")
        connection.execute("INSERT INTO t VALUES (?)", (gzip.compress(text.encode()),))
    connection.close()


def journal(folder: Path, text: str) -> None:
    connection = sqlite3.connect(folder / "any.db")
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE t (a TEXT)")
    connection.execute("INSERT INTO t VALUES (?)", (text,))
    connection.commit()
    for name in ("any.db", "any.db-wal"):
        (folder / f"copy-{name}").write_bytes((folder / name).read_bytes())
    connection.close()


def parquet(folder: Path, text: str) -> None:
    pq.write_table(pa.table({"a": ["b", text, "zz"]}), folder / "a.parquet", compression="zstd", write_statistics=False)


def dictionary(folder: Path, text: str) -> None:
    pq.write_table(pa.table({"a": [text] * 9}), folder / "a.parquet", compression="gzip", write_statistics=False)


def metadata(folder: Path, text: str) -> None:
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"note": text}), folder / "a.parquet")


def arrow(folder: Path, text: str) -> None:
    table = pa.table({"a": [text]})
    with pa.ipc.new_file(
        str(folder / "a.arrow"), table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as f:
        f.write_table(table)


CONTAINERS = [plain, packed, zipped, packed_twice, database, blob, journal, parquet, dictionary, metadata, arrow]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_planted_number_is_found(container: Callable[[Path, str], None], form: str, tmp_path: Path) -> None:
    container(tmp_path, FORMS[form])
    assert {hit.number for hit in Search([(COUNTRY, NATIONAL)]).folder(tmp_path)} == {NATIONAL}


@pytest.mark.parametrize("container", CONTAINERS)
def test_another_number_is_not(container: Callable[[Path, str], None], tmp_path: Path) -> None:
    for form in FORMS.values():
        container(tmp_path, form)
        assert not Search([(COUNTRY, "5512345679")]).folder(tmp_path)
        for path in tmp_path.iterdir():
            path.unlink()


def test_whole_numbers_are_found(tmp_path: Path) -> None:
    for kind in (pa.int64(), pa.float64()):
        pq.write_table(pa.table({"a": pa.array([525512345678], kind)}), tmp_path / "a.parquet")
        assert Search([(COUNTRY, NATIONAL)]).folder(tmp_path)


def test_the_name_of_a_file_counts(tmp_path: Path) -> None:
    (tmp_path / "+525512345678.txt").write_text("")
    assert Search([(COUNTRY, NATIONAL)]).folder(tmp_path)


def test_the_bounds_in_an_iceberg_manifest_are_found(tmp_path: Path) -> None:
    """Iceberg keeps the smallest and largest value of each column of each file."""
    catalog = SqlCatalog("x", uri=f"sqlite:///{tmp_path / 'catalog.db'}", warehouse=f"file://{tmp_path / 'lake'}")
    catalog.create_namespace("a")
    rows = pa.table({"phone": ["+525512345678", "+529999999999"]})
    catalog.create_table("a.t", schema=rows.schema).append(rows)
    hits = Search([(COUNTRY, NATIONAL)]).folder(tmp_path)
    assert {hit.inside[0] for hit in hits if hit.path.suffix == ".avro"} == {"avro"}
    inside = {part for hit in hits if hit.path.suffix == ".parquet" for part in hit.inside}
    assert inside == {"parquet", "statistics"}
