"""One table through the gate: its rows judged chunk by chunk, and the verdict on the batch."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations.phones import known_phones, normalise
from expectations.suites import LATEST, Check, checks
from pipelines.lake.forgotten import Forgotten
from pipelines.quality.cast import UNREAD
from pipelines.quality.judge import Judge, Tally
from pipelines.quality.mapped import HASH, Mapped, alike
from pipelines.quality.memory import give_back, tidied
from pipelines.quality.quarantine import SCHEMA, first_failures, quarantined
from pipelines.quality.staging import Stage

if TYPE_CHECKING:
    from expectations.contract import Contract
    from pipelines.lake.catalog import Lake
    from pipelines.lake.identities import Identities

SYSTEM = pa.schema(
    [
        ("_arrived_at", pa.timestamp("us")),
        ("_batch_id", pa.string()),
        ("_source_file", pa.string()),
        ("_source_row", pa.int64()),
        ("_loaded_at", pa.timestamp("us")),
    ]
)
"""What clean tables keep beside the contract's columns."""

# A smaller batch counts only with the others of its run: a few bad rows of a few are no verdict on it.
_OWN_VERDICT = 10
_WORTH_TIDYING = 20_000


@dataclass
class Outcome:
    """A table after the gate, not yet published.

    Attributes:
        contract: of the table.
        mapped: what was run.
        clean, bad: rows waiting for the verdict.
        tallies: what each check found.
        duplicates: rows that another one of their batch repeats.
        rules: rows in quarantine by rule and column.
        rejected: why the batch is refused; None if it is not.
    """

    contract: "Contract"
    mapped: Mapped
    clean: Stage
    bad: Stage
    tallies: list[Tally] = field(default_factory=list)
    duplicates: int = 0
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: str | None = None

    @property
    def name(self) -> str:
        """The table."""
        return self.contract.name


