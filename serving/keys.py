"""API keys of a tenant's endpoint: shown once, kept as salted hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipelines.core.database import begun, transaction
from pipelines.core.errors import ConfigError
from pipelines.core.interval import utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Table

    from pipelines.core.tenant import Tenant

TABLE = "leadwise_keys"

Hashes = dict[str, tuple[str, str]]
"""Salt and hash of keys, by their ids."""

_HEAD = "lw"
_LONGEST = 100
_NOBODY = ("", "")


@dataclass(frozen=True)
class Key:
    """A key, without its secret.

    Attributes:
        id: by which it is known; a part of the key itself.
        name: whose it is, in words.
        created: naive UTC.
        revoked: when it ceased to open anything, naive UTC; None while it does.
    """

    id: str
    name: str
    created: datetime
    revoked: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Keys:
    """The keys of one tenant, in the database of its catalog. Reading creates nothing."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def create(self, name: str) -> str:
        """A new key; it is told here and never again.

        Raises:
            ConfigError: no name, or one that a key in force has.
        """
        from sqlalchemy.exc import DBAPIError

        if not name.strip() or len(name) > _LONGEST:
            raise ConfigError(
                f"a key needs a name of up to {_LONGEST} characters that says whose it is, such as web-form"
            )
        if any(one.name == name and one.revoked is None for one in self.all()):
            raise ConfigError(
                f"tenant '{self._tenant.name}' has a key '{name}' already: revoke it, or take another name"
            )
        number, secret, salt = secrets.token_hex(4), secrets.token_urlsafe(32), secrets.token_hex(16)
        table = _table()
        with suppress(DBAPIError), self._transaction() as connection:  # another process may make it at this moment
            table.metadata.create_all(connection)
        row = {"tenant": self._tenant.name, "id": number, "name": name, "salt": salt, "hash": _hash(salt, secret)}
        with self._transaction() as connection:
            connection.execute(table.insert().values(**row, created=utc_now(), revoked=None))
        return f"{_HEAD}_{number}_{secret}"

    def revoke(self, number: str) -> Key:
        """Let a key open nothing any more; one that was revoked before stays so.

        Raises:
            ConfigError: there is no key of this id.
        """
        found = next((one for one in self.all() if one.id == number), None)
        if found is None:
            raise ConfigError(
                f"tenant '{self._tenant.name}' has no key '{number}':"
                f" `leadwise keys list --tenant {self._tenant.name}` says which there are"
            )
        if found.revoked is None:
            table = _table()
            with self._transaction() as connection:
                change = table.update().where(self._own(table) & (table.c.id == number)).values(revoked=utc_now())
                connection.execute(change)
        return next(one for one in self.all() if one.id == number)

    def all(self) -> list[Key]:
        """All keys, the oldest first."""
        return [Key(row["id"], row["name"], row["created"], row["revoked"]) for row in self._rows()]

    def hashes(self) -> Hashes | None:
        """Salt and hash of each key in force, by its id; None where none was ever made."""
        rows = self._rows()
        return {row["id"]: (row["salt"], row["hash"]) for row in rows if row["revoked"] is None} if rows else None

    def _rows(self) -> list[Mapping[str, Any]]:
        if not begun(self._tenant):
            return []
        with self._transaction(writing=False) as connection:
            from sqlalchemy import inspect, select

            if not inspect(connection).has_table(TABLE):
                return []
            table = _table()
            asked = select(table).where(self._own(table)).order_by(table.c.created, table.c.id)
            return [dict(row) for row in connection.execute(asked).mappings()]

    def _own(self, table: Table) -> Any:
        return table.c.tenant == self._tenant.name

    def _transaction(self, writing: bool = True) -> Any:
        return transaction(self._tenant, f"keys of tenant '{self._tenant.name}'", writing)


def opens(key: str, hashes: Hashes) -> str | None:
    """The id of a key that opens; None where it does not. It takes as long either way.

    Args:
        key: as it was sent.
        hashes: what `Keys.hashes` gave.
    """
    head, _, rest = key.partition("_")
    number, _, secret = rest.partition("_")
    salt, wanted = hashes.get(number, _NOBODY)
    same = hmac.compare_digest(_hash(salt, secret), wanted or _hash("", ""))
    return number if same and head == _HEAD and wanted else None


def _hash(salt: str, secret: str) -> str:
    """Of a secret with 256 random bits: it needs no slow hash, as a password would."""
    return hashlib.sha256(f"{salt}:{secret}".encode()).hexdigest()


def _table() -> Table:
    from sqlalchemy import Column, DateTime, MetaData, PrimaryKeyConstraint, String, Table

    return Table(
        TABLE,
        MetaData(),
        *(Column(name, String(128), nullable=False) for name in ("tenant", "id", "name", "salt", "hash")),
        Column("created", DateTime, nullable=False),
        Column("revoked", DateTime),
        PrimaryKeyConstraint("tenant", "id"),
    )
