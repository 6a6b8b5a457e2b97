"""What features mean, in the words of the contracts and of the SQL that makes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from expectations.contract import Contract

_COMMENT = re.compile(r"--\s?(.*)")
_WINDOW = re.compile(r"_(\d+)(d|h)$")
_SINCE = re.compile(r"^days_since_(.+)$")
_KNOWN = {
    "local_hour": "Hour of the event on the entity's own clock.",
    "local_weekday": "Weekday of the event on the entity's own clock, 0 is Monday.",
}
_PATH = re.compile(r"(?:^|/)features_(.+)\.sql$")


def words_of(features: Iterable[str], contracts: Mapping[str, Contract], source: Mapping[str, str]) -> dict[str, str]:
    """A phrase for each feature that something is known of.

    A column of a contract has its description there, also where a window such as `_30d` or `days_since_` is put around
    it; else what follows `-- ` on its line in the SQL; else the name in words, and what its view says of itself.

    Args:
        features: their names.
        contracts: of the use case, by table.
        source: text of each SQL file by path, as `made_by.texts` gives them.
    """
    columns = {c.name: c.description for one in contracts.values() for c in one.columns if not c.personal}
    views = {match[1]: text for path, text in source.items() if (match := _PATH.search(path))}
    return {name: phrase for name in features if (phrase := _phrase(name, columns, views))}


def heading(sql: str) -> str:
    """The comment that a file begins with, as one paragraph; empty where there is none."""
    lines = []
    for line in sql.strip().splitlines():
        match = _COMMENT.fullmatch(line.strip())
        if match is None:
            break
        lines.append(match[1].strip())
    return " ".join(lines)


def _phrase(name: str, columns: Mapping[str, str], views: Mapping[str, str]) -> str:
    if described := columns.get(name) or _KNOWN.get(name):
        return described
    for view, sql in views.items():
        for line in sql.splitlines():
            code, dashes, comment = line.partition("--")
            if re.search(rf"\b{re.escape(name)}\s*,?\s*$", code.rstrip()):
                return comment.strip() if dashes else _spelt(name, view, sql)
    return _spelt(name, "", "")


def _spelt(name: str, view: str, sql: str) -> str:
    """The name in words, with the first sentence that its view says of itself."""
    since = _SINCE.match(name)
    window = _WINDOW.search(name)
    plain = _WINDOW.sub("", since[1] if since else name).replace("_", " ")
    spelt = f"Days since {plain}" if since else plain.capitalize()
    if window:
        unit = "day" if window[2] == "d" else "hour"
        spelt += f" in the last {window[1]} {unit}{'' if window[1] == '1' else 's'}"
    first = re.split(r"(?<=[.:])\s", heading(sql), maxsplit=1)[0].rstrip(".:")
    return f"{spelt} ({view}: {first[0].lower()}{first[1:]})." if first else f"{spelt}."
