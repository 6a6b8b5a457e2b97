"""What MLflow shows of a search: a run of the study, and one nested in it for each trial.

None bears the tags by which runs of trainings are found: a search is in no list of runs, registers nothing and moves no
alias. Optuna's storage is what counts; what MLflow lacks of it after a kill is made up for by the next search.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.core.origin import Origin
from pipelines.registry.tracking import experiment_id, quiet
from pipelines.train.search.study import ERROR, PRESENT, VALUES, Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlflow import MlflowClient
    from optuna.trial import FrozenTrial

    from pipelines.core.tenant import Tenant
    from pipelines.train.search.space import Values

TUNE = "tune"
"""Origin of the runs of a search."""
STUDY, TRIAL, STATE = "tune.study", "tune.trial", "tune.state"
_PARENT = "mlflow.parentRunId"
_MOST = 50_000


class Runs(Watcher):
    """The runs of one study. `run_id` is the study's own."""

    def __init__(
        self, client: MlflowClient, tenant: Tenant, study: str, name: str, measure: str, tags: dict[str, str]
    ) -> None:
        """Find the study's run, or make it.

        Args:
            client: of MLflow.
            tenant: whose experiment the runs belong to.
            study: name of Optuna's study.
            name: of the run.
            measure: name of what decides.
            tags: that all its runs bear.
        """
        self._client, self._measure = client, measure
        self._experiment = experiment_id(client, tenant)
        self._tags = {**Origin(TUNE, name).tags(), STUDY: study, **tags}
        self._children: dict[int, str] = {}
        self._told = 0  # folds of the trial at work that MLflow knows of
        known = self._search(f"tags.`{STUDY}` = '{study}'")
        parents = [run.info.run_id for run in known if _PARENT not in run.data.tags]
        self.run_id = str(parents[0]) if parents else self._create(name, {})
        self._known = {int(run.data.tags[TRIAL]): run for run in known if run.data.tags.get(_PARENT) == self.run_id}

    def make_up(self, finished: list[FrozenTrial]) -> None:
        """Bring MLflow to what the storage holds: trials that it lacks, and runs whose process died."""
        for trial in finished:
            run = self._known.get(trial.number)
            if run is not None and run.info.status != "RUNNING":
                continue
            if run is None:
                name = "present" if PRESENT in trial.user_attrs else f"trial {trial.number}"
                self.begins(trial.number, trial.user_attrs[VALUES], name)
            else:
                self._children[trial.number], self._told = run.info.run_id, 0
            self.ended(trial)
        for run in self._search(f"attributes.status = 'RUNNING' and tags.origin = '{TUNE}'"):
            if run.info.run_id != self.run_id:
                self._client.set_terminated(run.info.run_id, "KILLED")

    @contextmanager
    def searching(self) -> Iterator[None]:
        """Let the study's run be at work inside, and end it as what happened."""
        self._client.update_run(self.run_id, status="RUNNING")
        try:
            yield
        except KeyboardInterrupt:
            self._client.set_terminated(self.run_id, "KILLED")
            raise
        except BaseException:
            self._client.set_terminated(self.run_id, "FAILED")
            raise
        self._client.set_terminated(self.run_id, "FINISHED")

    def begins(self, number: int, values: Values, name: str) -> None:
        """A run for a trial, with its values."""
        run_id = self._create(name, {_PARENT: self.run_id, TRIAL: str(number), STATE: "RUNNING"})
        self._children[number], self._told = run_id, 0
        self._log(run_id, params=values)

    def fold(self, number: int, place: int, loss: float) -> None:
        """Its loss on a fold, the first being 0."""
        self._log(self._children[number], metrics={f"{self._measure}.fold_{place + 1}": loss})
        self._told = place + 1

    def ended(self, trial: FrozenTrial) -> None:
        """Its state, and its loss where all folds were judged."""
        run_id = self._children.pop(trial.number)
        folds = {name: loss for name, loss in trial.user_attrs.items() if name.startswith("fold_")}
        found = {f"{self._measure}.{name}": loss for name, loss in list(folds.items())[self._told :]}
        if trial.state.name == "COMPLETE":
            found[self._measure] = float(trial.value or 0.0)
        error = {ERROR: trial.user_attrs[ERROR]} if ERROR in trial.user_attrs else {}
        self._log(run_id, metrics=found, tags={STATE: trial.state.name, **error})
        self._client.set_terminated(run_id, "FAILED" if trial.state.name == "FAIL" else "FINISHED")

    def stopped(self, number: int) -> None:
        """It was cut short: what it left does not count."""
        run_id = self._children.pop(number, None)
        if run_id is not None:
            self._log(run_id, tags={STATE: "KILLED"})
            self._client.set_terminated(run_id, "KILLED")

    def tell(self, params: dict[str, Any], metrics: dict[str, float], folder: Path) -> None:
        """Log on the study's run what was searched, how it ended, and the files of `folder`."""
        held = self._client.get_run(self.run_id).data.params
        self._log(self.run_id, {name: value for name, value in params.items() if name not in held}, metrics)
        with quiet():
            self._client.log_artifacts(self.run_id, str(folder))

    def _create(self, name: str, tags: dict[str, str]) -> str:
        made = self._client.create_run(self._experiment, run_name=name, tags={**self._tags, **tags})
        return str(made.info.run_id)

    def _search(self, where: str) -> list[Any]:
        return list(self._client.search_runs([self._experiment], where, max_results=_MOST))

    def _log(
        self,
        run_id: str,
        params: dict[str, Any] | None = None,
        metrics: dict[str, float] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        """All of it in one go."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, now, 0) for name, value in (metrics or {}).items()],
            params=[Param(name, str(value)) for name, value in (params or {}).items()],
            tags=[RunTag(name, value) for name, value in (tags or {}).items()],
        )
