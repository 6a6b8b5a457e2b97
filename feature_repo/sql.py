"""What SQL of a use case may say: one SELECT over the views it is given, and nothing that looks past them."""

import hashlib
import logging
import re
from collections.abc import Collection
from pathlib import Path

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import TokenType

from feature_repo.understood import check_understood
from pipelines.core.errors import LeadwiseError, SqlError
from pipelines.core.stores import behind

# Statements and clauses that are no plain SELECT, wherever they stand.
_REFUSED = (
    exp.DML,
    exp.DDL,
    exp.Command,
    exp.Describe,
    exp.Set,
    exp.Pragma,
    exp.Attach,
    exp.Copy,
    exp.Into,
    exp.Use,
)


def check_sql(
    sql: str, path: Path, tables: Collection[str], params: Collection[str] = ("as_of",), first_line: int = 1
) -> None:
    """Refuse SQL that is not a single SELECT over `tables`, with no other inputs than `params`.

    Args:
        sql: the text, in DuckDB's dialect.
        path: its file, for the sentence.
        tables: names of the views it may read, with a schema where they have one; CTEs of its own are fine.
        params: named parameters it may use, without `$`.
        first_line: line of the file at which `sql` begins.

    Raises:
        SqlError: one sentence with file, line and the way out.
    """
    shift = first_line - 1
    tree = _parse(sql, path, shift)
    check_understood(sql, path, {name.lower() for name in tables}, shift)
    for node in tree.walk():
        _check_node(node, path, shift, params)


def read_sql(path: Path) -> str:
    """The text of a file of SQL.

    Raises:
        SqlError: it can't be read, or is no UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SqlError(f"{path} can't be read ({error.strerror}): check its permissions") from None
    except UnicodeDecodeError:
        raise SqlError(f"{path} is no UTF-8 text: save it as UTF-8") from None


def failed(error: duckdb.Error | OSError, sql: str, path: Path, first_line: int = 1) -> LeadwiseError:
    """Turn what DuckDB said about `sql` into a sentence with file and line, in which no cell's value stands.

    What ended a stream that the SQL reads, such as a server that went away, has a sentence of its own already.

    Args:
        error: raised while `sql` was bound or run, perhaps inside a wrapper on the same lines; Arrow passes on what
            DuckDB says in the middle of a stream as an OSError.
        sql: the text as it stands in the file.
        path: its file.
        first_line: line of the file at which `sql` begins.
    """
    store = behind(error)
    if store is not None:
        return store
    text = str(error)
    said = _without_values(re.split(r"\n\s*LINE \d+:", text)[0], sql)
    first = " ".join(next((line for line in said.splitlines() if line.strip()), type(error).__name__).split())
    found = re.search(r"^LINE (\d+):", text, re.MULTILINE)
    last = sql.count("\n") + 1
    line = min(int(found.group(1)), last) if found else 1
    return SqlError(f"{path}:{line + first_line - 1}: DuckDB refuses this SQL: {first}")


def _without_values(text: str, sql: str) -> str:
    """What DuckDB said, without values of cells: quoted text that is no word of the SQL, and numbers."""
    if re.match(r"(Parser|Binder|Catalog) Error", text):  # said before a row is read: these quote the SQL alone
        return text
    text = re.sub(r"'.*'|'.*$", "'…'", text, flags=re.DOTALL)
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    if any(quoted.lower() not in words for quoted in re.findall(r'"([^"]*)(?:"|$)', text)):
        text = re.sub(r'".*"|".*$', '"…"', text, flags=re.DOTALL)
    return re.sub(r"(?<!\w)[-+]?\d+(?:[.,:-]\d+)*", "…", text)


def sql_hash(sql: str) -> str:
    """SHA-256 of the SQL's meaning: comments, spaces and the case of words do not count."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    text = tree.sql(dialect="duckdb", comments=False, normalize=True, normalize_functions="lower")
    return hashlib.sha256(text.encode()).hexdigest()


def tables_of(sql: str, tables: Collection[str]) -> frozenset[str]:
    """Those of `tables` that the SQL names."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    named = {table.name.lower() for table in tree.find_all(exp.Table)}
    return frozenset(name for name in tables if name.lower() in named)


def columns_named(sql: str) -> frozenset[str]:
    """Names of columns, in lower case, that the SQL says anywhere but as the name of a result."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    names = {column.name for column in tree.find_all(exp.Column) if not column.is_star}
    names |= {part.name for dot in tree.find_all(exp.Dot) for part in dot.find_all(exp.Identifier)}
    for join in tree.find_all(exp.Join):
        names |= {one.name for one in join.args.get("using") or ()}
    for star in tree.find_all(exp.Star):
        names |= {one.name for one in star.find_all(exp.Identifier)}
    return frozenset(name.lower() for name in names)


