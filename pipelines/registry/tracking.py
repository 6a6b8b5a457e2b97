"""The way to MLflow: where it is, that it is quiet, and that it unpickles nothing."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from pipelines.core import origin
from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.stores import sentences

if TYPE_CHECKING:
    import pyarrow as pa
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from pipelines.core.tenant import Tenant
    from pipelines.core.train_params import Task

CHAMPION = "champion"
CHALLENGER = "challenger"
SHADOW = "shadow"
PROMOTED = ("promotion", "promoted")
"""Tag of a version that is or once was the champion."""

# Artifacts of a training run: what promotion and drift read later.
HOLDOUT = "holdout/holdout.parquet"
REFERENCE = "reference/reference.parquet"
CARD = "card.html"

CARD_LINK = "card"
"""Tag of a version: where its model card is, in Markdown."""

TRAIN_UNTIL, KNOWN_UNTIL = "train_until", "known_until"
"""Tags of a version: the latest event it learnt from, and when the last of their labels became known; ISO."""

ENTITY = "_entity"
"""Column of a frozen training set that holds the entity, and of a run's holdout that holds a digest of it."""

_PICKLE = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def connect(tenant: Tenant) -> MlflowClient:
    """Point MLflow at the tenant's tracking server and registry, and return a client.

    The database of a local run is created when it is missing.

    Raises:
        ConfigError: its folder can't be written, or the database refuses the login.
        StoreUnreachable: the database does not answer.
    """
    os.environ[_PICKLE] = "false"  # who exported something else opens no door
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    settings = tenant.settings
    if settings.mlflow_uri is None:
        try:
            settings.mlflow_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the folder {settings.mlflow_dir} can't be written ({error.strerror}): make room there or set"
                " LEADWISE_VAR"
            ) from None
    if settings.tracking_uri.startswith("postgresql"):
        _ask(settings.tracking_uri)
    with _uncollected():
        import mlflow

        for logger in ("mlflow", "alembic", "git", "psycopg"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        if settings.mlflow_uri is None:
            _make_database(settings.mlflow_db)
        mlflow.set_tracking_uri(settings.tracking_uri)
        mlflow.set_registry_uri(settings.tracking_uri)
        return mlflow.MlflowClient(settings.tracking_uri, settings.tracking_uri)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile.

    Importing MLflow makes much that stays; looking for garbage in it takes a fifth of the seconds of a rollback.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def reached(tenant: Tenant) -> bool:
    """Whether there may be runs and models: a look at a local MLflow that was never written makes none."""
    return tenant.settings.mlflow_uri is not None or tenant.settings.mlflow_db.is_file()


def _ask(uri: str) -> None:
    """Make sure that the database answers: MLflow would try for 100 s before it says that it does not."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    with sentences("MLflow", ""):
        create_engine(uri, poolclass=NullPool, connect_args={"connect_timeout": 5}).connect().close()


def _make_database(path: Path) -> None:
    """Make MLflow's database elsewhere and put it in its place at once.

    Its hundreds of migrations are no transaction: where they are cut short, or run twice at once, nobody can go on.
    """
    if path.is_file():
        return
    from mlflow.store.db.utils import _initialize_tables
    from sqlalchemy import create_engine

    with FileLock(path.with_suffix(".lock")):
        if path.is_file():  # another process was faster
            return
        with tempfile.TemporaryDirectory(prefix="leadwise-") as folder:
            made = Path(folder) / path.name
            engine = create_engine(f"sqlite:///{made}")
            _initialize_tables(engine)
            engine.dispose()
            draft = path.with_suffix(".new")
            shutil.copyfile(made, draft)
            draft.replace(path)


def experiment_id(client: MlflowClient, tenant: Tenant) -> str:
    """Id of the tenant's experiment, created with its artifacts under `var/mlflow` where it is missing."""
    found = client.get_experiment_by_name(tenant.experiment)
    if found is not None:
        return str(found.experiment_id)
    # A server keeps artifacts where it was told to; a database keeps none.
    local = not tenant.settings.tracking_uri.startswith("http")
    location = (tenant.settings.mlflow_dir / "artifacts" / tenant.experiment).as_uri() if local else None
    return str(client.create_experiment(tenant.experiment, artifact_location=location))


def note_origin(client: MlflowClient, run_id: str) -> None:
    """Write on the run who started it, with a way back that MLflow's UI shows as a link."""
    who = origin.current()
    if who is None:
        return
    for name, value in {**who.tags(), "mlflow.note.content": who.markdown()}.items():
        client.set_tag(run_id, name, value)


def run_link(experiment: str, run_id: str) -> str:
    """Where MLflow's UI shows a run, as a link of a report."""
    return f"mlflow:/#/experiments/{experiment}/runs/{run_id}"


def card_link(experiment: str, run_id: str) -> str:
    """Where MLflow's UI shows the card of a run, as Markdown that works within that UI."""
    return f"[Model card](#/experiments/{experiment}/runs/{run_id}/artifacts/{CARD})"


def version_link(name: str, version: int | str) -> str:
    """Where MLflow's UI shows a registered version, as a link of a report."""
    return f"mlflow:/#/models/{name}/versions/{version}"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings of MLflow's own making, such as hints on dataset schemas, off a person's terminal."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"mlflow(\..*)?")
        yield


def run_table(tracking_uri: str, run_id: str, path: str) -> pa.Table | None:
    """A Parquet artifact of a run, read into memory; None where the run has no such artifact."""
    import mlflow
    import pyarrow.parquet as pq
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory(prefix="leadwise-") as folder:
        try:
            local = mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=path, dst_path=folder, tracking_uri=tracking_uri
            )
        except (MlflowException, FileNotFoundError):
            return None
        return pq.read_table(local)


def task_of(tags: Mapping[str, str]) -> Task:
    """The task of a registered version, from its tags; binary where it was registered before there were other ones."""
    return "regression" if tags.get("task") == "regression" else "binary"


def versions_with(client: MlflowClient, name: str, tag: str, value: str) -> list[ModelVersion]:
    """The versions of registered model `name` whose `tag` has that value."""
    return list(client.search_model_versions(f"name = '{name}' and tags.`{tag}` = '{value}'", max_results=10_000))


def version_of(client: MlflowClient, name: str, version: str) -> ModelVersion:
    """Version `version` of registered model `name`.

    Raises:
        NotReady: there is none, or no longer.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise NotReady(
            f"{name} has no version {version} in MLflow: `leadwise history` lists those that were promoted"
        ) from None


def by_alias(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version of registered model `name` that bears `alias`; None where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
