"""The monitor step: candidates and scores against the sample the champion was trained on; online against the lake."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyiceberg.expressions import And, EqualTo

from pipelines.core.errors import NotReady
from pipelines.core.interval import DAY, Interval, utc_now
from pipelines.core.locks import exclusive
from pipelines.core.report import Report, progress
from pipelines.core.tenant import Tenant
from pipelines.deliver.candidates import candidates
from pipelines.deliver.files import replacing
from pipelines.deliver.table import latest_date
from pipelines.lake.catalog import Lake
from pipelines.watch.drift import Drift, Kind, compare

if TYPE_CHECKING:
    import pandas as pd

    from feature_repo.definitions import Definitions
    from pipelines.registry.champion import Champion

TABLE = "watch.drift"
SCORE = "score"
SCHEMA = pa.schema(
    [
        ("date", pa.date32()),
        ("target", pa.string()),
        ("column", pa.string()),
        ("aspect", pa.string()),
        ("method", pa.string()),
        ("threshold", pa.float64()),
        ("value", pa.float64()),
        ("drifted", pa.bool_()),
        ("model_version", pa.string()),
        ("_loaded_at", pa.timestamp("us")),
    ]
)
FEW = 1000


def monitor(tenant: Tenant, interval: Interval, target: str | None = None) -> Report:
    """Judge the drift of features and scores as of the end of `interval`; write the report and the verdicts.

    Compares the online store with the lake too, on `params.monitor.parity_rows` entities. First a fresh champion whose
    outcomes are not what it said is taken back (`pipelines.watch.probation`): the drift is that of the one after. What
    was said is held against what came of it, in `watch.outcomes`.

    Writes `drift.html` and `drift.json` under the tenant's reports of the date (`drift_<target>.*` of all targets but
    the first), and the verdicts to `watch.drift`. At most `params.monitor.sample_rows` candidates are looked at. Where
    several targets read the same features these are judged once, with the first; of the others the scores are.

    Args:
        tenant: whose champion.
        interval: its end is the instant whose candidates are looked at; its label is the date of the verdict.
        target: one target; None is all. Then one without a champion is left out with a note, but not the first.

    Raises:
        NotReady: there is no champion of `target` or of the first one, it has no training sample, or nobody is a
            candidate.
        ConfigError: an unknown target, or a folder that can't be written.
    """
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions
    from pipelines.deliver.score import standing
    from pipelines.features.join import point_in_time
    from pipelines.registry.champion import load_champion
    from pipelines.registry.definitions import note_on_age
    from pipelines.registry.standing import mend
    from pipelines.watch.outcomes import turned_out
    from pipelines.watch.probation import probation

    first, *others = tenant.target(target)
    contracts = load_contracts(tenant.contracts_dir)
    definitions = load_definitions(tenant, contracts)
    report = Report("monitor", tenant.name, interval)
    with exclusive(tenant, "monitor"):
        report.notes += mend(tenant, [first, *others])
        lake = Lake(tenant)
        probation(tenant, interval, lake, contracts, definitions, [first, *others], report)
        turned_out(tenant, interval, lake, contracts, definitions, [first, *others], report)
        champions = {first: load_champion(tenant, first, interval.as_of)}
        champions |= standing(tenant, others, interval.as_of, report)
        spine = sampled(candidates(tenant, lake, definitions, contracts, interval.as_of), tenant)
        rows = point_in_time(tenant, lake, definitions, spine).read_all()
        for name, champion in champions.items():
            with progress(f"monitor: {name}"):
                current = _current(rows, champion)
                if name != first and champion.features == champions[first].features:
                    current = current[[*spine.schema.names, SCORE]]
                _judge(tenant, interval, lake, definitions, name, champion, current, report)
            report.notes += note_on_age(champion.tags, definitions, name, champion.version)
        _compare_stores(tenant, definitions, report)
    return report


def _compare_stores(tenant: Tenant, definitions: "Definitions", report: Report) -> None:
    """Report the share of a sample whose online values are not those of the lake: it must be 0."""
    from pipelines.features.parity import parity

    found = parity(tenant, definitions, tenant.params.monitor.parity_rows)
    report.counts |= {"parity_checked": found.checked, "parity_differing_share": found.share}
    if found.differing:
        first = found.differences[0]
        report.notes.append(
            f"{found.differing} of {found.checked} entities are not online what they are in the lake, such as feature"
            f" '{first.feature}' of view '{first.view}' for {first.entity}: see `leadwise parity`"
        )


def sampled(spine: pa.Table, tenant: Tenant) -> pa.Table:
    """At most `params.monitor.sample_rows` rows of `spine`, drawn by the tenant's seed; rows keep their order."""
    most = tenant.params.monitor.sample_rows
    if spine.num_rows <= most:
        return spine
    drawn = np.random.default_rng(tenant.params.train.seed).choice(spine.num_rows, size=most, replace=False)
    return spine.take(pa.array(np.sort(drawn)))


def compared(definitions: "Definitions", entity: str, current: "pd.DataFrame") -> tuple[dict[str, Kind], list[str]]:
    """The columns to compare and their kind, and those left out.

    Candidates of a date may all be scored at one instant: what belongs to that instant alone, such as the hour, then
    has one value per time zone and says nothing of drift.
    """
    from feature_repo.on_demand import moment_of

    left_out: list[str] = []
    if current["event_time"].nunique() == 1:
        moment = moment_of(definitions, entity)
        since = {name for _, name in moment.times}
        left_out = [name for name in moment.outputs if name not in since]
    kinds: dict[str, Kind] = {}
    for name, kind in definitions.model_features(entity):
        if name not in left_out:
            kinds[name] = "numeric" if kind == "numeric" else "categorical"
    return {**kinds, SCORE: "numeric"}, left_out


