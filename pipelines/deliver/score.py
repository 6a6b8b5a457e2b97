"""The score step: the candidates of a date, through the champions, into `deliver.scores` and the audience."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.interval import Interval, utc_now
from pipelines.core.locks import exclusive
from pipelines.core.report import Report, progress
from pipelines.core.tenant import Tenant
from pipelines.core.tiers import TIERS, tiers_of
from pipelines.deliver.audience import OWN, check_phones, write_audience
from pipelines.deliver.candidates import candidates
from pipelines.deliver.table import ENDS, SCHEMA, TABLE, VERSION, latest_date, of_date, score_rows, write_scores
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from feature_repo.definitions import Definitions
    from models.inputs import Floats
    from pipelines.registry.champion import Champion


def score(tenant: Tenant, interval: Interval, target: str | None = None, with_phone: bool = False) -> Report:
    """Score the candidates as of the end of `interval`, and write the audience of its date.

    Memory stays at a batch of `params.score.batch_rows`. Rows of the same date and target are replaced in one commit;
    running twice gives the same.

    Args:
        tenant: whose candidates.
        interval: its end is the instant whose knowledge counts; its label is the date of the scores.
        target: the target whose probability gives tier and rank. None is the tenant's first one, with what the
            champions of the others say beside it: a probability, a number or a rank from 0 to 100.
        with_phone: put phones into the audience.

    Raises:
        NotReady: there is no champion of that target, or nobody to score.
        SqlError: `candidates.sql` fails, or gives an entity twice or none.
        ConfigError: an unknown target, or one that is no probability; phones where the use case keeps none.
    """
    from expectations.contract import load_contracts, load_output
    from feature_repo.definitions import load_definitions
    from pipelines.deliver.page.step import write_page
    from pipelines.deliver.published import publish
    from pipelines.deliver.reasons import reasons
    from pipelines.deliver.shadow import score_shadows
    from pipelines.registry.champion import load_champion
    from pipelines.registry.definitions import note_on_age
    from pipelines.registry.standing import mend

    name, *others = tenant.target(target)
    contracts = load_contracts(tenant.contracts_dir)
    if with_phone:
        check_phones(tenant, contracts)
    definitions = load_definitions(tenant, contracts)
    _check_names(tenant, name, others, definitions)
    report = Report("score", tenant.name, interval)
    with exclusive(tenant, "score"):
        report.notes += mend(tenant, [name, *others])
        champions = {name: load_champion(tenant, name, interval.as_of)}
        champions |= standing(tenant, others, interval.as_of, report)
        lake = Lake(tenant)
        spine = candidates(tenant, lake, definitions, contracts, interval.as_of)
        with progress(f"score: {name}", spine.num_rows) as advance:
            batches = _scored(tenant, lake, interval, definitions, spine, champions, advance)
            chosen_by = definitions.candidates.sql_hash if definitions.candidates else None
            beside = [one for one in champions if one != name]
            rows = write_scores(lake, name, interval.label, batches, chosen_by, beside)
        for one, champion in champions.items():
            report.notes += note_on_age(champion.tags, definitions, one, champion.version)
            report.notes.append(f"{rows} scored for '{one}' by version {champion.version} of {champion.name}")
            if champion.tags["as_of"] > interval.as_of.isoformat():
                report.notes.append(
                    f"'{one}': no model was promoted by {interval.as_of:%Y-%m-%d}: version {champion.version}"
                    f" was trained as of {champion.tags['as_of'][:10]} and knows more than could be known then"
                )
        tiers = _tiers_of(lake, interval.label)
        entity = spine.schema.names[0]
        output = load_output(tenant.contracts_dir)
        explain = reasons(tenant, lake, definitions, contracts, spine, champions[name])
        counts = write_audience(tenant, interval, contracts, lake, entity, with_phone, beside, output, explain)
        if (where := tenant.params.audience.table) is not None:
            folder = tenant.audience_dir / interval.label
            files = [folder / f"{name}.parquet" for name in ("audience", "suppressed")]
            counts["published"] = publish(tenant, interval, where, files)
        page, _ = write_page(tenant, interval, lake, contracts, entity)
        score_shadows(tenant, interval, lake, definitions, spine, report)
    report.counts = {"candidates": spine.num_rows, **{f"tier_{tier}": tiers.get(tier, 0) for tier in TIERS}, **counts}
    report.notes += [f"audience: {tenant.audience_dir / interval.label}", f"page: {page}"]
    return report


def standing(tenant: Tenant, targets: Iterable[str], as_of: datetime, report: Report) -> dict[str, "Champion"]:
    """The champions of those of the targets that have one; the report gets a note on each of the others."""
    from pipelines.registry.champion import load_champion

    found = {}
    for name in targets:
        try:
            found[name] = load_champion(tenant, name, as_of)
        except NotReady as reason:
            report.notes.append(f"left out: {reason}")
    return found


def _check_names(tenant: Tenant, name: str, others: list[str], definitions: "Definitions") -> None:
    """Raise ConfigError where a target can't be what is asked of it: a probability to rank by, or a column."""
    if tenant.params.train.targets[name].task != "binary":
        raise ConfigError(
            f"target '{name}' of tenant '{tenant.name}' is a regression, and leads are ranked by a probability:"
            " list a binary target first, then this one stands beside it as a column"
        )
    taken = {*SCHEMA.names, *OWN, "phone", definitions.label(name).entity}
    for other in others:
        if clash := {other, *(f"{other}{end}" for end in (VERSION, *ENDS))} & taken:
            raise ConfigError(
                f"target '{other}' of tenant '{tenant.name}' can't be a column of the scores, which have a"
                f" '{clash.pop()}' already: give it another name in params.yaml and in labels/"
            )


def _scored(
    tenant: Tenant,
    lake: Lake,
    interval: Interval,
    definitions: "Definitions",
    spine: pa.Table,
    champions: dict[str, "Champion"],
    advance: Any,
) -> Iterator[pa.Table]:
    """Score rows, batch by batch: those of the first champion, with the values of the others beside them."""
    from pipelines.features.join import point_in_time

    (target, champion), *others = champions.items()
    size = tenant.params.score.batch_rows
    loaded_at = utc_now()
    for batch in rechunked(point_in_time(tenant, lake, definitions, spine, size), size):
        probabilities, ends = champion.within(batch)
        columns = {
            "as_of": interval.as_of,
            **_with_ends("probability", probabilities, ends),
            "tier": pa.array(tiers_of(probabilities, champion.train_base_rate, tenant.params.score.tiers)),
            "model_name": champion.name,
            "model_version": str(champion.version),
            "feature_service": champion.feature_service,
            "run_id": champion.run_id,
            "_loaded_at": loaded_at,
        }
        for name, other in others:
            columns |= {**_with_ends(name, *other.within(batch)), f"{name}{VERSION}": str(other.version)}
        entities = pc.cast(batch.column(0), pa.string()).combine_chunks()
        yield score_rows(tenant, interval, target, entities, columns, [name for name, _ in others])
        advance(batch.num_rows)


def _with_ends(name: str, values: "Floats", ends: "Floats | None") -> dict[str, object]:
    """Columns of what was predicted, and of the ends of its range where there is one."""
    found: dict[str, object] = {name: pa.array(values, pa.float64())}
    if ends is not None:
        found |= {f"{name}{end}": pa.array(ends[:, side], pa.float64()) for side, end in enumerate(ENDS)}
    return found


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
