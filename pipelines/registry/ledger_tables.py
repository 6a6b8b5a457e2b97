"""The tables of the ledger in the catalog's database, and what keeps their rows as they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Table

LEDGER, LOOKS = "leadwise_ledger", "leadwise_looks"
"""The two tables: decisions, and how often a stretch of held out rows was looked at to come to one."""


def tables() -> dict[str, Table]:
    """Both tables, with triggers that refuse every change of a row."""
    from sqlalchemy import (
        Boolean,
        Column,
        DateTime,
        Integer,
        MetaData,
        PrimaryKeyConstraint,
        String,
        Table,
        Text,
    )

    data = MetaData()
    own = [("tenant", String(64)), ("target", String(128))]
    ledger = Table(
        LEDGER,
        data,
        *(Column(name, kind, nullable=False) for name, kind in own),
        Column("seq", Integer, nullable=False),
        Column("at", DateTime, nullable=False),
        *(Column(name, String(64), nullable=name == "previous") for name in ("action", "version", "previous", "as_of")),
        *(Column(name, Text, nullable=False) for name in ("by", "why", "evidence", "digest", "chain")),
        PrimaryKeyConstraint("tenant", "target", "seq"),
    )
    looks = Table(
        LOOKS,
        data,
        *(Column(name, kind, nullable=False) for name, kind in own),
        Column("verdict", String(64), nullable=False),
        Column("version", String(64), nullable=False),
        Column("against", String(64)),
        Column("first", DateTime, nullable=False),
        Column("last", DateTime, nullable=False),
        Column("candidates", Integer, nullable=False),
        Column("passed", Boolean, nullable=False),
        PrimaryKeyConstraint("tenant", "target", "verdict"),
    )
    for table in (ledger, looks):
        _guard(table)
    return {LEDGER: ledger, LOOKS: looks}


def _guard(table: Table) -> None:
    """Let the database itself refuse changes of rows that are there."""
    from sqlalchemy import event

    said = "rows of this table are added, never changed or removed"
    for word in ("UPDATE", "DELETE"):
        name = f"{table.name}_no_{word.lower()}"
        lite = f"CREATE TRIGGER {name} BEFORE {word} ON {table.name} BEGIN SELECT RAISE(ABORT, '{said}'); END"
        event.listen(table, "after_create", _for("sqlite", lite))
    refuse = (
        f"CREATE OR REPLACE FUNCTION {table.name}_refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $body$ BEGIN RAISE EXCEPTION '{said}'; END $body$"
    )
    trigger = (
        f"CREATE TRIGGER {table.name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {table.name}_refuse()"
    )
    for sql in (refuse, trigger):
        event.listen(table, "after_create", _for("postgresql", sql))


def _for(dialect: str, sql: str) -> Any:
    from sqlalchemy import DDL

    made: Any = DDL
    return made(sql).execute_if(dialect=dialect)
