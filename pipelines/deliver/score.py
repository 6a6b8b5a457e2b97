"""The score step: the candidates of a date, through the champion, into `deliver.scores` and the audience."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.core.interval import Interval, utc_now
from pipelines.core.locks import exclusive
from pipelines.core.report import Report, progress
from pipelines.core.tenant import Tenant
from pipelines.core.tiers import TIERS, tiers_of
from pipelines.deliver.audience import check_phones, write_audience
from pipelines.deliver.candidates import candidates
from pipelines.deliver.table import TABLE, latest_date, of_date, score_rows, write_scores
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from pipelines.registry.champion import Champion


def score(tenant: Tenant, interval: Interval, target: str | None = None, with_phone: bool = False) -> Report:
    """Score the candidates as of the end of `interval`, and write the audience of its date.

    Memory stays at a batch of `params.score.batch_rows`. Rows of the same date and target are replaced in one commit;
    running twice gives the same.

    Args:
        tenant: whose candidates.
        interval: its end is the instant whose knowledge counts; its label is the date of the scores.
        target: one target; None is all.
        with_phone: put phones into the audience.

    Raises:
        NotReady: there is no champion, or nobody to score.
        SqlError: `candidates.sql` fails, or gives an entity twice or none.
        ConfigError: an unknown target; phones where the use case keeps none.
    """
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions
    from pipelines.registry.champion import load_champion
    from pipelines.registry.definitions import note_on_age

    targets = tenant.target(target)
    contracts = load_contracts(tenant.contracts_dir)
    if with_phone:
        check_phones(tenant, contracts)
    definitions = load_definitions(tenant, contracts)
    report = Report("score", tenant.name, interval)
    with exclusive(tenant, "score"):
        champions = {name: load_champion(tenant, name, interval.as_of) for name in targets}
        lake = Lake(tenant)
        spine = candidates(tenant, lake, definitions, contracts, interval.as_of)
        for name, champion in champions.items():
            with progress(f"score: {name}", spine.num_rows) as advance:
                batches = _scored(tenant, lake, interval, definitions, spine, name, champion, advance)
                chosen_by = definitions.candidates.sql_hash if definitions.candidates else None
                rows = write_scores(lake, name, interval.label, batches, chosen_by)
            report.notes += note_on_age(champion.tags, definitions, name, champion.version)
            report.notes.append(f"{rows} scored for '{name}' by version {champion.version} of {champion.name}")
            if champion.tags["as_of"] > interval.as_of.isoformat():
                report.notes.append(
                    f"'{name}': no model was promoted by {interval.as_of:%Y-%m-%d}: version {champion.version}"
                    f" was trained as of {champion.tags['as_of'][:10]} and knows more than could be known then"
                )
        tiers = _tiers_of(lake, interval.label)
        entity = spine.schema.names[0]
        counts = write_audience(tenant, interval, contracts, lake, entity, with_phone)
    report.counts = {"candidates": spine.num_rows, **{f"tier_{tier}": tiers.get(tier, 0) for tier in TIERS}, **counts}
    report.notes.append(f"audience: {tenant.audience_dir / interval.label}")
    return report


def _scored(
    tenant: Tenant,
    lake: Lake,
    interval: Interval,
    definitions: Any,
    spine: pa.Table,
    target: str,
    champion: "Champion",
    advance: Any,
) -> Iterator[pa.Table]:
    """Score rows, batch by batch."""
    from pipelines.features.join import point_in_time

    size = tenant.params.score.batch_rows
    loaded_at = utc_now()
    for batch in rechunked(point_in_time(tenant, lake, definitions, spine, size), size):
        probabilities = champion.predict(batch)
        columns = {
            "as_of": interval.as_of,
            "probability": pa.array(probabilities, pa.float64()),
            "tier": pa.array(tiers_of(probabilities, champion.train_base_rate, tenant.params.score.tiers)),
            "model_name": champion.name,
            "model_version": str(champion.version),
            "feature_service": champion.feature_service,
            "run_id": champion.run_id,
            "_loaded_at": loaded_at,
        }
        entities = pc.cast(batch.column(0), pa.string()).combine_chunks()
        yield score_rows(tenant, interval, target, entities, columns)
        advance(batch.num_rows)


def rechunked(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """The same rows in order, in tables of exactly `rows` (the last may hold fewer)."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while batch.num_rows:
            part = batch.slice(0, rows - count)
            held.append(part)
            count += part.num_rows
            batch = batch.slice(part.num_rows)
            if count == rows:
                yield pa.Table.from_batches(held)
                held, count = [], 0
    if held:
        yield pa.Table.from_batches(held)


def _tiers_of(lake: Lake, date: str) -> dict[str, int]:
    """Scores per tier on a date."""
    counts: dict[str, int] = {}
    for batch in lake.scan(TABLE, columns=["tier"], where=of_date(date)):
        for item in pc.value_counts(batch["tier"]).to_pylist():
            counts[item["values"]] = counts.get(item["values"], 0) + int(item["counts"])
    return counts


def score_status(tenant: Tenant) -> dict[str, Any]:
    """The newest date's scores: `{"rows", "as_of", "model_version", "tiers"}`, empty values where there is none.

    With several targets `rows` and `tiers` count them all, and `model_version` names each as `target:version`.
    """
    lake = Lake(tenant)
    date = latest_date(lake, TABLE)
    if date is None:
        return {"rows": 0, "as_of": None, "model_version": None, "tiers": dict.fromkeys(TIERS, 0)}
    rows = 0
    as_of: datetime | None = None
    versions: dict[str, str] = {}
    for batch in lake.scan(TABLE, columns=["as_of", "target", "model_version"], where=of_date(date)):
        rows += batch.num_rows
        as_of = pc.max(batch["as_of"]).as_py()
        pairs = pa.Table.from_batches([batch]).group_by(["target", "model_version"]).aggregate([])
        versions.update(zip(pairs["target"].to_pylist(), pairs["model_version"].to_pylist(), strict=True))
    named = [f"{name}:{version}" for name, version in sorted(versions.items())]
    version = next(iter(versions.values())) if len(versions) == 1 else ", ".join(named)
    tiers = _tiers_of(lake, date)
    return {
        "rows": rows,
        "as_of": as_of.isoformat() if as_of else None,
        "model_version": version,
        "tiers": {tier: tiers.get(tier, 0) for tier in TIERS},
    }
