"""Carries file, row and batch of the source through a mapping, by adding columns to its SELECTs."""

import sqlglot
from sqlglot import exp

ORIGIN = {"source_file": "_source_file", "source_row": "_source_row", "_batch": "_batch_id", "_ends": "_interval_end"}
"""Lineage as the source views have it, and as the result has it."""


def carry(sql: str, sources: set[str]) -> tuple[str, str] | None:
    """Rewrite a mapping so that its rows say which row of the source they come from.

    Args:
        sql: one checked SELECT.
        sources: names of the source views.

    Returns:
        The SQL with four columns more, and the source they come from; None where a row of the result is no row of a
        source (groups, unions, distinct rows).
    """
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    if not isinstance(tree, exp.Select):
        return None
    ctes = {cte.alias.lower(): cte for cte in tree.find_all(exp.CTE)}
    root = _carry(tree, ctes, {name.lower(): name for name in sources}, set())
    return (tree.sql(dialect="duckdb"), root) if root else None


def is_plain(sql: str) -> bool:
    """Whether each row of the result needs its own row of one source only, so that the source can be streamed once."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    kinds = (
        exp.CTE,
        exp.Subquery,
        exp.Join,
        exp.Window,
        exp.Group,
        exp.Distinct,
        exp.Order,
        exp.SetOperation,
        exp.Limit,
    )
    return not tree.find(*kinds, exp.AggFunc, exp.Exists, exp.In) and len(list(tree.find_all(exp.Table))) == 1


def _carry(select: exp.Select, ctes: dict[str, exp.CTE], sources: dict[str, str], done: set[str]) -> str | None:
    """Add the columns to `select` and to what it reads from; returns the source at the bottom."""
    if any(select.args.get(part) for part in ("group", "distinct", "having", "pivots", "laterals")):
        return None
    if any(agg.find_ancestor(exp.Window, exp.Select) is select for agg in select.find_all(exp.AggFunc)):
        return None
    origin = select.args.get("from_") or select.args.get("from")
    table = origin.this if origin else None
    alias = table.alias_or_name if isinstance(table, exp.Table | exp.Subquery) else ""
    if not alias:
        return None
    if isinstance(table, exp.Table) and table.name.lower() in ctes and table.name.lower() not in done:
        done.add(table.name.lower())
        inner = ctes[table.name.lower()].this
    elif isinstance(table, exp.Table) and table.name.lower() in sources:
        _add(select, alias, dict(ORIGIN))
        return sources[table.name.lower()]
    else:
        inner = table.this if isinstance(table, exp.Subquery) else None
    root = _carry(inner, ctes, sources, done) if isinstance(inner, exp.Select) else None
    if root and not _has_star(select, alias):
        _add(select, alias, {name: name for name in ORIGIN.values()})
    return root


def _add(select: exp.Select, alias: str, names: dict[str, str]) -> None:
    added = [exp.alias_(exp.column(name, table=alias, quoted=True), new, quoted=True) for name, new in names.items()]
    select.set("expressions", [*select.expressions, *added])


def _has_star(select: exp.Select, alias: str) -> bool:
    """Whether the SELECT passes all columns of `alias` on as they are."""
    for one in select.expressions:
        if isinstance(one, exp.Star):
            return True
        if isinstance(one, exp.Column) and isinstance(one.this, exp.Star) and one.table.lower() == alias.lower():
            return True
    return False
