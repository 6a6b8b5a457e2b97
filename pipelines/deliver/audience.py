"""The audience of a date: its scores in order of rank, those who may not be written to apart, with the reason."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from expectations.contract import Contract
from pipelines.core.errors import ConfigError
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.deliver.files import defuse, replacing
from pipelines.deliver.manifest import MANIFEST, describe
from pipelines.deliver.promise import Promise
from pipelines.deliver.reasons import SCHEMA as REASONS
from pipelines.deliver.reasons import Explain
from pipelines.deliver.suppression import RULES, Occasion, newest, speaks, suppress
from pipelines.deliver.suppression import TABLE as SUPPRESSED
from pipelines.deliver.table import ENDS, TABLE, of_date
from pipelines.lake.asof import AsOf
from pipelines.lake.catalog import Lake
from pipelines.lake.identities import Identities

_ROWS = 50_000
_MEMORY = "256MB"
OWN = (
    "score_id",
    "target",
    "probability",
    "probability_low",
    "probability_high",
    "tier",
    "rank",
    "as_of",
    "model_version",
    "suppressed",
    "suppressed_why",
)
"""Columns of every audience, beside the entity, other targets and segments."""


def write_audience(
    tenant: Tenant,
    interval: Interval,
    contracts: Mapping[str, Contract],
    lake: Lake,
    entity: str,
    with_phone: bool = False,
    beside: Sequence[str] = (),
    output: Contract | None = None,
    explain: Explain | None = None,
) -> dict[str, int]:
    """Write the audience of the interval's date: who may be written to, and apart from it who may not.

    `audience.parquet` and `audience.csv` hold the first, best first; `suppressed.parquet` and `suppressed.csv` the
    others, with the reasons, and never a phone; `manifest.json` comes last and says what the files hold.

    Args:
        tenant: whose audience.
        interval: its end is the instant whose knowledge counts.
        contracts: by table name; their words (`consent`, `opt_out`, `message`, …) say what is looked at.
        lake: of the tenant.
        entity: name of what is scored, e.g. lead_id.
        with_phone: join the phones, at the very end.
        beside: other targets, whose values stand beside the probability.
        output: contract of the audience; None promises nothing.
        explain: gives reasons, which the first `audience.reasons` leads get; None gives none.

    Returns:
        Rows of `audience` and of `suppressed`, and by rule the scores it leaves out (one may be left out by several).

    Raises:
        ConfigError: phones are asked for and the use case keeps none; the folder can't be written; the contract of the
            audience asks for a column that there is not.
        SourceError: a do_not_contact list can't be read.
        BatchRejected: the rows are not as the contract of the audience promises.
    """
    if with_phone:
        check_phones(tenant, contracts)
    folder = tenant.audience_dir / interval.label
    with _scores(lake, interval, beside) as connection:
        concerned = {name: contract for name, contract in contracts.items() if _concerns(contract, entity)}
        sending = tenant.params.audience.sending(interval.end)
        occasion = Occasion(tenant, lake, interval, concerned, entity, sending)
        with AsOf(lake, concerned) as views:
            rules = suppress(connection, views, occasion)
            _attach(connection, views, occasion)
        if explain is not None:
            _give_reasons(connection, explain, tenant.params.audience.reasons)
        promise = Promise(output, entity)
        identities = Identities(lake) if with_phone else None
        names = ("audience.parquet", "audience.csv", "suppressed.parquet", "suppressed.csv", MANIFEST)
        with replacing(*(folder / name for name in names), private=with_phone, sealed=True) as drafts:
            *files, manifest = drafts
            rows = [
                _written(promise, connection.sql(_ranked(connection, entity, beside, kept)), pair, whose)
                for kept, pair, whose in ((True, files[:2], identities), (False, files[2:], None))
            ]
            promise.check(interval.label)
            counts = {"audience": rows[0], "suppressed": rows[1], **rules}
            described = dict(zip(names, files, strict=False))
            manifest.write_text(describe(occasion, promise, counts, described), encoding="utf-8")
    return counts


def check_phones(tenant: Tenant, contracts: Mapping[str, Contract]) -> None:
    """Raise ConfigError where no contract of the use case has a phone to join."""
    if not any(column.phone for contract in contracts.values() for column in contract.columns):
        raise ConfigError(f"use case '{tenant.use_case}' keeps no phones: leave --with-phone out")


def _written(
    promise: Promise, result: duckdb.DuckDBPyRelation, files: Sequence[Path], identities: Identities | None
) -> int:
    """Write rows as Parquet and CSV; returns their number."""
    parquet, table = files
    reader = result.to_arrow_reader(_ROWS)
    schema = promise.schema(reader.schema)
    if identities:
        schema = schema.append(pa.field("phone", pa.string()))
    rows = 0
    with ExitStack() as stack:
        columns = stack.enter_context(pq.ParquetWriter(parquet, schema))
        lines = stack.enter_context(pyarrow.csv.CSVWriter(table, schema))
        for batch in reader:
            part = promise.kept(pa.Table.from_batches([batch]))
            if identities:
                phones = pc.cast(identities.phones(batch.column(1)), pa.string())
                part = part.append_column("phone", phones)
            columns.write_table(part)
            lines.write_table(defuse(part))
            rows += part.num_rows
    return rows


@contextmanager
def _scores(lake: Lake, interval: Interval, beside: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB holding the scores of the date: on disk, so that ranking many leads takes time and not memory."""
    values = [f"{name}{end}" for name in ("probability", *beside) for end in ("", *ENDS)]
    columns = ("score_id", "entity_id", "target", *values, "tier", "as_of", "model_version")
    config = {"threads": lake.tenant.settings.threads, "memory_limit": _MEMORY, "preserve_insertion_order": False}
    for left in lake.tenant.home.glob(".ranking.*"):  # of a run that was killed: nobody else holds the lock
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=".ranking.", dir=lake.tenant.home) as folder:
        connection = duckdb.connect(Path(folder) / "scores.db", config={**config, "temp_directory": folder})
        try:
            connection.register("_lake", lake.scan(TABLE, columns=columns, where=of_date(interval.label)))
            connection.execute("CREATE TABLE scores AS SELECT * FROM _lake")
            connection.unregister("_lake")
            yield connection
        finally:
            connection.close()