def passed_on(sql: str, tables: Collection[str]) -> frozenset[str]:
    """Those of `tables` whose columns reach the result, or may, without being named: `*` all the way down."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    reached = _starred(tree, {cte.alias.lower(): cte.this for cte in tree.find_all(exp.CTE)}, frozenset())
    aliases = {one.alias_or_name.lower(): one.name.lower() for one in tree.find_all(exp.Table)}
    reached |= {aliases[name] for name in columns_named(sql) if name in aliases}  # a row as one value
    unclear = tree.find(exp.Pivot) or any(join.method == "NATURAL" for join in tree.find_all(exp.Join))
    return frozenset(name for name in tables if unclear or name.lower() in reached)


def _starred(query: exp.Expression, ctes: dict[str, exp.Expression], done: frozenset[str]) -> set[str]:
    """Tables, in lower case, of which `query` gives all columns."""
    if isinstance(query, exp.SetOperation):
        return _starred(query.left, ctes, done) | _starred(query.right, ctes, done)
    if isinstance(query, exp.Subquery):
        return _starred(query.this, ctes, done)
    origin = query.args.get("from_") or query.args.get("from")
    places = [one.this for one in (origin, *(query.args.get("joins") or ())) if one]
    found: set[str] = set()
    for star in (one for one in query.expressions if one.is_star or one.find(exp.Columns)):
        alias = star.table.lower() if isinstance(star, exp.Column) else ""
        for place in places:
            name = place.name.lower() if isinstance(place, exp.Table) else ""
            if alias and alias != place.alias_or_name.lower():
                continue
            if name in ctes and name not in done:
                found |= _starred(ctes[name], ctes, done | {name})
            elif name:
                found.add(name)
            elif isinstance(place, exp.Subquery):
                found |= _starred(place, ctes, done)
    return found


def bare(sql: str) -> str:
    """The SQL without closing semicolons, so that it can stand in brackets; lines stay where they are."""
    stream = list(sqlglot.tokenize(sql, dialect="duckdb"))
    while stream and stream[-1].token_type == TokenType.SEMICOLON:
        sql = sql[: stream[-1].start] + sql[stream[-1].end + 1 :]
        stream = stream[:-1]
    return sql


# sqlglot says aloud when it meets a statement it does not know; the sentence of `_parse` says it better.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


def _parse(sql: str, path: Path, shift: int) -> exp.Expression:
    try:
        statements = [one for one in sqlglot.parse(sql, dialect="duckdb") if one is not None]
    except SqlglotError as error:
        line, what = _parse_failure(error)
        raise SqlError(f"{path}:{line + shift}: this is not SQL that DuckDB's dialect knows: {what}") from None
    statements = [one for one in statements if not isinstance(one, exp.Semicolon)]
    if not statements:
        raise SqlError(f"{path}:{1 + shift}: there is no SQL here: write one SELECT")
    if len(statements) > 1:
        raise SqlError(
            f"{path}:{_line(statements[1], shift)}: a second statement stands here: write one SELECT, with CTEs"
        )
    tree = statements[0]
    if not isinstance(tree, exp.Select | exp.SetOperation):
        raise SqlError(f"{path}:{_line(tree, shift)}: {tree.key.upper()} is not allowed: write one SELECT")
    return tree


def _parse_failure(error: SqlglotError) -> tuple[int, str]:
    """Line (1-based) and the heart of what sqlglot says."""
    details = getattr(error, "errors", None) or [{}]
    line = details[0].get("line") or 1
    text = str(details[0].get("description") or str(error)).split(". Line")[0]
    return int(line), " ".join(text.split(" but got ")[0].split())[:160]


def _check_node(node: exp.Expression, path: Path, shift: int, params: Collection[str]) -> None:
    if isinstance(node, _REFUSED):
        raise SqlError(f"{path}:{_line(node, shift)}: {node.key.upper()} is not allowed: write one SELECT")
    if isinstance(node, exp.Placeholder | exp.Parameter):
        name = str(node.this.name if isinstance(node.this, exp.Expression) else node.this or "?")
        if name not in params:
            known = " and ".join(f"${one}" for one in params) or "none"
            raise SqlError(f"{path}:{_line(node, shift)}: unknown parameter ${name}: this query may use {known}")


def _line(node: exp.Expression, shift: int) -> int:
    """The line at which `node`, or the first part of it that knows, stands."""
    parent: exp.Expression | None = node
    while parent is not None:
        for part in parent.walk():
            line = part.meta.get("line")
            if line:
                return int(line) + shift
        parent = parent.parent
    return 1 + shift
