"""Names: what headers tell, and how they become names that contracts, SQL and folders can have."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import duckdb
import yaml

from pipelines.core.errors import ConfigError

CASE = re.compile(r"[a-z][a-z0-9_]{0,30}")
_TAKEN_CASES = ("airflow", "mlflow", "bench", "__pycache__")
LINEAGE = ("source_file", "source_row")
"""Columns that a mapping sees beside the source's own, with those that begin with _."""
_TAKEN = frozenset(
    (
        *(*LINEAGE, "as_of", "event_time", "label", "known_at", "entity_id"),
        *("probability", "tier", "rank", "score_id", "target", "model_version"),
    )
)
"""Names that stand beside features, scores or raw rows."""


@cache
def words(kind: str) -> tuple[str, ...]:
    """The words of one kind in `words.yaml`."""
    data = yaml.safe_load((Path(__file__).parent / "words.yaml").read_text(encoding="utf-8"))
    return tuple(str(word) for word in data[kind])


def says(name: str, kind: str) -> bool:
    """Whether a column's name holds a word of `kind`: whole words, so that `rate` is no `at`."""
    padded = f"_{name.lower()}_"
    return any(f"_{word}_" in padded for word in words(kind))


def check_case(case: str, what: str = "use case") -> None:
    """Refuse a name that folders, Airflow or MLflow could not have.

    Raises:
        ConfigError: a bad name, or one that is taken.
    """
    if not CASE.fullmatch(case):
        raise ConfigError(
            f"'{case}' is no name for a {what}: use at most 31 lower-case letters, digits and _, a letter first"
        )
    if case in _TAKEN_CASES:
        raise ConfigError(f"'{case}' is a folder of Leadwise's own under var/: give the {what} another name")


def plain(text: str, otherwise: str) -> str:
    """`text` as lower-case letters, digits and _, a letter first: `CustomerID` gives customer_id."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", ascii_text)
    name = re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")
    if not name:
        return otherwise
    return name if name[0].isalpha() else f"c_{name}"


def column_names(headers: Iterable[str]) -> dict[str, str]:
    """Name in contracts and SQL by header, each name once; reserved ones get `_value`."""
    found: dict[str, str] = {}
    for number, header in enumerate(headers, 1):
        name = plain(header, f"column_{number}")
        name = f"{name}_value" if name in _TAKEN else name
        first, count = name, 1
        while name in found.values():
            count += 1
            name = f"{first}_{count}"
        found[header] = name
    return found


def singular(name: str) -> str:
    """The name of one row of a table: members gives member."""
    for ending, short in (("ies", "y"), ("sses", "ss"), ("s", "")):
        if name.endswith(ending) and len(name) > len(ending) + 2 and not name.endswith("ss"):
            return name.removesuffix(ending) + short
    return name


@cache
def _reserved() -> frozenset[str]:
    found = duckdb.sql("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'").fetchall()
    return frozenset(str(row[0]) for row in found)


def ident(name: str) -> str:
    """`name` as it stands in SQL: in quotes where it has to be."""
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in _reserved():
        return name
    return '"' + name.replace('"', '""') + '"'


def text(value: object) -> str:
    """A text literal of SQL."""
    return "'" + str(value).replace("'", "''") + "'"
