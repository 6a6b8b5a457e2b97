"""What was told to whom: a small table beside the catalog's, so that everybody is told once.

Each channel has a row for what it is told of. A row that is due is claimed before it is sent, for a while only: of two
processes at once one sends, and where that one is killed the next one does, so that a message may come twice but is
never lost. Every change of a row gives it a new version and asks for the one that was read.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from pipelines.core.database import begun, transaction
from pipelines.core.errors import Busy

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

    from pipelines.core.tenant import Tenant
    from pipelines.watch.alerts.message import Message

TABLE = "leadwise_alerts"
KEPT = timedelta(days=90)
"""How long a row is kept whose message was told and is over."""

_TRIES = 20

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Open:
    """What lasts.

    Attributes:
        kind: of the message.
        subject: of the message.
        severity: 0, 1 or 2: info, warning, error.
        since: when it began, naive UTC.
        title: of the message.
        waiting: channels that could not be told yet.
    """

    kind: str
    subject: str
    severity: int
    since: datetime
    title: str
    waiting: tuple[str, ...]


@dataclass(frozen=True)
class Due:
    """Something to be sent, claimed by us.

    Attributes:
        row: as it was claimed.
        token: of the claim.
    """

    row: Row
    token: str

    @property
    def told(self) -> dict[str, str]:
        """`title`, `text` and `severity` of the message."""
        return dict(json.loads(self.row["message"]))


class Book:
    """The table of one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def exists(self) -> bool:
        """Whether there is a table; looking makes none."""
        if not begun(self._tenant):
            return False
        with self._transaction() as connection:
            from sqlalchemy import inspect

            return bool(inspect(connection).has_table(TABLE))

    def create(self) -> None:
        """Make the table where there is none."""
        from sqlalchemy.exc import DBAPIError

        # Another process may make it at this moment.
        with suppress(DBAPIError), self._transaction(writing=True) as connection:
            _table().metadata.create_all(connection)

    def note(self, message: Message, channel: str, now: datetime, again: timedelta) -> bool:
        """Make a message due for a channel, unless it was told: see `_noted`. Whether it is due by this call."""
        from sqlalchemy.exc import IntegrityError

        pk = {"kind": message.kind, "subject": message.key, "channel": channel}
        for _ in range(_TRIES):
            row = self._row(pk)
            if row is None:
                with suppress(IntegrityError), self._transaction() as connection:
                    fresh = {**_begun(self._tenant.name, message), "changed": now, "version": 1}
                    connection.execute(_table().insert().values(tenant=self._tenant.name, **pk, **fresh))
                    return True
                continue
            change = _noted(self._tenant.name, row, message, now, again)
            if change is None:
                return False
            if self._change(row, now, **change):
                return True
        raise self._busy()

    def over(self, kind: str, subject: str, now: datetime) -> None:
        """Make the end of what lasted due for each channel that knows of it."""
        for _ in range(_TRIES):
            table = _table()
            where = (table.c.kind == kind) & (table.c.subject == subject) & (table.c.state == "open")
            changed = [self._change(row, now, **_ended(row, now)) for row in self._rows(where)]
            if all(changed):
                return
        raise self._busy()

    def due(self, names: Iterable[str], now: datetime) -> list[Row]:
        """What is to be sent to these channels and not claimed, the worst and oldest first."""
        table = _table()
        free = table.c.claimed_until.is_(None) | (table.c.claimed_until < now)
        rows = self._rows(table.c.due & table.c.channel.in_(list(names)) & free)
        return sorted(rows, key=lambda row: (-row["severity"], row["since"], row["kind"], row["subject"]))

    def claim(self, row: Row, now: datetime, lease: timedelta) -> Due | None:
        """Take a row to be sent; None where another process was faster."""
        token = secrets.token_hex(8)
        claim = {"claimed_by": token, "claimed_until": now + lease}
        if not self._change(row, row["changed"], **claim):
            return None
        return Due({**row, **claim, "version": row["version"] + 1}, token)

    def done(self, due: Due, now: datetime, sent: bool) -> None:
        """Let a claimed row go. It stays due where it was not sent, or something worse came meanwhile."""
        table, row = _table(), due.row
        free = {"claimed_by": None, "claimed_until": None, "version": table.c.version + 1}
        found: dict[str, Any] = {**free, "failures": 0 if sent else table.c.failures + 1}
        if sent:
            found |= {"told": max(row["severity"], -1 if row["told"] is None else row["told"]), "told_at": now}
        where = self._key(row) & (table.c.claimed_by == due.token)
        with self._transaction() as connection:
            same = table.c.version == row["version"]
            settled = table.update().where(where & same).values(**found, due=not sent)
            if not connection.execute(settled).rowcount:
                connection.execute(table.update().where(where).values(**found))

    def open(self) -> list[Open]:
        """What lasts, the worst and oldest first."""
        if not self.exists():
            return []
        found: dict[tuple[str, str], list[Row]] = {}
        for row in self._rows(_table().c.state == "open"):
            found.setdefault((row["kind"], row["subject"]), []).append(row)
        every = []
        for (kind, subject), rows in found.items():
            worst = max(rows, key=lambda row: int(row["severity"]))
            waiting = tuple(sorted(row["channel"] for row in rows if row["due"]))
            title = str(json.loads(worst["message"])["title"])
            since = min(row["since"] for row in rows)
            every.append(Open(kind, subject, int(worst["severity"]), since, title, waiting))
        return sorted(every, key=lambda one: (-one.severity, one.since, one.kind, one.subject))

    def tidy(self, now: datetime) -> None:
        """Remove what was told long ago and is over."""
        table = _table()
        old = (table.c.state != "open") & (table.c.changed < now - KEPT)
        with self._transaction() as connection:
            connection.execute(table.delete().where((table.c.tenant == self._tenant.name) & old))

    def _row(self, pk: Mapping[str, str]) -> Row | None:
        table = _table()
        where = (table.c.kind == pk["kind"]) & (table.c.subject == pk["subject"]) & (table.c.channel == pk["channel"])
        return next(iter(self._rows(where)), None)

    def _rows(self, where: ColumnElement[bool]) -> list[Row]:
        table = _table()
        with self._transaction() as connection:
            asked = table.select().where((table.c.tenant == self._tenant.name) & where)
            return [dict(row) for row in connection.execute(asked).mappings()]

    def _change(self, row: Row, now: datetime, **values: Any) -> bool:
        """Change a row that is still as it was read."""
        table = _table()
        where = self._key(row) & (table.c.version == row["version"])
        change = table.update().where(where).values(**values, changed=now, version=row["version"] + 1)
        with self._transaction() as connection:
            return bool(connection.execute(change).rowcount)

    def _key(self, row: Row) -> ColumnElement[bool]:
        from sqlalchemy import and_

        table = _table()
        names = ("kind", "subject", "channel")
        return and_(table.c.tenant == self._tenant.name, *(table.c[name] == row[name] for name in names))

    def _busy(self) -> Busy:
        return Busy(f"the alerts of tenant '{self._tenant.name}' are being changed by others all the time: run again")

    def _transaction(self, writing: bool = False) -> AbstractContextManager[Connection]:
        return transaction(self._tenant, f"alerts of tenant '{self._tenant.name}'", writing)


