"""What a training leaves in MLflow: a run with its evidence, and a registered version."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.registry.leaks import leak_tags
from pipelines.registry.loader import write_model
from pipelines.registry.tracking import (
    CARD_LINK,
    CHALLENGER,
    KNOWN_UNTIL,
    TRAIN_UNTIL,
    card_link,
    experiment_id,
    note_origin,
    quiet,
    versions_with,
)
from pipelines.train.artifacts import write_artifacts
from pipelines.train.card_evidence import evidence_of
from pipelines.train.card_figures import coverage_of
from pipelines.train.fit import Candidate, best, comparison
from pipelines.train.leaks import leaks_of
from pipelines.train.source import git_tags, libraries
from pipelines.train.split import EVENT_TIME, KNOWN_AT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature

    from models import Estimator
    from models.leaks import Leak
    from pipelines.core.tenant import Tenant
    from pipelines.train.card_evidence import Evidence
    from pipelines.train.data import TrainingSet

DIGEST = "training_digest"
DVC = "dvc"
"""Origin of an experiment's run."""
COMPARISON = "candidates.json"
_EXAMPLE_ROWS = 5


@dataclass(frozen=True)
class Training:
    """A finished training, ready to be recorded."""

    tenant: Tenant
    data: TrainingSet
    candidates: list[Candidate]
    digest: str

    @cached_property
    def winner(self) -> Candidate:
        """The candidate that is registered."""
        return best(self.candidates)

    @cached_property
    def served(self) -> Estimator:
        """What is registered of the winner: itself, or where the target asks for ranks the winner behind a ranking."""
        inner = self.winner.estimator
        if not self.tenant.params.train.targets[self.data.target].rank:
            return inner
        from models.ranked import Ranked

        return Ranked.of(inner, inner.expected(self.data.train[0]))

    @property
    def train_mean(self) -> float:
        """The constant guess: share of ones, or mean of the numbers, among the training rows."""
        return float(self.data.labels[self.data.parts.train].mean())

    @cached_property
    def leaks(self) -> list[Leak]:
        """The features that know too much."""
        return leaks_of(self.data, self.winner, self.tenant.params.train)


def recipe(tenant: Tenant, target: str) -> dict[str, Any]:
    """All parameters that decide what a training of `target` gives, flat, by dotted name."""
    # Who accepts a leak changes no model: it is read when one is promoted.
    without: Any = {"accept_leaks": True, "targets": {"__all__": {"accept_leaks"}}}
    params = tenant.params.train.model_dump(exclude=without)
    targets = params.pop("targets")
    return _flat({"target": {"name": target, **targets[target]}, **params, "library": libraries()})


def registered(client: MlflowClient, name: str, digest: str) -> ModelVersion | None:
    """The newest version of `name` that came from the same training."""
    return max(versions_with(client, name, DIGEST, digest), key=lambda version: int(version.version), default=None)


def recorded(run_id: str) -> list[dict[str, Any]]:
    """The comparison of an earlier training, from its run; nothing where the run was deleted."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        table = mlflow.artifacts.load_dict(f"runs:/{run_id}/{COMPARISON}")
    except MlflowException:
        return []
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def record(client: MlflowClient, training: Training) -> ModelVersion:
    """Log the training as a run of the tenant's experiment, register its winner and name it the challenger."""
    name = training.tenant.model_name(training.data.target)
    tags = run_tags(training)
    with logged_run(client, training, f"{name} {training.data.as_of[:10]}", tags) as (run_id, info):
        # Within the run: one that has finished has its version, and `end_halves` knows the others.
        note_origin(client, run_id)
        link = {CARD_LINK: card_link(experiment_id(client, training.tenant), run_id)}
        version = _register(client, name, info, _describe(training, run_id, tags) | link)
    client.set_registered_model_alias(name, CHALLENGER, version.version)
    return version


def end_halves(client: MlflowClient, tenant: Tenant) -> None:
    """Mark the runs of trainings that were killed: as finished where the version is there, else as killed.

    Nobody else may be training. Experiments are left alone: they run beside.
    """
    running = f"attributes.status = 'RUNNING' and tags.`{DIGEST}` != ''"
    for run in client.search_runs([experiment_id(client, tenant)], running, max_results=1000):
        if run.data.tags.get("origin") != DVC:
            found = client.search_model_versions(f"run_id = '{run.info.run_id}'")
            client.set_terminated(run.info.run_id, "FINISHED" if found else "KILLED")


def run_tags(training: Training) -> dict[str, str]:
    """What a run is found by."""
    data = training.data
    return {
        "target": data.target,
        "as_of": data.as_of,
        DIGEST: training.digest,
        "data_snapshots": json.dumps(data.snapshots),
        "sql_hashes": json.dumps(data.sql),
        **leak_tags(training.leaks),
        **git_tags(),
    }


