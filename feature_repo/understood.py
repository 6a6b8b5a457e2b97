"""What DuckDB itself understands of a query: its functions and tables, held against DuckDB's own catalogue.

Another parser may read a text in another way; this is the tree that will run.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from pipelines.core.errors import SqlError, nearest

_TABLE_FUNCTIONS = frozenset(("range", "generate_series", "unnest"))
"""Functions that may stand where a table stands: they read their arguments alone."""

# Said to be pure by the catalogue, or not listed there, and yet they look at tables, plans, the clock or the machine.
_NEVER = frozenset(("age", "getenv", "json_serialize_plan", "reservoir_quantile"))

# Names that are functions where no column is called so, quoted or not.
_BARE = frozenset(
    (
        "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_localtime",
        "current_localtimestamp", "current_catalog", "current_database", "current_schema",
    )
)  # fmt: skip
_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
_PLACES = frozenset(
    ("SELECT_NODE", "BASE_TABLE", "JOIN", "SUBQUERY", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT")
)
"""Kinds of what may be read from, and of what may be sampled."""

_Node = dict[str, Any]


def check_understood(sql: str, path: Path, tables: Collection[str], shift: int = 0) -> None:
    """Refuse SQL that calls what is no pure function, or reads what is no view of its own.

    Args:
        sql: one statement, in DuckDB's dialect.
        path: its file, for the sentence.
        tables: views it may read, in lower case; CTEs of its own are fine.
        shift: lines of the file above `sql`.

    Raises:
        SqlError: one sentence with file and line.
    """
    tree = _tree(sql)
    if tree.get("error"):
        said = " ".join(str(tree.get("error_message")).split())[:160]
        line = _line(sql, int(tree.get("position") or 0)) + shift
        raise SqlError(f"{path}:{line}: DuckDB can't read this as one SELECT: {said}")
    nodes = list(_nodes(tree, 0))
    own = {str(entry["key"]).lower() for node, _ in nodes for entry in (node.get("cte_map") or {}).get("map", ())}
    for node, place in nodes:
        wrong = _wrong_function(node) or _wrong_place(node, tables, own)
        if wrong:
            raise SqlError(f"{path}:{_line(sql, place) + shift}: {wrong}")


def columns_read(sql: str, tables: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
    """The columns that a query reads of each of `tables` that it names; all of them where it may take rows as a whole.

    Every name that stands anywhere in the query counts for every table, so that none means another column without the
    columns that are left out.

    Args:
        sql: one SELECT that `check_understood` lets pass.
        tables: their columns.
    """
    nodes = [node for node, _ in _nodes(_tree(sql), 0)]
    read = {str(node["table_name"]).lower() for node in nodes if node.get("type") == "BASE_TABLE"}
    parts = (part for node in nodes for kind in ("column_names", "using_columns") for part in node.get(kind) or ())
    named = {str(part).lower() for part in parts}
    whole = any(_takes_rows(node, nodes, tables) for node in nodes)
    return {
        table: frozenset(name for name in columns if whole or name.lower() in named)
        for table, columns in tables.items()
        if table.lower() in read
    }


def _takes_rows(node: _Node, nodes: list[_Node], tables: Collection[str]) -> bool:
    """Whether an object may take all columns of a table without naming them."""
    kind = node.get("type")
    if kind == "COLUMN_REF" and len(node["column_names"]) == 1:  # a row as one value
        whose = {str(one.get("alias") or one["table_name"]).lower() for one in nodes if one.get("type") == "BASE_TABLE"}
        return str(node["column_names"][0]).lower() in whose
    if kind == "SELECT_NODE":
        stars = (one for part in ("select_list", "modifiers") for one, _ in _nodes(node[part], 0))
        places = (one for one, _ in _nodes(node["from_table"], 0) if one.get("type") == "BASE_TABLE")
        known = {table.lower() for table in tables}
        return any(str(one["table_name"]).lower() in known for one in places) and any(
            one.get("class") == "STAR" for one in stars
        )
    return kind == "PIVOT" or node.get("ref_type") in ("NATURAL", "POSITIONAL") or bool(node.get("column_name_alias"))


def _line(sql: str, place: int) -> int:
    """The line of a byte, from 1."""
    return sql.encode()[:place].count(b"\n") + 1


def _wrong_function(node: _Node) -> str | None:
    """Why a function may not be called here; None where there is none, or a pure one."""
    kind = node.get("class")
    name = ""
    if kind == "FUNCTION":
        name = str(node["function_name"]).lower()
        if name not in refused_functions():
            return None
    elif kind == "COLUMN_REF" and len(node["column_names"]) == 1:
        name = str(node["column_names"][0]).lower()
        if name not in _BARE:
            return None
    return name and (
        f"{name} is not allowed: a query reads its views and parameters alone, so that it gives the same rows whenever"
        " it runs" + ("; name a column that is called so with its table" if kind == "COLUMN_REF" else "")
    )


def _wrong_place(node: _Node, tables: Collection[str], own: Collection[str]) -> str | None:
    """Why this can't be read from; None where it is no place to read from, or a view."""
    if node.get("sample") is not None:
        return "a sample is not allowed: it gives other rows each time it runs; filter by hash(key) instead"
    kind = node.get("type")
    views = f"read the views {', '.join(sorted(tables))}"
    if kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).lower()
        return None if name in _TABLE_FUNCTIONS else f"{name or 'this table function'} is not allowed here: {views}"
    if kind == "BASE_TABLE":
        return _wrong_table(node, tables, own)
    # Only what stands after FROM can be a sample.
    return f"{kind} is not allowed here: {views}" if "sample" in node and kind not in _PLACES else None