class Gate:
    """Judges the rows of one table."""

    def __init__(self, mapped: Mapped, lake: "Lake", identities: "Identities", folder: Path, now: datetime) -> None:
        self._mapped, self._lake, self._identities, self._now = mapped, lake, identities, now
        self._contract = contract = mapped.contract
        self._forgotten = Forgotten(lake)
        self._checks: list[Check] = checks(contract)
        self._judge = Judge(self._checks)
        schema = pa.schema([*contract.clean_schema(), *SYSTEM])
        self._outcome = Outcome(
            contract,
            mapped,
            Stage(folder / f"{contract.name}.clean", schema),
            Stage(folder / f"{contract.name}.bad", SCHEMA),
        )
        self._seen: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._cells: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()

    def run(self, rows: int, max_share: float) -> Outcome:
        """Judge every row, at most about `rows` in memory.

        Args:
            rows: size of a chunk.
            max_share: of bad rows; above it the batch is refused.
        """
        outcome = self._outcome
        if self._mapped.has_files:
            with tidied():
                for chunk, unique in self._parts(rows):
                    self._take(chunk, unique)
        outcome.tallies = self._judge.tallies
        outcome.rejected = self._verdict(max_share)
        return outcome

    def _parts(self, rows: int) -> Iterator[tuple[pa.Table, bool]]:
        """Chunks of rows that are like no other, and at the end all those that may be, without exact repetitions."""
        repeated = self._mapped.repeated(self._lake, len(alike(self._contract)))
        some = any(len(hashes) for hashes in repeated)
        suspects: list[pa.Table] = []
        last: pa.Table | None = None  # kept back: the suite costs the same for one row and for thousands
        for raw in self._mapped.chunks(self._lake, rows // 2):  # two are in memory: the one kept back, and the next
            chunk = self._with_phones(raw)
            if some:
                suspect = np.zeros(chunk.num_rows, dtype=bool)
                for number, hashes in enumerate(repeated):
                    suspect |= np.isin(chunk[f"{HASH}{number}"].to_numpy(), hashes)
                suspects.append(chunk.filter(pa.array(suspect)))
                chunk = chunk.filter(pa.array(~suspect))
            if last is not None and last.num_rows:
                yield last, False
            last = chunk
        if last is None:
            return
        together = pa.concat_tables([*suspects, last.slice(0, 0)])
        single = self._without_repetitions(together)
        self._outcome.duplicates += together.num_rows - single.num_rows
        if last.num_rows + single.num_rows > 2 * rows:
            yield last, False
            last = last.slice(0, 0)
        if last.num_rows + single.num_rows:
            yield pa.concat_tables([last, single]), bool(single.num_rows)

    def _with_phones(self, chunk: pa.Table) -> pa.Table:
        """Phones as E.164, without leads that were forgotten; one that is not valid stays as it was, for the suite."""
        for column in self._contract.columns:
            if column.phone:
                place = chunk.column_names.index(column.name)
                written = chunk[column.name].combine_chunks()
                chunk = chunk.set_column(place, column.name, pc.coalesce(normalise(written), written))
                if self._forgotten:
                    hidden = self._forgotten.hidden(chunk[column.name], chunk["_interval_end"].combine_chunks())
                    chunk = chunk.filter(pc.invert(hidden))
        return chunk

    def _without_repetitions(self, rows: pa.Table) -> pa.Table:
        """The first of all rows of a batch that have the same content."""
        content = [*self._contract.source_columns, "_batch_id"]
        content += [name for name in rows.column_names if name.startswith(UNREAD)]
        numbered = rows.append_column("_number", pa.array(np.arange(rows.num_rows)))
        first = numbered.group_by(content, use_threads=False).aggregate([("_number", "min")])["_number_min"]
        return rows.take(pa.array(np.sort(first.to_numpy())))

    def _take(self, chunk: pa.Table, unique: bool) -> None:
        """Judge one chunk and put its rows where they belong."""
        unread = {name.removeprefix(UNREAD): chunk[name] for name in chunk.column_names if name.startswith(UNREAD)}
        for name, texts in unread.items():
            lost = len(texts) - texts.null_count
            self._unread[name] += lost
            self._cells[name] += lost + len(texts) - chunk[name].null_count
        with known_phones(partial(self._phones, chunk)):
            found = self._judge.bad(chunk, unread, self._by_batch(chunk) if unique else None)
        first = first_failures(found, chunk.num_rows)
        self._count(chunk, first)
        arrived = self._arrived(chunk)
        bad = quarantined(self._contract, self._checks, chunk, first, arrived, self._now)
        self._outcome.bad.add(bad)
        self._outcome.rules.update(zip(bad["rule"].to_pylist(), bad["column"].to_pylist(), strict=True))
        good = pa.array(first < 0)
        self._outcome.clean.add(self._cleaned(chunk.filter(good), arrived.filter(good)))
        if chunk.num_rows > _WORTH_TIDYING:
            give_back()

    def _phones(self, chunk: pa.Table) -> pa.Array:
        """Numbers of all leads, and of these rows."""
        own = [pc.unique(chunk[column.name]) for column in self._contract.columns if column.phone]
        return pa.concat_arrays([self._identities.known, *(one.cast(pa.string()).drop_null() for one in own)])

    def _by_batch(self, chunk: pa.Table) -> pa.Table:
        """Rows for the checks that compare them: equal values of different batches made to differ."""
        if len(pc.unique(chunk["_batch_id"])) > 1:
            for check in self._checks:
                if check.unique:
                    name = check.columns[0]
                    marked = pc.binary_join_element_wise(chunk["_batch_id"], chunk[name].cast(pa.string()), " ")
                    chunk = chunk.set_column(chunk.column_names.index(name), name, marked)
        return chunk

    def _count(self, chunk: pa.Table, first: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> None:
        for rows, into in ((chunk, self._seen), (chunk.filter(pa.array(first >= 0)), self._failed)):
            for item in pc.value_counts(rows["_batch_id"].combine_chunks()).to_pylist():
                into[item["values"]] += item["counts"]

    def _arrived(self, chunk: pa.Table) -> pa.Array:
        """When each row arrived: as it says, or some time after its event, or with its batch."""
        contract = self._contract
        if contract.arrived_at:
            return chunk[contract.arrived_at].combine_chunks()
        ends = chunk["_interval_end"].combine_chunks()
        ends = pc.coalesce(ends, chunk[LATEST].combine_chunks())
        if contract.event_time is None:
            return ends
        event = chunk[contract.event_time].combine_chunks().cast(pa.timestamp("us"))
        if contract.arrival_delay is not None:
            return pc.add(event, pa.scalar(contract.arrival_delay, pa.duration("us")))
        return pc.max_element_wise(ends, event)  # a source without days may hold what happened after this run

    def _cleaned(self, rows: pa.Table, arrived: pa.Array) -> pa.Table:
        """Good rows with lead ids in the place of phones."""
        columns: dict[str, pa.Array | pa.ChunkedArray] = {}
        for name, column in self._contract.clean_columns.items():
            values = rows[column.name]
            if column.pseudonymised:
                values = self._identities.resolve(values.cast(pa.string()), self._mapped.batches[-1])
            columns[name] = values
        columns["_arrived_at"] = arrived
        for name in ("_batch_id", "_source_file", "_source_row"):
            columns[name] = rows[name]
        columns["_loaded_at"] = pa.repeat(pa.scalar(self._now, pa.timestamp("us")), rows.num_rows)
        return pa.table(columns)

    def _verdict(self, max_share: float) -> str | None:
        """Why the run is refused as a whole, or None.

        Each batch of at least 10 rows is held against `max_share` by itself, and all rows of the run together;
        smaller batches count only there. One bad row alone never stops, however few came with it.
        """
        table, outcome = f"table '{self._contract.name}'", self._outcome
        for name, lost in self._unread.items():
            if lost > 1 and lost == self._cells[name]:
                column = self._contract.column(name)
                return (
                    f"{table}: no value of column '{name}' can be read as {column.type}, the type {self._contract.path}"
                    " asks for: nothing was published; correct the source or the contract"
                )
        batches = [(f"batch {batch}", bad, self._seen[batch]) for batch, bad in self._failed.items()]
        judged = [one for one in batches if one[2] >= _OWN_VERDICT or len(self._seen) == 1]
        judged.append(("this run", sum(self._failed.values()), sum(self._seen.values())))
        for label, bad, rows in judged:
            if bad > 1 and bad > max_share * rows:
                rule, column_name = outcome.rules.most_common(1)[0][0]
                return (
                    f"{table}: {bad} of {rows} rows of {label} are bad, more than max_quarantine_share"
                    f" {max_share:g} allows, most of them by rule '{rule}' on '{column_name}': nothing was published;"
                    " correct the source, or raise quality.max_quarantine_share in params.yaml"
                )
        return None