@contextmanager
def logged_run(
    client: MlflowClient, training: Training, run_name: str, tags: dict[str, str]
) -> Iterator[tuple[str, Any]]:
    """Log the training as a run of the tenant's experiment: numbers, inputs, evidence and the winner's native files.

    Nothing is registered. A run that is cut short is marked as failed; it has finished when the block ends.

    Yields:
        Id of the run, and what MLflow knows of the logged model.
    """
    import mlflow

    data = training.data
    experiment = experiment_id(client, training.tenant)
    with quiet(), tempfile.TemporaryDirectory(prefix="leadwise-") as scratch:
        folder = Path(scratch)
        with mlflow.start_run(experiment_id=experiment, run_name=run_name, tags=tags) as run:
            evidence = evidence_of(training, run_tags(training))
            made = recipe(training.tenant, data.target)
            _log_numbers(training, made, evidence)
            _log_inputs(training)
            write_artifacts(folder / "artifacts", training, evidence, made)
            mlflow.log_artifacts(str(folder / "artifacts"))
            rows = comparison(data, training.candidates)
            mlflow.log_table({column: [row[column] for row in rows] for column in rows[0]}, COMPARISON)
            info = mlflow.pyfunc.log_model(
                name="model",
                loader_module="pipelines.registry.loader",
                data_path=str(write_model(folder / "model", training.served)),
                signature=signature(data),
                input_example=data.frame.iloc[:_EXAMPLE_ROWS],
                pip_requirements=[f"{library}=={version}" for library, version in libraries().items()],
            )
            yield str(run.info.run_id), info


def signature(data: TrainingSet) -> ModelSignature:
    """Inputs by kind, all required, each value optional; one number out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    # A boolean with gaps is `any`: MLflow would read a missing one of its own booleans as false. So is a whole number:
    # the online store gives an integer, a batch with gaps a double, and MLflow does not take one for the other.
    types: dict[str, Any] = {"numeric": "double", "categorical": "string", "boolean": AnyType()}
    whole = {field.name for field in data.rows.schema if pa.types.is_integer(field.type)}
    columns = [ColSpec(AnyType() if name in whole else types[kind], name) for name, kind in data.features]
    return ModelSignature(Schema(columns), Schema([ColSpec("double")]))


def _register(client: MlflowClient, name: str, info: Any, tags: dict[str, str]) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name)
    return client.create_model_version(
        name,
        source=info.artifact_path,
        run_id=tags["run_id"],
        tags=tags,
        model_id=info.model_id,
        description=tags[CARD_LINK],
    )


def _describe(training: Training, run_id: str, tags: dict[str, str]) -> dict[str, str]:
    """Tags of the version: what status, scoring and promotion read."""
    data, winner = training.data, training.winner
    return {
        **tags,
        **{name: repr(value) for name, value in winner.metrics.items()},
        "kind": winner.kind,
        "task": data.task,
        "run_id": run_id,
        "feature_service": data.target,
        "features": json.dumps(data.features),
        "train_rows": str(len(data.parts.train)),
        "train_base_rate": repr(training.train_mean),
        "holdout_rows": str(len(data.parts.holdout)),
        TRAIN_UNTIL: str(_latest(data, EVENT_TIME)),
        KNOWN_UNTIL: str(_latest(data, KNOWN_AT)),
    }


def _latest(data: TrainingSet, column: str) -> Any:
    """The latest event that was learnt from, or the latest instant at which one of their labels became known."""
    source = data.rows if column == EVENT_TIME or data.keys is None else data.keys
    name = column if column in source.schema.names else EVENT_TIME
    return pc.max(source[name].take(pa.array(data.parts.train))).as_py()


def _log_numbers(training: Training, made: dict[str, Any], evidence: Evidence) -> None:
    """Parameters, and the measures of every candidate; `coverage_90` is how often the winner's 90 % interval held."""
    import mlflow

    data, parts = training.data, training.data.parts
    held = coverage_of(evidence.y, evidence.p, evidence.intervals, evidence.binary)
    mlflow.log_params(
        {
            **made,
            "feature_service": data.target,
            "features": len(data.features),
            **{f"snapshot.{name}": value for name, value in data.snapshots.items()},
            **{f"sql.{name}": value for name, value in data.sql.items()},
        }
    )
    figures = {f"{one.kind}.{name}": value for one in training.candidates for name, value in one.metrics.items()}
    mlflow.log_metrics(
        {
            **training.winner.metrics,
            **figures,
            **{f"coverage_{one.level * 100:.0f}": one.held.value for one in held},
            "train_rows": len(parts.train),
            "holdout_rows": len(parts.holdout),
            "purged_rows": parts.purged,
            "train_base_rate": training.train_mean,
        }
    )
    mlflow.set_tag("kind", training.winner.kind)


def _log_inputs(training: Training) -> None:
    """Name the data of training and holdout: schema, size and digest; no row leaves the lake."""
    import mlflow
    from mlflow.types import ColSpec, Schema

    tenant, data = training.tenant, training.data
    labels = data.labels
    schema = Schema([*signature(data).inputs.inputs, ColSpec("double", "label")])
    for context, rows in (("training", data.parts.train), ("evaluation", data.parts.holdout)):
        table = data.frame.iloc[rows].assign(label=labels[rows])
        dataset = mlflow.data.from_pandas(
            table,
            source=tenant.lake_url,
            targets="label",
            name=f"{tenant.model_name(data.target)} {context}",
            digest=f"{training.digest[:24]}-{context[:5]}",
        )
        vars(dataset)["schema"] = schema  # a cached property: MLflow would look at every value to infer the same
        mlflow.log_input(dataset, context=context)


def _flat(values: dict[str, Any], head: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{head}{name}.") if isinstance(value, dict) else {f"{head}{name}": value}
    return found
