"""The one table that knows phones: everything else carries a lead id keyed with a per-lead salt."""

import hashlib
import secrets

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysFalse

from pipelines.core.interval import utc_now
from pipelines.lake.catalog import Lake

TABLE = "identity.identities"

SCHEMA = pa.schema(
    [
        ("lead_id", pa.string()),
        ("phone", pa.string()),
        ("salt", pa.binary()),
        ("_batch_id", pa.string()),
        ("_loaded_at", pa.timestamp("us")),
    ]
)


def lead_id(phone: str, salt: bytes) -> str:
    """The pseudonym of a phone: a keyed BLAKE2b of 12 bytes, hex. Without the salt it leads nowhere."""
    return hashlib.blake2b(phone.encode(), key=salt, digest_size=12).hexdigest()


class Identities:
    """Phones and their lead ids. Read once; new ones are held in memory until `commit`."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        known = lake.read(TABLE, columns=["lead_id", "phone"]) if lake.exists(TABLE) else SCHEMA.empty_table()
        self._phones = known["phone"].combine_chunks()
        self._ids = known["lead_id"].combine_chunks()
        self._new: list[pa.Table] = []

    @property
    def known(self) -> pa.Array:
        """Phones of all leads, those not committed yet included."""
        return self._phones

    def resolve(self, phones: pa.Array | pa.ChunkedArray, batch_id: str) -> pa.Array:
        """Lead ids of phones in E.164, minting those never seen; null stays null.

        Args:
            phones: strings.
            batch_id: the batch that brought them, kept beside new ones.
        """
        flat = phones.combine_chunks() if isinstance(phones, pa.ChunkedArray) else phones
        found = pc.index_in(flat, value_set=self._phones)
        unseen = pc.unique(flat.filter(pc.and_(pc.is_null(found), pc.is_valid(flat))))
        if len(unseen):
            self._mint(unseen, batch_id)
            found = pc.index_in(flat, value_set=self._phones)
        return self._ids.take(found)

    def phones(self, lead_ids: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Phones of lead ids; null for one that is unknown."""
        flat = lead_ids.combine_chunks() if isinstance(lead_ids, pa.ChunkedArray) else lead_ids
        return self._phones.take(pc.index_in(flat, value_set=self._ids))

    def commit(self) -> int:
        """Write the minted identities and return how many there were."""
        fresh, self._new = self._new, []
        if fresh:
            self._lake.write(TABLE, SCHEMA, fresh, replace=AlwaysFalse())
        return sum(table.num_rows for table in fresh)

    def _mint(self, phones: pa.Array, batch_id: str) -> None:
        salts = [secrets.token_bytes(16) for _ in range(len(phones))]
        ids = pa.array([lead_id(phone, salt) for phone, salt in zip(phones.to_pylist(), salts, strict=True)])
        now = pa.scalar(utc_now(), pa.timestamp("us"))
        columns = [ids, phones, pa.array(salts), pa.repeat(batch_id, len(ids)), pa.repeat(now, len(ids))]
        self._new.append(pa.Table.from_arrays(columns, schema=SCHEMA))
        self._phones = pa.concat_arrays([self._phones, phones])
        self._ids = pa.concat_arrays([self._ids, ids])
