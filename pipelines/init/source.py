"""A file somebody brings: what kind it is, whether it can be read at all, and a DuckDB view of its cells."""

import csv
import io
import logging
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.core.errors import SourceError
from pipelines.core.formats import CSV_OPTIONS
from pipelines.init.words import LINEAGE, plain, text

log = logging.getLogger("leadwise")

_FORMATS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "json", ".ndjson": "json"}
_PACKED = {".gz": "gzip", ".zst": "zstd"}
_CHUNK = 1 << 22
_HEAD = 1 << 16
_HEADER = 1 << 20  # a header is never longer than this
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class File:
    """One file, known to be readable text or Parquet.

    Attributes:
        path: absolute.
        name: of the table it becomes.
        format: `csv`, `parquet` or `json`.
        delimiter: of a CSV.
        headers: names of its columns, in order, as DuckDB gives them.
    """

    path: Path
    name: str
    format: str
    delimiter: str | None
    headers: tuple[str, ...]

    @property
    def typed(self) -> bool:
        """Whether cells have types of their own."""
        return self.format == "parquet"

    def view(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the view `name` of the file's rows: text in every column, or Parquet's own types."""
        place = text(self.path)
        if self.format == "parquet":
            body = f"SELECT * FROM read_parquet({place}, hive_partitioning = false)"
        elif self.format == "csv":
            body = f"SELECT * FROM {_read_csv(self.path, self.delimiter or ',')}"
        else:
            cells = ", ".join(f"json ->> {text('$.' + _quoted(key))} AS {_quoted(key)}" for key in self.headers)
            body = f"SELECT {cells} FROM read_ndjson_objects({place})"
        connection.execute(f"CREATE OR REPLACE VIEW {_quoted(self.name)} AS {body}")


def open_file(path: Path, connection: duckdb.DuckDBPyConnection) -> File:
    """Look at a file: its kind, its text from end to end, its header.

    Raises:
        SourceError: missing, empty, without rows, wrongly encoded, binary, with one column or a header twice.
    """
    path = path.expanduser().absolute()
    if not path.is_file():
        what = "is a folder: name a file in it" if path.is_dir() else "is not there: check the path given with --from"
        raise SourceError(f"{path} {what}")
    kind, name = _kind(path)
    with sentences(path, kind):
        if not path.stat().st_size:
            raise SourceError(f"{path} is empty: export it again")
        delimiter = None
        if kind == "parquet":
            headers = _parquet(path)
        elif kind == "csv":
            check_text(path)
            delimiter, headers = _csv(path, connection)
        else:
            check_text(path)
            headers = _json(path, connection)
    _check_headers(path, headers)
    return File(path, name, kind, delimiter, tuple(headers))


@contextmanager
def sentences(path: Path, kind: str = "text") -> Iterator[None]:
    """Turn what a library says about a broken file into one sentence, without a cell of it."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError, EOFError) as error:
        log.debug("%s: %s", path, error)
        line = re.search(r"CSV Error on Line: (\d+)", str(error))
        where = f" from line {line.group(1)} on" if line else ""
        raise SourceError(
            f"{path} can't be read as {kind}{where}: open it at that place, or export it again"
            if line
            else f"{path} can't be read as {kind}: is it what its name says? Export it again"
        ) from None


def check_text(path: Path) -> None:
    """Read a text file to its end, packed or not, in flat memory.

    Raises:
        SourceError: it is not UTF-8 text; says what it may be and how to convert it.
    """
    decoder = getincrementaldecoder("utf-8")()
    done = 0
    for chunk in _chunks(path):
        if not done:
            _refuse_binary(path, chunk)
        if b"\0" in chunk:
            raise SourceError(
                f"{path} holds zero bytes near byte {done + chunk.index(0)}: it is no text; export it again"
            )
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            at = done + error.start
            raise SourceError(
                f"{path} is not UTF-8 at byte {at}; it looks like Latin-1 (Windows): convert it with"
                f" `iconv -f WINDOWS-1252 -t UTF-8 {path.name} > {_converted(path)}` and init that file"
            ) from None
        done += len(chunk)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise SourceError(f"{path} ends in the middle of a letter: the file was cut off; export it again") from None


def _chunks(path: Path) -> Iterator[bytes]:
    stream = pa.input_stream(str(path), compression=_PACKED.get(path.suffix.lower()))
    with stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _refuse_binary(path: Path, chunk: bytes) -> None:
    head = chunk[:_HEAD]
    if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or _every_other_zero(head):
        raise SourceError(
            f"{path} is UTF-16, not UTF-8: convert it with `iconv -f UTF-16 -t UTF-8 {path.name} > {_converted(path)}`"
            " and init that file"
        )
    odd = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
    if odd > len(head) / 20:
        raise SourceError(f"{path} is binary, not text: is it what its name says? Export it as CSV or Parquet")


def _every_other_zero(head: bytes) -> bool:
    return len(head) > 3 and max(head[::2].count(0), head[1::2].count(0)) > len(head) // 3


def _converted(path: Path) -> str:
    return f"utf8_{path.name.removesuffix('.gz').removesuffix('.zst')}"


def _kind(path: Path) -> tuple[str, str]:
    """Format and table name of a file, by its name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in _PACKED
    inner = Path(path.stem) if packed else path
    kind = _FORMATS.get(inner.suffix.lower())
    if kind is None or (packed and kind == "parquet"):
        endings = ", ".join(_FORMATS)
        raise SourceError(f"{path}: its ending tells no format: name it {endings}, text also with .gz or .zst after it")
    return kind, plain(inner.stem, "rows")[:40]


def _parquet(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    if not pq.read_metadata(path).num_rows:
        raise SourceError(f"{path} holds no rows: export it again")
    # A column of the type of nothing enters no table.
    return [field.name for field in pq.read_schema(path) if not pa.types.is_null(field.type)]


def _json(path: Path, connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute(
        "SELECT key FROM (SELECT unnest(json_keys(json)) AS key, row_number() OVER () AS n"
        f" FROM read_ndjson_objects({text(path)})) GROUP BY key ORDER BY min(n)"
    ).fetchall()
    if not rows:
        raise SourceError(f"{path} holds no records: write one JSON object a line")
    return [str(row[0]) for row in rows]


def _csv(path: Path, connection: duckdb.DuckDBPyConnection) -> tuple[str, list[str]]:
    head = b""
    for chunk in _chunks(path):
        head += chunk
        if len(head) >= _HEADER:
            break
    opening = head[:_HEADER].decode("utf-8-sig", errors="ignore")
    delimiter = _delimiter(opening)
    row = next(csv.reader(io.StringIO(opening), delimiter=delimiter), [])
    if not any(row):
        raise SourceError(f"{path} has no header in its first line: put the names of the columns there")
    _refuse_twins(path, row)
    sample = connection.sql(f"SELECT * FROM {_read_csv(path, delimiter)} LIMIT 1")
    if len(row) < 2:
        raise SourceError(
            f"{path} has one column, '{row[0][:60]}': a use case needs at least whom and when; if there are more, part"
            " them with , ; | or a tab"
        )
    if not sample.fetchall():
        raise SourceError(f"{path} has a header and no rows: export it again")
    return delimiter, list(sample.columns)


def _delimiter(opening: str) -> str:
    """The delimiter of which the header has most outside quotes; a comma where it has none."""
    header = re.sub(r'"[^"]*"', "", opening.split("\n", 1)[0])
    return max(_DELIMITERS, key=lambda one: (header.count(one), -_DELIMITERS.index(one)))


def _read_csv(path: Path, delimiter: str) -> str:
    return f"read_csv({text(path)}, {CSV_OPTIONS}, delim = {text(delimiter)})"


def _refuse_twins(path: Path, row: list[str]) -> None:
    seen: set[str] = set()
    for header in row:
        if header and header.lower() in seen:
            raise SourceError(f"{path} has the header '{header[:60]}' twice: give one of the two columns another name")
        seen.add(header.lower())


def _check_headers(path: Path, headers: list[str]) -> None:
    _refuse_twins(path, headers)
    for header in headers:
        if header.startswith("_"):
            raise SourceError(f"{path}: column '{header[:60]}' begins with _: rename it, such names are Leadwise's own")
        if header.strip().lower() in LINEAGE:
            raise SourceError(
                f"{path}: column '{header[:60]}' is what Leadwise calls the place a row was read from: rename it"
            )
    if len(headers) < 2:
        raise SourceError(f"{path} has one column, '{headers[0][:60]}': a use case needs at least whom and when")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
