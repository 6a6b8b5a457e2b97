"""Files that are there as a whole or not at all, and CSV that a spreadsheet does not run."""

import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.core.errors import ConfigError

# What a spreadsheet takes for a formula (OWASP, "CSV Injection"), full-width forms included; a plain number such as
# "-5" or a phone "+5233…" holds no formula and stays as it is.
_FORMULA = r"^(\s*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]|[\t\r\n])"
_NUMBER = r"^[+\-]?[0-9]+(\.[0-9]+)?$"


@contextmanager
def replacing(*paths: Path, private: bool = False, sealed: bool = False) -> Iterator[list[Path]]:
    """Give a temporary path beside each of `paths`; all take their places when the block ends well, else none.

    Nobody else may be writing them: what a killed run left beside them, perhaps with phones, is deleted.

    Args:
        paths: files to write.
        private: only their owner may read them.
        sealed: the last path stands for the others: it goes before the first is replaced, and comes after the last.

    Raises:
        ConfigError: the folder can't be written, or the disk is full.
    """
    drafts: list[Path] = []
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
                left.unlink(missing_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            os.close(handle)
            drafts.append(Path(name))
        yield drafts
        for draft in drafts:
            _settle(draft)
        if sealed:
            paths[-1].unlink(missing_ok=True)
        for draft, path in zip(drafts, paths, strict=True):
            draft.chmod(0o600 if private else 0o644)
            draft.replace(path)
    except OSError as error:
        raise ConfigError(
            f"{paths[0].parent} can't be written ({error.strerror or error}): make room there or set LEADWISE_VAR"
        ) from None
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)


def _settle(draft: Path) -> None:
    """Bring a file's content to the disk before its name points to it."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())


def defuse(table: pa.Table) -> pa.Table:
    """`table` with an apostrophe before each text that a spreadsheet would take for a formula."""
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            table = table.set_column(index, field, _defused(table.column(index)))
    return table


def _defused(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    risky = pc.and_not(pc.match_substring_regex(texts, _FORMULA), pc.match_substring_regex(texts, _NUMBER))
    return pc.if_else(pc.fill_null(risky, False), pc.binary_join_element_wise("'", texts, ""), texts)
