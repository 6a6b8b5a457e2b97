"""Who was forgotten: enough to keep them away when an old source is read again, and nothing that leads to them.

Two tables without a common column: ids of leads, which lead nowhere, and digests of phones, keyed with a secret of the
tenant. A digest keeps out rows that came in, or come in again, with batches of the time before.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Collection
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysTrue

from expectations.phones import parts

if TYPE_CHECKING:
    from pipelines.lake.catalog import Lake

LEADS, DIGESTS = "identity.forgotten", "identity.suppressed"

_LEADS = pa.schema([("lead_id", pa.string())])
_DIGESTS = pa.schema([("digest", pa.string()), ("until", pa.timestamp("us"))])
_LIKE_A_PHONE = r"^\s*\+?[\d\s().\-/]{7,24}$"
_NO_DIGIT = re.compile(r"\D")


class Forgotten:
    """What is known of forgotten leads. Read when it is first asked."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    @cached_property
    def leads(self) -> set[str]:
        """Ids of the leads that were forgotten, or are being."""
        return set(self._lake.read(LEADS)["lead_id"].to_pylist()) if self._lake.exists(LEADS) else set()

    @cached_property
    def _until(self) -> dict[str, datetime]:
        if not self._lake.exists(DIGESTS):
            return {}
        rows = self._lake.read(DIGESTS)
        return dict(zip(rows["digest"].to_pylist(), rows["until"].to_pylist(), strict=True))

    def __bool__(self) -> bool:
        return bool(self._until)

    def add(self, leads: Collection[str], phones: Collection[str], until: datetime) -> None:
        """Remember leads by their ids, and their phones by digests.

        Args:
            leads: ids.
            phones: in E.164.
            until: end of the newest batch there is: what arrives later is news, and gets a new id.
        """
        # Sorted and rewritten as a whole, so that neither order nor file tells which digest was whose.
        ids = pa.table({"lead_id": sorted(self.leads | set(leads))}, schema=_LEADS)
        self._lake.write(LEADS, _LEADS, [ids], replace=AlwaysTrue())
        fresh = {self._digest(digits): until for phone in phones for digits in _digits(phone)}
        known = dict(sorted({**self._until, **fresh}.items()))
        digests = pa.table({"digest": list(known), "until": list(known.values())}, schema=_DIGESTS)
        self._lake.write(DIGESTS, _DIGESTS, [digests], replace=AlwaysTrue())
        del self.leads, self._until

    def hidden(self, texts: pa.Array | pa.ChunkedArray, arrived: pa.Array | pa.ChunkedArray | datetime) -> pa.Array:
        """Which cells are phones of forgotten leads, of a batch of the time before they were forgotten.

        Args:
            texts: numbers in E.164 or national form, spaced or not; other texts are none.
            arrived: end of each cell's batch, or of all; one that is null counts as before.
        """
        flat = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
        likely = pc.fill_null(pc.match_substring_regex(flat, _LIKE_A_PHONE), False)
        found = pa.repeat(False, len(flat))
        if not pc.any(likely).as_py():
            return found
        coded = flat.filter(likely).dictionary_encode()
        limits = pa.array([self._limit(text) for text in coded.dictionary.to_pylist()], pa.timestamp("us"))
        limit = pc.replace_with_mask(pa.nulls(len(flat), pa.timestamp("us")), likely, limits.take(coded.indices))
        before = pc.fill_null(pc.less_equal(arrived, limit), True)
        return pc.and_(pc.is_valid(limit), before)

    def _limit(self, text: str) -> datetime | None:
        return self._until.get(self._digest(_NO_DIGIT.sub("", text)))

    def _digest(self, digits: str) -> str:
        return hashlib.blake2b(digits.encode(), key=self._secret, digest_size=16).hexdigest()

    @cached_property
    def _secret(self) -> bytes:
        """A random key of the tenant, made when it is first needed, for its owner's eyes only."""
        path = self._lake.tenant.forgotten_key
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".new")
            draft.unlink(missing_ok=True)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(handle)
            draft.replace(path)
        return path.read_bytes()


def _digits(phone: str) -> tuple[str, str]:
    """With and without the country code."""
    code, national = parts(phone)
    return code + national, national
