"""The trained runs of a tenant in MLflow, and the names by which a person means one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ConfigError, NotReady, nearest
from pipelines.registry.tracking import connect, reached

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlflow import MlflowClient

    from pipelines.core.tenant import Tenant
    from pipelines.core.train_params import Task

SHORT = 8
"""Letters of a run's id that are shown."""

MEASURES = {"binary": ("logloss", "auc"), "regression": ("rmse", "spearman")}
"""What a listing tells of a run, by its task."""

_PREFIX = re.compile(r"[0-9a-f]{4,32}")
_VERSION = re.compile(r"v([1-9][0-9]*)")
_PAGE = 500


@dataclass(frozen=True)
class Run:
    """A finished training or experiment.

    Attributes:
        run_id: of MLflow.
        name: of the run; an experiment has the name DVC gave it.
        started: naive UTC.
        origin: what started it: "dvc" for an experiment, "airflow", or "train" from the command line.
        target: what it predicts.
        as_of: the instant whose knowledge it was trained on, ISO.
        metrics: on its own holdout.
        params: what it was trained with, flat.
        version: of the registered model; None where it was not registered.
        aliases: that the version bears.
    """

    run_id: str
    name: str
    started: datetime
    origin: str
    target: str
    as_of: str
    metrics: Mapping[str, float] = field(repr=False)
    params: Mapping[str, str] = field(repr=False)
    version: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        """Of the target; runs that do not tell are binary."""
        return "regression" if self.params.get("target.task") == "regression" else "binary"

    @property
    def short(self) -> str:
        """The id as far as it is shown."""
        return self.run_id[:SHORT]

    def row(self) -> dict[str, Any]:
        """What a listing tells."""
        return {
            "run": self.short,
            "name": self.name,
            "started": self.started.isoformat(" ", "minutes"),
            "origin": self.origin,
            "target": self.target,
            **{name: self.metrics.get(name) for name in MEASURES[self.task]},
            "version": f"v{self.version}" if self.version else None,
            "alias": ", ".join(self.aliases) or None,
        }


def runs(tenant: Tenant, target: str | None = None) -> list[Run]:
    """The finished runs of the tenant, newest first; before the first one none, and nothing is created.

    Raises:
        ConfigError: an unknown target.
    """
    targets = tenant.target(target)
    if not reached(tenant):
        return []
    client = connect(tenant)
    experiment = client.get_experiment_by_name(tenant.experiment)
    if experiment is None:
        return []
    registered = {run: found for name in targets for run, found in _registered(client, tenant.model_name(name)).items()}
    finished = _pages(client, [experiment.experiment_id], "attributes.status = 'FINISHED'")
    known = [run for run in finished if run.data.tags.get("target") in targets]
    return [_run(run, *registered.get(run.info.run_id, (None, ()))) for run in known]


def find(tenant: Tenant, words: str, target: str | None = None) -> Run:
    """The run that `words` mean: an id or the beginning of one, a name, a version such as v3, or an alias.

    Where runs of several targets are meant, it is that of the first target that the tenant names.

    Raises:
        NotReady: nothing was trained yet.
        ConfigError: no run is meant, or several.
    """
    known = runs(tenant, target)
    if not known:
        whose = f"tenant '{tenant.name}'" + (f", target '{target}'" if target else "")
        raise NotReady(f"{whose} has no finished run yet: run `leadwise train --tenant {tenant.name}` first")
    version = _VERSION.fullmatch(words)
    ways: list[Callable[[Run], bool]] = [
        lambda run: run.run_id == words,
        lambda run: words in run.aliases,
        lambda run: version is not None and run.version == version[1],
        lambda run: run.name == words,
        lambda run: _PREFIX.fullmatch(words) is not None and run.run_id.startswith(words),
    ]
    for meant in ways:
        found = [run for run in known if meant(run)]
        if len(found) > 1:  # each target has its champion: that of the first one is meant
            first = tenant.target(target)[0]
            found = [run for run in found if run.target == first] or found
        if len(found) > 1:
            several = ", ".join(f"{run.short} ({run.target}, {run.started:%Y-%m-%d %H:%M})" for run in found[:5])
            raise ConfigError(
                f"'{words}' may be any of {len(found)} runs of '{tenant.name}': name one by id: {several}"
            )
        if found:
            return found[0]
    names = {run.name for run in known} | {alias for run in known for alias in run.aliases}
    raise ConfigError(
        f"tenant '{tenant.name}' has no run '{words}': {nearest(words, names)}"
        f" (`leadwise experiments --tenant {tenant.name}` lists them with their ids)"
    )


def _pages(client: MlflowClient, experiments: list[str], where: str) -> list[Any]:
    found: list[Any] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            experiments, where, max_results=_PAGE, order_by=["attributes.start_time DESC"], page_token=token
        )
        found += page
        token = page.token
        if not token:
            return found


def _registered(client: MlflowClient, name: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """By run: the version of the registered model `name` that came from it, and its aliases."""
    from mlflow.exceptions import MlflowException

    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
    bearers: dict[str, list[str]] = {}
    for alias, version in aliases.items():
        bearers.setdefault(str(version), []).append(alias)
    return {
        str(one.run_id): (str(one.version), tuple(sorted(bearers.get(str(one.version), []))))
        for one in client.search_model_versions(f"name = '{name}'", max_results=10_000)
    }


def _run(run: Any, version: str | None, aliases: tuple[str, ...]) -> Run:
    tags = run.data.tags
    return Run(
        run_id=str(run.info.run_id),
        name=str(run.info.run_name),
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC).replace(tzinfo=None),
        origin=tags.get("origin", "train"),
        target=tags["target"],
        as_of=tags.get("as_of", ""),
        metrics=dict(run.data.metrics),
        params=dict(run.data.params),
        version=version,
        aliases=aliases,
    )