def _wrong_table(node: _Node, tables: Collection[str], own: Collection[str]) -> str | None:
    """Why this name can't be read from; None for a view, or a CTE with a plain name."""
    past = ".".join(str(node[part]) for part in ("catalog_name", "schema_name") if node.get(part))
    name = str(node["table_name"]).lower()
    if past:
        full = f"{past}.{name}"
        return None if full.lower() in tables else f"'{full}' looks past the views: name a view without a schema"
    if node.get("at_clause"):
        return f"AT is not allowed: the view '{name}' is as of $as_of already"
    if name in tables or (name in own and _PLAIN.fullmatch(name)):
        return None
    return f"there is no view '{name}' here: {nearest(name, tables)}"


def _nodes(value: Any, place: int) -> Iterator[tuple[_Node, int]]:
    """Every object of the tree with the byte at which it, or what it is part of, stands."""
    if isinstance(value, list):
        for one in value:
            yield from _nodes(one, place)
    elif isinstance(value, dict):
        here = value.get("query_location", place)
        here = here if isinstance(here, int) and here < 2**63 else place
        yield value, here
        for one in value.values():
            yield from _nodes(one, here)


def _tree(sql: str) -> _Node:
    [[text]] = _parser().cursor().execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    found: _Node = json.loads(text)
    return found


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    """A DuckDB that holds nothing and parses only; opening one for each text would take longer than all the rest."""
    return duckdb.connect(config={"enable_external_access": "false", "threads": 1})


@cache
def refused_functions() -> frozenset[str]:
    """Names in DuckDB's catalogue that may not be called, in lower case.

    A function is pure where the catalogue says that it is CONSISTENT, a macro where all that it calls is; those that
    stand for a table, begin with __ or are pragmas are not.
    """
    catalogue = "SELECT lower(function_name), function_type, stability, macro_definition FROM duckdb_functions()"
    rows = _parser().cursor().execute(catalogue).fetchall()
    refused = {name for name, kind, stability, _ in rows if kind == "scalar" and stability != "CONSISTENT"}
    values = {name for name, kind, *_ in rows if kind in ("scalar", "aggregate", "window", "macro")}
    refused |= {name for name, *_ in rows if name not in values and name not in _TABLE_FUNCTIONS}
    refused |= _NEVER | _BARE | {name for name, *_ in rows if name.startswith("__") and _WORD.fullmatch(name)}
    macros = [(name, _named(text)) for name, kind, _, text in rows if kind == "macro"]
    while more := {name for name, called in macros if name not in refused and called & (refused | {""})}:
        refused |= more  # a macro that calls a refused macro
    return frozenset(refused)


def _named(expression: str) -> frozenset[str]:
    """Functions and bare names of a macro's definition; an empty name where it reads a table."""
    found = set()
    for node, _ in _nodes(_tree(f"SELECT {expression}"), 0):
        if node.get("class") == "FUNCTION":
            found.add(str(node["function_name"]).lower())
        elif node.get("class") == "COLUMN_REF":
            found.add(str(node["column_names"][-1]).lower())
        elif node.get("error") is True or node.get("class") == "SUBQUERY":
            found.add("")
    return frozenset(found)
