"""How sources become tables: the sections of `mapping.sql`."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from feature_repo.sql import bare, check_sql, read_sql, sql_hash
from pipelines.core.errors import SqlError, nearest


@dataclass(frozen=True)
class MappingSql:
    """A section of `mapping.sql`: a SELECT over the sources that yields one contract table.

    `first_line` is where the text begins in its file, for sentences; 0 means the table is its source as it is.
    """

    table: str
    sql: str
    sql_hash: str
    path: Path
    first_line: int


def load_mappings(folder: Path, tables: Collection[str], sources: Collection[str]) -> dict[str, MappingSql]:
    """Read `mapping.sql`: sections headed `-- table: <contract>`; a table without one is its source as it is.

    Args:
        folder: of the use case's SQL.
        tables: names of the contracts.
        sources: names of the sources, which the SQL reads as views.

    Raises:
        SqlError: an unknown table, SQL that is refused, or a table with neither section nor source.
    """
    path = folder / "mapping.sql"
    text = read_sql(path) if path.is_file() else ""
    found: dict[str, MappingSql] = {}
    for table, sql, line in _sections(text):
        if table not in tables:
            raise SqlError(f"{path}:{line - 1}: there is no contract '{table}': {nearest(table, tables)}")
        if table in found:
            raise SqlError(f"{path}:{line - 1}: table '{table}' has a section already: keep one of them")
        check_sql(sql, path, sources, params=(), first_line=line)
        found[table] = MappingSql(table, bare(sql), sql_hash(sql), path, line)
    for table in tables:
        if table not in found:
            if table not in sources:
                raise SqlError(
                    f"{path}: table '{table}' has neither a source of its name nor a section: add '-- table: {table}'"
                )
            sql = f'select * from "{table}"'
            found[table] = MappingSql(table, sql, sql_hash(sql), path, 0)
    return {table: found[table] for table in tables}


def _sections(text: str) -> Iterable[tuple[str, str, int]]:
    """(table, SQL, line at which the SQL begins) of each section."""
    heads = list(re.finditer(r"^--[ \t]*table:[ \t]*(\w+)[ \t]*$", text, re.MULTILINE))
    for head, following in zip_longest(heads, heads[1:]):
        body = text[head.end() + 1 : following.start() if following else len(text)]
        yield head.group(1), body, text.count("\n", 0, head.end()) + 2