def _begun(tenant: str, message: Message) -> dict[str, Any]:
    """What a row holds when something begins."""
    state = "open" if message.lasting else "event"
    return {**_worded(tenant, message), "state": state, "since": message.since, "told": None, "told_at": None}


def _worded(tenant: str, message: Message) -> dict[str, Any]:
    told = {"title": message.title(tenant), "text": message.text(), "severity": message.severity}
    return {"message": json.dumps(told), "severity": message.level, "due": True}


def _noted(tenant: str, row: Row, message: Message, now: datetime, again: timedelta) -> dict[str, Any] | None:
    """What changes when something is said to last; None where nothing does.

    It is told when it begins anew, when it got worse than was ever told of it, and when it was last told long ago. What
    waits takes the newest words, but for the moment in which it is being sent.
    """
    if row["state"] == "over":
        return _begun(tenant, message)
    message = message.begun(row["since"])
    told = -1 if row["told"] is None else int(row["told"])
    if row["due"]:
        claimed = row["claimed_until"] is not None and row["claimed_until"] >= now
        if message.level > row["severity"]:
            return _worded(tenant, message)
        words = _worded(tenant, message) | {"severity": row["severity"]}
        return None if claimed or message.level < row["severity"] or words["message"] == row["message"] else words
    late = row["state"] == "open" and row["told_at"] is not None and now - row["told_at"] >= again
    return _worded(tenant, message) if message.level > told or late else None


def _ended(row: Row, now: datetime) -> dict[str, Any]:
    """What changes when something is over."""
    told = json.loads(row["message"])
    text = f"It is over as of {now:%Y-%m-%d %H:%M} UTC.\n{told['text']}"
    message = {"title": f"OVER: {told['title']}", "text": text, "severity": "over"}
    return {"message": json.dumps(message), "state": "over", "due": True}


@cache
def _table() -> Table:
    from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, PrimaryKeyConstraint, String, Table, Text

    keys = (("tenant", 64), ("kind", 128), ("subject", 160), ("channel", 64))
    return Table(
        TABLE,
        MetaData(),
        *(Column(name, String(size), nullable=False) for name, size in keys),
        Column("state", String(8), nullable=False),  # open, event, over
        Column("message", Text, nullable=False),
        Column("severity", Integer, nullable=False),
        Column("told", Integer),  # the worst that was told
        *(Column(name, DateTime, nullable=False) for name in ("since", "changed")),
        *(Column(name, DateTime) for name in ("told_at", "claimed_until")),
        Column("claimed_by", String(32)),
        Column("due", Boolean, nullable=False),
        Column("version", Integer, nullable=False),
        Column("failures", Integer, nullable=False, default=0),
        PrimaryKeyConstraint("tenant", "kind", "subject", "channel"),
    )
