"""A folder that grows: which of its files are new, which were rewritten, and which are not there in full yet.

What was read is noted in `raw._files`, by name, mark (size and time of the last change, or the ETag) and hash of the
content. A file whose mark and content changed is read again as a batch of its own: a newer arrival, which corrects
the rows with the same keys.
"""

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.collect.files import NoRows, Reader, SourceFile, ending
from pipelines.collect.found import Store, check_name, fixed_part, missing
from pipelines.core.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from pipelines.core.interval import Interval
    from pipelines.core.params import Source
    from pipelines.core.tenant import Tenant

_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload")
_DELIMITERS = ",;|\t"
_BLOCK = 1024 * 1024
_SHOWN = 3

Note = dict[str, Any]


@dataclass
class Growth:
    """What a look at the folder found.

    Attributes:
        files: to be read, in the order of their names.
        touched: notes of files with a new mark and the old content: noted anew, not read.
        waiting: files left for the next run, each with why.
        rewritten: names of files among `files` that were read before.
        restored: names of files among `files` whose rows were no longer in raw.
        lost: batches whose rows are no longer in raw, nor in the folder.
    """

    files: list[SourceFile] = field(default_factory=list)
    touched: list[Note] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)
    rewritten: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def look(
    tenant: "Tenant",
    name: str,
    source: "Source",
    interval: "Interval",
    store: Store,
    reader: Reader,
    notes: Iterable[Note],
    gone: Collection[str] = (),
) -> Growth:
    """Compare the folder of source `name` with what was read of it.

    Args:
        tenant: whose source.
        name: of the source.
        source: its parameters.
        interval: of the run: what it reads first arrives at its end.
        store: where the files are.
        reader: of that source.
        notes: rows of `raw._files` of this source.
        gone: batches whose rows are no longer in raw: they are read again, as what they were.

    Raises:
        SourceError: no file matches, and none was ever read.
    """
    notes = list(notes)
    newest, versions = _newest(notes)
    late = any(note["_interval_end"] > interval.end for note in notes)
    pattern = tenant.source_path(source)
    found = store.expand(pattern, hidden=True)
    if not found and not newest and not source.sparse:
        raise missing(tenant, name, pattern)
    grown = Growth()
    for one in found:
        if why := _unready(one, pattern, source.settle_seconds):
            if one.name not in newest or _mark(one) != newest[one.name]["mark"]:
                grown.waiting[one.name] = why
            continue
        if why := _nameless(name, one):
            grown.waiting[one.name] = why
            continue
        noted = newest.get(one.name)
        file = replace(one, arrives=interval.end, delimiter=source.delimiter, mark=_mark(one))
        if late and not (noted and file.mark == noted["mark"]):
            # What arrives never arrives before what is known: an older version would win, and the past change.
            grown.waiting[one.name] = "later days were read already: a run of the newest days reads it"
            continue
        _sort(grown, store, reader, file, noted, versions.get(one.name, 0), gone)
    grown.lost = sorted(set(gone) - {file.batch_id for file in grown.files})
    return grown


def _sort(
    grown: Growth,
    store: Store,
    reader: Reader,
    file: SourceFile,
    noted: Note | None,
    version: int,
    gone: Collection[str],
) -> None:
    """Put one file where it belongs."""
    missed = noted is not None and noted["_batch_id"] in gone
    if noted and file.mark == noted["mark"] and not missed:
        return
    file = store.fetch(file)
    if file.content is None:
        file = replace(file, content=_content(file.path))
    if noted and file.content == noted["content"]:
        if missed:
            grown.files.append(replace(file, batch_id=noted["_batch_id"], arrives=noted["_interval_end"]))
            grown.restored.append(file.name)
        else:
            grown.touched.append({**noted, "mark": file.mark})
        return
    why = "its end is missing" if _cut_short(file) else None
    if why is None:
        try:
            why = _run_together(reader.schema(file).names)
        except NoRows:
            why = "no rows yet"
        except SourceError:
            why = f"it can't be read as {file.format}: export it again"
    if why:
        grown.waiting[file.name] = why
        return
    # Digits: among rows that arrived together the newest version stands last by its text.
    batch_id = file.name if version == 0 else f"{file.name}@{version + 1:06d}"
    grown.files.append(replace(file, batch_id=batch_id))
    if version:
        grown.rewritten.append(file.name)


