"""The ledger: which version was put to work when, by whom and why. Rows are added, and none is changed or removed.

It lies in the database of the Iceberg catalog, a file of the tenant's own or the PostgreSQL of all. Two decisions at
once have one number, and the database takes one of them. Each row holds a digest of itself and of the row before it:
one that was changed by hand is noticed when it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pipelines.core.database import begun, transaction
from pipelines.core.errors import Busy, LeadwiseError
from pipelines.core.interval import utc_now
from pipelines.registry.ledger_tables import LEDGER, LOOKS, tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pipelines.core.tenant import Tenant

Action = Literal["promote", "rollback"]


@dataclass(frozen=True)
class Entry:
    """A decision that is in force until the next one.

    Attributes:
        target: whose model.
        seq: 1, 2, 3 … of its target.
        at: when it was made, naive UTC.
        action: `promote`, or `rollback` to a version that was in force before.
        version: that is in force from then on.
        previous: that was until then; None where there was none.
        by: who: a person, or the DAG run.
        why: one sentence.
        evidence: where the verdict is and what it rests on, JSON-ready.
        digest: of the model's files, see `pipelines.registry.loading.digest`.
        as_of: the instant whose knowledge the version was trained on, ISO.
        chain: digest of this row and the one before.
    """

    target: str
    seq: int
    at: datetime
    action: Action
    version: str
    previous: str | None
    by: str
    why: str
    digest: str
    as_of: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    chain: str = ""

    def linked(self, before: str) -> str:
        """What `chain` has to be after a row whose own was `before`."""
        told = {name: value for name, value in asdict(self).items() if name != "chain"}
        text = json.dumps({**told, "at": self.at.isoformat(), "before": before}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return {**asdict(self), "at": self.at.isoformat(), "evidence": dict(self.evidence)}


@dataclass(frozen=True)
class Look:
    """A verdict that was given on held out rows.

    Attributes:
        verdict: its id: the same evidence gives the same.
        version: that was judged.
        against: the champion it was held against; None where there was none.
        first: event time of the first row of the window.
        last: of its last row.
        candidates: how many models were compared on it when the version was chosen.
        passed: the verdict.
    """

    verdict: str
    version: str
    against: str | None
    first: datetime
    last: datetime
    candidates: int
    passed: bool


class Ledger:
    """The ledger of one tenant. Reading creates nothing."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def entries(self, target: str) -> list[Entry]:
        """All decisions on a target, the oldest first.

        Raises:
            LeadwiseError: a row is missing or is not what was written.
            StoreUnreachable: the database does not answer.
        """
        rows = self._select(LEDGER, target, "seq")
        found = [Entry(**{**row, "evidence": json.loads(row["evidence"])}) for row in rows]
        before = ""
        for number, entry in enumerate(found, 1):
            if entry.seq != number or entry.chain != entry.linked(before):
                raise LeadwiseError(
                    f"row {number} of the ledger of tenant '{self._tenant.name}', target '{target}', was changed by"
                    " hand or is missing: no model is loaded on its word; bring the catalog back from a backup"
                )
            before = entry.chain
        return found

    def current(self, target: str) -> Entry | None:
        """The decision in force; None where none was made yet."""
        return next(reversed(self.entries(target)), None)

    def append(self, entry: Entry) -> Entry:
        """Write a decision; its `chain` is filled in, and its `seq` has to be the next one.

        Raises:
            Busy: somebody else's decision has that number: nothing was written.
        """
        from sqlalchemy.exc import IntegrityError

        known = self.entries(entry.target)
        told = {**asdict(entry), "chain": entry.linked(known[-1].chain if known else "")}
        if entry.seq != len(known) + 1:
            raise self._too_late(entry)
        try:
            self._insert(LEDGER, {**told, "evidence": json.dumps(dict(entry.evidence), sort_keys=True)})
        except IntegrityError:
            raise self._too_late(entry) from None
        return Entry(**told)

    def _too_late(self, entry: Entry) -> Busy:
        return Busy(
            f"somebody else decided on '{entry.target}' of tenant '{self._tenant.name}' at the same time: nothing was"
            " changed; look at what they decided, then run this one again"
        )

    def looks(self, target: str) -> list[Look]:
        """The verdicts on a target, in the order of their windows."""
        return [Look(**row) for row in self._select(LOOKS, target, "first")]

    def looked(self, target: str, look: Look) -> None:
        """Remember a verdict; the same one again adds nothing."""
        from sqlalchemy.exc import IntegrityError

        if all(one.verdict != look.verdict for one in self.looks(target)):
            try:
                self._insert(LOOKS, {"target": target, **asdict(look)})
            except IntegrityError:  # another process gave the same one at this moment
                return

    def _select(self, name: str, target: str, order: str) -> list[dict[str, Any]]:
        if not begun(self._tenant):
            return []
        with self._connected() as connection:
            from sqlalchemy import inspect, select

            if not inspect(connection).has_table(name):
                return []
            table = tables()[name]
            own = (table.c.tenant == self._tenant.name) & (table.c.target == target)
            rows = connection.execute(select(table).where(own).order_by(table.c[order])).mappings()
            fields = (Entry if name == LEDGER else Look).__dataclass_fields__
            return [{key: value for key, value in row.items() if key in fields} for row in rows]

    def _insert(self, name: str, row: Mapping[str, Any]) -> None:
        from sqlalchemy.exc import DBAPIError

        table = tables()[name]
        with (
            suppress(DBAPIError),
            self._connected(writing=True) as connection,
        ):  # another process may make them at this moment
            table.metadata.create_all(connection)
        with self._connected() as connection:
            connection.execute(table.insert().values(tenant=self._tenant.name, **row))

    def _connected(self, writing: bool = False) -> AbstractContextManager[Connection]:
        return transaction(self._tenant, f"ledger of tenant '{self._tenant.name}'", writing)


def entry_of(
    target: str, known: list[Entry], version: str, action: Action, *, by: str, why: str, digest: str, as_of: str,
    evidence: Mapping[str, Any],
) -> Entry:  # fmt: skip
    """The decision that comes after `known`, made now."""
    previous = known[-1].version if known else None
    plain = json.loads(json.dumps(dict(evidence)))
    return Entry(target, len(known) + 1, utc_now(), action, version, previous, by, why, digest, as_of, plain)