def _current(rows: pa.Table, champion: "Champion") -> "pd.DataFrame":
    """Features and scores of the sampled candidates."""
    frame: pd.DataFrame = rows.append_column(SCORE, pa.array(champion.predict(rows), pa.float64())).to_pandas()
    return frame


def _judge(
    tenant: Tenant,
    interval: Interval,
    lake: Lake,
    definitions: "Definitions",
    target: str,
    champion: "Champion",
    current: "pd.DataFrame",
    report: Report,
) -> None:
    """Compare, and write what was found."""
    reference = _reference(tenant, target, champion)
    kinds, left_out = compared(definitions, str(current.columns[0]), current)
    if set(current.columns).isdisjoint(name for name, _ in champion.features):
        kinds, left_out = {SCORE: "numeric"}, []
    fresh = [name for name in kinds if name not in reference.columns]
    kinds = {name: kind for name, kind in kinds.items() if name not in fresh}
    suffix = "" if target == tenant.target()[0] else f"_{target}"
    folder = tenant.reports_dir / interval.label
    with replacing(folder / f"drift{suffix}.html", folder / f"drift{suffix}.json") as (page, verdict):
        drift = compare(reference, current, kinds, tenant.params.monitor, page)
        head = {"date": interval.label, "target": target, "model_version": str(champion.version)}
        sizes = {"reference_rows": len(reference), "current_rows": len(current), "left_out": [*left_out, *fresh]}
        verdict.write_text(json.dumps({**head, **drift.to_dict(), **sizes}, indent=1) + "\n", encoding="utf-8")
    _write(lake, interval, target, str(champion.version), drift)
    if set(kinds) == {SCORE}:
        report.details += [{"target": target, **asdict(item)} for item in drift.columns if item.drifted]
        report.notes += [f"'{target}': its score is unlike that of the training sample" for _ in drift.drifted]
    else:
        _tell(tenant, target, drift, min(len(reference), len(current)), report)
    if fresh:
        report.notes.append(f"'{target}': version {champion.version} does not know {', '.join(fresh)}: left out")
    if left_out:
        report.notes.append(f"all candidates share one instant: {', '.join(left_out)} can't drift and were left out")
    report.notes.append(f"report: {folder / f'drift{suffix}.html'}")
    report.links[f"drift of {target}"] = str((folder / f"drift{suffix}.html").relative_to(tenant.home))


def _reference(tenant: Tenant, target: str, champion: "Champion") -> "pd.DataFrame":
    """The training sample kept with the champion's run, bounded like today's."""
    sample = champion.reference()
    if sample is None or not len(sample):
        raise NotReady(
            f"the champion of '{target}' has no training sample in its MLflow run {champion.run_id}:"
            " train and promote again"
        )
    most = tenant.params.monitor.sample_rows
    return sample.sample(most, random_state=tenant.params.train.seed) if len(sample) > most else sample


def _write(lake: Lake, interval: Interval, target: str, version: str, drift: Drift) -> None:
    """Put the verdicts in the place of those of the same date and target."""
    loaded_at = utc_now()
    rows = [
        {
            "date": (interval.end - DAY).date(),
            "target": target,
            "model_version": version,
            "_loaded_at": loaded_at,
            **asdict(item),
        }
        for item in drift.columns
    ]
    stale = And(EqualTo(term="date", value=interval.label), EqualTo(term="target", value=target))
    lake.write(TABLE, SCHEMA, [pa.Table.from_pylist(rows, schema=SCHEMA)], replace=stale)


def _tell(tenant: Tenant, target: str, drift: Drift, rows: int, report: Report) -> None:
    """Say what was found."""
    columns = {item.column for item in drift.columns}
    report.counts |= {
        "rows": rows,
        "columns": len(columns),
        "drifted": len(drift.drifted) + int(report.counts.get("drifted", 0)),
        "share": max(drift.share, float(report.counts.get("share", 0.0))),
    }
    report.details += [{"target": target, **asdict(item)} for item in drift.columns if item.drifted]
    if drift.share > tenant.params.monitor.share:
        report.notes.append(
            f"'{target}' drifted: {len(drift.drifted)} of {len(columns)} columns are unlike the training sample"
        )
    if rows < FEW:
        report.notes.append(f"only {rows} rows were compared: differences may be chance")


def drift_status(tenant: Tenant) -> dict[str, Any]:
    """The newest date's verdict: `{"share", "columns"}`; share is None where nothing was monitored yet.

    With several targets `share` is that of the first one, which the features were judged with, and `columns` have the
    drifted scores of the others as `<target>.score`.
    """
    lake = Lake(tenant)
    date = latest_date(lake, TABLE)
    if date is None:
        return {"share": None, "columns": []}
    day = EqualTo(term="date", value=date)
    rows = lake.read(TABLE, columns=["target", "column", "drifted"], where=day).to_pylist()
    targets = {row["target"] for row in rows}
    first = next((one for one in tenant.target() if one in targets), min(targets))
    every = {row["column"] for row in rows if row["target"] == first}
    drifted = {row["column"] for row in rows if row["target"] == first and row["drifted"]}
    others = {row["target"] for row in rows if row["target"] != first and row["column"] == SCORE and row["drifted"]}
    columns = drifted | {f"{target}.{SCORE}" for target in others}
    return {"share": len(drifted) / len(every), "columns": sorted(columns)}