def sentences(name: str, grown: Growth, counts: Mapping[str, int]) -> list[str]:
    """What a person should know of the folder of source `name`; `counts` are rows read by file."""
    told = []
    for file in grown.rewritten:
        told.append(
            f"{name}: {file} was rewritten: its {counts.get(file, 0)} rows were read as a newer arrival, the earlier"
            " ones stay"
        )
    if grown.restored:
        told.append(f"{name}: rows of {_some(grown.restored)} were no longer in raw.{name} and were read again")
    if grown.lost:
        told.append(
            f"{name}: rows of {_some(grown.lost)} are no longer in raw.{name}, and the folder holds them no more:"
            " put the files there again, or bring an earlier state of the table back"
        )
    if grown.waiting:
        shown = [f"{file} ({why})" for file, why in list(grown.waiting.items())[:_SHOWN]]
        more = len(grown.waiting) - len(shown)
        many = "1 file waits" if len(grown.waiting) == 1 else f"{len(grown.waiting)} files wait"
        told.append(f"{name}: {many} for the next run: {', '.join(shown)}{f' and {more} more' if more else ''}")
    return told


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def unchanged(name: str, file: SourceFile) -> None:
    """Make sure that a file of this machine is what it was when it was looked at.

    Raises:
        SourceError: it changed while it was read.
    """
    if not file.label and file.mark is not None and _mark(file) != file.mark:
        raise SourceError(
            f"source '{name}': {file.name} changed while it was read: nothing of this source was written; run again"
        )


def _newest(notes: Iterable[Note]) -> tuple[dict[str, Note], dict[str, int]]:
    """The last note of each file, and how many there are."""
    newest: dict[str, Note] = {}
    versions: dict[str, int] = {}
    for note in sorted(notes, key=_version):
        newest[note["file"]] = note
        versions[note["file"]] = versions.get(note["file"], 0) + 1
    return newest, versions


def _version(note: Note) -> int:
    """Which version of its file a note speaks of: 1 for the first."""
    return int(str(note["_batch_id"]).removeprefix(str(note["file"])).removeprefix("@") or 1)


def _nameless(name: str, file: SourceFile) -> str | None:
    """Why the name of a file says that it is none of the source: others may write to the folder as well."""
    try:
        check_name(name, file)
    except ConfigError:
        return "its ending tells no format"
    return None


def _run_together(columns: Sequence[str]) -> str | None:
    """Why columns are those of a CSV whose cells could not be told apart."""
    if len(columns) == 1 and any(delimiter in columns[0] for delimiter in _DELIMITERS):
        return "its columns can't be told apart: does a row have too many or too few cells?"
    return None


def _mark(file: SourceFile) -> str | None:
    if file.label:
        return file.mark
    try:
        state = file.path.stat()
    except OSError:
        return None
    return f"{state.st_size}:{state.st_mtime_ns}"


def _unready(file: SourceFile, pattern: str, settle: float) -> str | None:
    """Why a file is not to be looked into yet."""
    parts = file.name.removeprefix(fixed_part(pattern)).split("/")
    if any(part.startswith((".", "_")) for part in parts) or parts[-1].lower().endswith(_UNFINISHED):
        return "hidden or temporary"
    if file.label:
        return None  # an object is there in full or not at all
    try:
        state = file.path.stat()
    except OSError:
        return "taken away again"
    if abs(time.time() - state.st_mtime) < settle:
        return f"changed less than {settle:g} s ago"
    return None if state.st_size else "empty"


def _content(path: Path) -> str:
    digest = blake2b(digest_size=16)
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _cut_short(file: SourceFile) -> bool:
    """Whether the end of a file is missing, as far as its format tells."""
    name = file.name.lower()
    if name.endswith((".gz", ".zst")):
        return _broken_stream(file.path, "gzip" if name.endswith(".gz") else "zstd")
    with file.path.open("rb") as handle:
        size = handle.seek(0, 2)
        handle.seek(max(0, size - _BLOCK))
        tail = handle.read()
    if ending(name) == ".parquet":
        return size < 12 or tail[-4:] != b"PAR1"
    if ending(name) == ".json":
        return tail.rstrip()[-1:] not in (b"]", b"}")
    if ending(name) in (".jsonl", ".ndjson") and not tail.endswith(b"\n"):
        return not _is_json(tail.rsplit(b"\n", 1)[-1])
    return False


def _broken_stream(path: Path, codec: str) -> bool:
    try:
        with pa.OSFile(str(path)) as raw, pa.CompressedInputStream(raw, codec) as stream:
            while stream.read(_BLOCK):
                pass
    except (OSError, pa.ArrowException) as error:
        return "runcated" in str(error)
    return False


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