def _concerns(contract: Contract, entity: str) -> bool:
    """Whether a contract says who may be written to, or segments of the entity."""
    return contract.entity == entity and (speaks(contract) or bool(_segments(contract)))


def _attach(connection: duckdb.DuckDBPyConnection, views: AsOf, occasion: Occasion) -> None:
    """Add a table `segment_n` for each contract that has segments, as they were known."""
    segments = [(contract, names) for contract in occasion.contracts.values() if (names := _segments(contract))]
    for index, (contract, names) in enumerate(segments):
        connection.register("_rows", views.query(newest(contract, names), occasion.interval.as_of))
        connection.execute(f"CREATE TABLE segment_{index} AS SELECT * FROM _rows")
        connection.unregister("_rows")


def _give_reasons(connection: duckdb.DuckDBPyConnection, explain: Explain, most: int) -> None:
    """Add the table `reasons` for the best of those who may be written to."""
    columns = ", ".join(f"{field.name} VARCHAR" for field in REASONS)
    connection.execute(f"CREATE TABLE reasons ({columns})")
    best = connection.sql(
        f"SELECT entity_id FROM scores WHERE entity_id NOT IN (SELECT entity_id FROM {SUPPRESSED})"
        f" ORDER BY probability DESC, entity_id LIMIT {most}"
    ).to_arrow_table()
    for rows in explain(best["entity_id"].combine_chunks()):
        connection.register("_rows", rows)
        connection.execute("INSERT INTO reasons SELECT * FROM _rows")
        connection.unregister("_rows")


def _segments(contract: Contract) -> list[str]:
    """Segment columns that the clean table has: personal ones never left it."""
    kept = set(contract.clean_schema().names)
    return [column.name for column in contract.columns if column.segment and column.name in kept]


def _tables(connection: duckdb.DuckDBPyConnection, prefix: str) -> list[str]:
    return sorted(str(name) for (name,) in connection.execute("SHOW TABLES").fetchall() if str(name).startswith(prefix))


def _ranked(connection: duckdb.DuckDBPyConnection, entity: str, beside: Sequence[str], kept: bool) -> str:
    """Those who may be written to, or the others: best first, rank 1 the best, equal probabilities in order of id."""
    taken = {*OWN, *(f"{name}{end}" for name in beside for end in ("", *ENDS)), entity, "phone", "entity_id"}
    extra, joins = "".join(f', "{name}{end}"' for name in beside for end in ("", *ENDS)), ""
    for name in [*_tables(connection, "segment_"), *_tables(connection, "reasons")]:
        joins += f" LEFT JOIN {name} USING (entity_id)"
        for column in connection.table(name).columns[1:]:
            if column not in taken:
                extra += f', {name}."{column}"'
                taken.add(column)
    best = "probability DESC, entity_id"
    rank = f"row_number() OVER (PARTITION BY target ORDER BY {best})" if kept else "NULL::BIGINT"
    places = " ".join(f"WHEN '{rule}' THEN {place}" for place, rule in enumerate(RULES))
    why = (
        f"SELECT entity_id, string_agg(rule, ', ' ORDER BY CASE rule {places} END) AS why"
        f" FROM (SELECT DISTINCT * FROM {SUPPRESSED}) GROUP BY entity_id"
    )
    return (
        f'SELECT score_id, entity_id AS "{entity}", target, probability, probability_low, probability_high, tier,'
        f" {rank} AS rank, as_of,"
        f" model_version, why IS NOT NULL AS suppressed, why AS suppressed_why{extra}"
        f" FROM scores LEFT JOIN ({why}) USING (entity_id){joins}"
        f" WHERE why IS {'' if kept else 'NOT '}NULL ORDER BY target, {best}"
    )
