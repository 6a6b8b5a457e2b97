"""The step `train`: fit every candidate on what was known, and register the best as challenger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.core.errors import NotReady
from pipelines.core.locks import exclusive
from pipelines.core.report import Report, progress
from pipelines.lake.catalog import Lake
from pipelines.registry.tracking import CHALLENGER, connect, experiment_id, run_link

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow import MlflowClient

    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant
    from pipelines.train.data import TrainingSet


def train(tenant: Tenant, interval: Interval, target: str | None = None) -> Report:
    """Train the targets of the tenant on the labels that matured by the interval's end.

    The same rows, queries and parameters give the version that is registered already: nothing piles up.

    Args:
        tenant: whose models.
        interval: its end is the instant whose knowledge counts.
        target: one target; None is all. Then one with too little data is left out with a note, but not the first.

    Raises:
        NotReady: no features yet, or too little data for `target` or the first one.
        SqlError: a label's SQL fails.
        ConfigError: an unknown target, or a folder that can't be written.
    """
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions
    from pipelines.train.data import training_sets
    from pipelines.train.record import end_halves

    targets = tenant.target(target)
    contracts = load_contracts(tenant.contracts_dir)
    definitions = load_definitions(tenant, contracts)
    report = Report("train", tenant.name, interval)
    with exclusive(tenant, "train"):
        client = connect(tenant)
        end_halves(client, tenant)
        found = training_sets(tenant, Lake(tenant), contracts, definitions, targets, interval)
        for name in targets:
            with progress(f"train {name}", len(tenant.params.train.candidates) + 2) as advance:
                data = next(found)
                advance(1)
                if not isinstance(data, NotReady):
                    _train(tenant, data, client, report, advance)
                elif name == targets[0]:
                    raise data
                else:
                    report.notes.append(f"left out: {data}")
    return report


def _train(
    tenant: Tenant, data: TrainingSet, client: MlflowClient, report: Report, advance: Callable[[int], None]
) -> None:
    from pipelines.registry.leaks import refusal
    from pipelines.train.fit import comparison, fit_candidates, verdict
    from pipelines.train.leaks import told
    from pipelines.train.record import Training, recipe, record, recorded, registered

    target = data.target
    digest = data.digest(recipe(tenant, target))
    name = tenant.model_name(target)
    parts = data.parts
    report.counts |= {
        f"{target}: matured rows": data.rows.num_rows,
        f"{target}: training rows": len(parts.train),
        f"{target}: holdout rows": len(parts.holdout),
        f"{target}: purged rows": parts.purged,
    }
    known = registered(client, name, digest)
    if known is not None:
        client.set_registered_model_alias(name, CHALLENGER, known.version)
        report.notes.append(
            f"{target}: version {known.version} of {name} was trained on the same rows, queries and parameters"
            " and stays the challenger"
        )
        if refused := refusal(known.tags, tenant.params.train, target):
            report.notes.append(f"{target}: `promote` will refuse version {known.version}: {refused}")
        report.details += recorded(str(known.run_id))
        report.links[f"MLflow run of {target}"] = run_link(experiment_id(client, tenant), str(known.run_id))
        return
    candidates = fit_candidates(data, tenant.params.train, tenant.settings.threads, advance)
    training = Training(tenant, data, candidates, digest)
    version = record(client, training)
    advance(1)
    report.links[f"MLflow run of {target}"] = run_link(experiment_id(client, tenant), str(version.run_id))
    report.details += comparison(data, candidates)
    report.notes += verdict(data, candidates) + told(training.leaks, tenant.params.train, target)
    report.notes.append(f"{target}: version {version.version} of {name} ({training.winner.kind}) is the challenger")
    if parts.purged:
        report.notes.append(
            f"{target}: {parts.purged} rows whose label was not yet known when the holdout begins were left out"
        )
