"""Which files there are: on this machine, or as objects of a bucket."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipelines.collect.files import BULK, ENDINGS, SourceFile, batch_ids, ending
from pipelines.core.errors import ConfigError, SourceError
from pipelines.core.interval import DAY, Interval, midnight

if TYPE_CHECKING:
    from pipelines.core.params import Source
    from pipelines.core.tenant import Tenant


class Store(Protocol):
    """A place with files."""

    def expand(self, pattern: str, hidden: bool = False) -> list[SourceFile]:
        """The files that match, sorted by name; not yet fetched, without batch and arrival."""
        ...

    def fetch(self, file: SourceFile) -> SourceFile:
        """The file where it can be read."""
        ...


class Disk:
    """Files of this machine."""

    def expand(self, pattern: str, hidden: bool = False) -> list[SourceFile]:
        """The file itself, or those that match, sorted."""
        paths: Iterable[str] = [pattern]
        if has_magic(pattern):
            paths = sorted(glob(pattern, recursive=True, include_hidden=hidden))  # noqa: PTH207 - a whole path
        found = [Path(path) for path in paths]
        return [SourceFile(path, BULK, datetime.min) for path in found if path.is_file()]

    def fetch(self, file: SourceFile) -> SourceFile:
        """The file itself."""
        return file


def find(tenant: "Tenant", name: str, source: "Source", interval: Interval, store: Store) -> list[SourceFile]:
    """The files of `source` in `interval`, in the order of days and names, where they can be read.

    Raises:
        SourceError: a file is missing or empty.
        ConfigError: the name of a file does not tell its format.
    """
    found = []
    for batch_id in batch_ids(source, interval):
        arrives = midnight(date.fromisoformat(batch_id)) + DAY if source.daily else interval.end
        pattern = tenant.source_path(source, batch_id)
        files = store.expand(pattern)
        if not files and not source.sparse:
            raise missing(tenant, name, pattern)
        found += [replace(file, batch_id=batch_id, arrives=arrives, delimiter=source.delimiter) for file in files]
    if not found and not store.expand(tenant.source_path(source, "*")):
        raise missing(tenant, name, tenant.source_path(source, "<day>"), " for any day", "them")
    fetched = []
    for file in found:
        check_name(name, file)
        fetched.append(store.fetch(file))
        check_filled(name, fetched[-1])
    return fetched


def missing(tenant: "Tenant", name: str, pattern: str, when: str = "", what: str = "it") -> SourceError:
    """The sentence about a source without files."""
    path = tenant.params.sources[name].path or ""
    advice = ", or correct its path in params.yaml"
    if "{data}" in path:
        advice = ", or set LEADWISE_DATA to the folder that holds it"
    elif "{home}" in path:
        advice = ", or make them with `leadwise simulate`"
    return SourceError(
        f"source '{name}' of tenant '{tenant.name}' has no file {pattern}{when}: put {what} there{advice}"
    )


def check_name(name: str, file: SourceFile) -> None:
    """Refuse a file whose name does not tell its format."""
    if ending(file.name) is None:
        raise ConfigError(
            f"source '{name}' reads {file.name}, whose ending tells no format: name files {', '.join(ENDINGS)}"
            " (but for .parquet also with .gz or .zst behind)"
        )


def check_filled(name: str, file: SourceFile) -> None:
    """Refuse a file that can't be opened or is empty."""
    try:
        with file.path.open("rb") as handle:
            filled = bool(handle.read(1))
    except OSError as error:
        raise SourceError(
            f"source '{name}': {file.name} can't be read ({error.strerror}): check its permissions"
        ) from None
    if not filled:
        raise SourceError(f"source '{name}': {file.name} is empty: export it again")


def fixed_part(pattern: str) -> str:
    """The folders of a path that come before its first wildcard, placeholder or `key=value`."""
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        if has_magic(part) or "=" in part or number == len(parts) - 1:
            return "/".join(parts[:number]) + "/" if number else ""
    return ""


def as_regex(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression over whole names: `**` stands for any folders, `*` and `?` stay in one."""
    text, place = "", 0
    while place < len(pattern):
        rest = pattern[place:]
        if rest.startswith("**/"):
            text, place = text + "(?:.*/)?", place + 3
        elif rest.startswith("**"):
            text, place = text + ".*", place + 2
        elif rest[0] == "[" and "]" in rest[2:]:
            stop = rest.index("]", 2)
            inside = rest[1:stop].replace("\\", "\\\\")
            text, place = text + f"[{'^' + inside[1:] if inside[0] == '!' else inside}]", place + stop + 1
        else:
            text, place = text + {"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0])), place + 1
    return re.compile(text, re.DOTALL)
