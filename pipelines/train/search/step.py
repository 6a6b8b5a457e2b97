"""The step `tune`: search better parameters of estimators on the training rows, and say whether they are better."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.judges import judge_of
from models.selection import gain
from pipelines.core.errors import ConfigError, nearest
from pipelines.core.locks import exclusive
from pipelines.core.report import Report, progress
from pipelines.registry.tracking import connect, experiment_id, run_link
from pipelines.train.freeze import freeze, thaw
from pipelines.train.search import folds as folding
from pipelines.train.search import space
from pipelines.train.search.outcome import LEVEL, Found, Outcome, put, tell
from pipelines.train.search.plots import draw
from pipelines.train.search.runs import Runs
from pipelines.train.search.store import opened, storage
from pipelines.train.search.study import VALUES, Study
from pipelines.train.search.write import as_yaml
from pipelines.train.source import libraries

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from optuna import Study as OptunaStudy
    from optuna.storages import BaseStorage

    from models.inputs import Floats
    from pipelines.core.report import Advance
    from pipelines.core.tenant import Tenant
    from pipelines.train.data import TrainingSet
    from pipelines.train.search.folds import Fold
    from pipelines.train.search.space import Values

_SET = "set"


@dataclass(frozen=True)
class Budget:
    """When a search has had enough: trials of each study in all, or seconds of this call, whichever is first."""

    trials: int | None = None
    seconds: float | None = None

    def share(self, studies: int) -> Budget:
        """What one of so many studies may use."""
        return Budget(self.trials, None if self.seconds is None else self.seconds / studies)


def tune(
    tenant: Tenant,
    target: str | None = None,
    model: str | None = None,
    budget: Budget | None = None,
    *,
    anew: bool = False,
    write: bool = False,
    force: bool = False,
) -> Outcome:
    """Search better parameters on the frozen training set's training rows; the holdout takes no part.

    Run again it goes on where it was. A study belongs to the rows, folds, ranges and other parameters it began with.

    Args:
        tenant: whose models.
        target: what is predicted; None is the tenant's first.
        model: an estimator that `tune.space` names; None is each of them.
        budget: None is `tune.trials` of each.
        anew: read the training set from the lake again.
        write: put what is better beyond chance into `params.yaml`.
        force: write the best of each study, whatever the interval says.

    Raises:
        NotReady: nothing to learn from yet.
        Busy: another search of this tenant is at work.
        ConfigError: an unknown target or model, or a folder or file that can't be written.
    """
    [target, *_] = tenant.target(target)
    kinds = _kinds(tenant, model)
    path = tenant.home / "exp" / target / "training_set.parquet"
    outcome = Outcome(Report("tune", tenant.name))
    with exclusive(tenant, "tune"):
        if anew or not path.is_file():
            freeze(tenant, tenant.whole_run, target, path)
            outcome.report.notes.append(f"{target}: the training set was read from the lake into {path}")
        search = _Search(tenant, folding.without_holdout(thaw(tenant, target, path)), connect(tenant), outcome)
        limits = (budget or Budget(trials=tenant.params.tune.trials)).share(len(kinds))
        for kind in kinds:
            outcome.found.append(search.one(kind, limits))
            link = run_link(experiment_id(search.client, tenant), outcome.found[-1].run_id)
            outcome.report.links[f"MLflow run of {kind}"] = link
    outcome.report.counts |= {"training rows": search.data.rows.num_rows, "judged rows": search.judged}
    tell(tenant, target, outcome)
    if write or force:
        put(tenant, outcome, force)
    return outcome


class _Search:
    """The studies of one call: same rows, same folds."""

    def __init__(self, tenant: Tenant, data: TrainingSet, client: MlflowClient, outcome: Outcome) -> None:
        self.tenant, self.data, self.client, self.notes = tenant, data, client, outcome.report.notes
        self.measure = judge_of(data.task)
        self.folds: list[Fold] = folding.forward(data, tenant.params.tune)
        self.set = folding.digest(data, self.folds, {})
        self.home = tenant.home / "tune" / data.target
        self.store: BaseStorage = storage(self.home / "studies.db")

    @property
    def judged(self) -> int:
        """Rows of all folds."""
        return sum(len(fold.judged) for fold in self.folds)

    def one(self, kind: str, budget: Budget) -> Found:
        """Search one estimator."""
        tenant, train, tune = self.tenant, self.tenant.params.train, self.tenant.params.tune
        name = f"{kind}-{self.set[:12]}-{self._recipe(kind)[:12]}"
        study = opened(self.store, name, tune)
        if not study.trials:
            self.notes += self._begun(kind)
            study.set_user_attr(_SET, self.set)
        title = f"tune {tenant.model_name(self.data.target)} {kind} {self.data.as_of[:10]}"
        tags = {"tune.target": self.data.target, "tune.model": kind, "tune.set": self.set[:24]}
        runs = Runs(self.client, tenant, name, title, self.measure.loss, tags)
        judge = _Judge(self.data, self.folds, kind, tenant)
        ranges = space.distributions(train, tune, kind)
        searched = Study(study, self.home / name, ranges, tune, train.seed, judge, self.measure.total, runs)
        present = space.present(train, tune, kind)
        with runs.searching():
            searched.end_halves()
            runs.make_up(searched.finished())
            held = searched.record_present(present)
            if held is None:
                self.notes.append(f"{kind}: the present values lie outside of tune.space.{kind}, and guide no trial")
            _run(searched, budget, f"tune {kind}")
            found = self._found(kind, searched, present, runs.run_id)
            self._log(kind, study, found, runs)
        return found

    def _recipe(self, kind: str) -> str:
        """Name of all that decides what a trial of some values gives, and which values are tried; not the budget."""
        train, tune = self.tenant.params.train, self.tenant.params.tune
        searched = space.ranges(tune, kind)
        fixed = {name: value for name, value in getattr(train, kind).model_dump().items() if name not in searched}
        recipe = {
            "fixed": fixed,
            "tune": tune.model_dump(exclude={"trials", "draws", "space"}),
            "space": {name: one.model_dump() for name, one in searched.items()},
            "train": {"validation_share": train.validation_share, "seed": train.seed},
            "libraries": libraries(),
        }
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()

    def _begun(self, kind: str) -> list[str]:
        """What to say of a study that begins beside older ones."""
        names = [name for name in self.store_names() if name.startswith(f"{kind}-")]
        older = [name for name in names if name.split("-")[1] != self.set[:12]]
        if len(names) <= 1:
            return []
        other = len(older) == len(names) - 1
        why = "training set is not that" if other else "ranges or other parameters are not those"
        return [f"{kind}: a new study begins, since the {why} of an earlier one"]

    def store_names(self) -> list[str]:
        """Names of all studies of the target."""
        return [study.study_name for study in self.store.get_all_studies()]

    def _found(self, kind: str, study: Study, present: Values, run_id: str) -> Found:
        """The best complete trial against the present values, on the rows of all folds."""
        trials = study.complete()
        at = next((n for n, trial in enumerate(trials) if trial.user_attrs[VALUES] == present), None)
        table: list[Floats] = [study.losses(trial) for trial in trials]
        if at is None:
            at = len(trials)
            table.append(np.concatenate(list(study.judge(present))))
        seed, draws = self.tenant.params.train.seed, self.tenant.params.tune.draws
        groups = folding.clusters(self.data, self.folds)
        told = gain(table, at, groups, draws=draws, level=LEVEL, seed=seed, total=self.measure.total)
        best = present if told.best == at else trials[told.best].user_attrs[VALUES]
        counted = study.counted()
        states = [trial.state.name for trial in counted]
        counts = {"trials": len(counted), "pruned": states.count("PRUNED"), "failed": states.count("FAIL")}
        return Found(
            kind, present, best, float(self.measure.total(table[at].mean())), self.data.task, told, counts, run_id
        )

    def _log(self, kind: str, study: OptunaStudy, found: Found, runs: Runs) -> None:
        tune = self.tenant.params.tune
        limits = {
            f"space.{name}": f"{one.low:g} to {one.high:g}{', log' if one.log else ''}"
            for name, one in space.ranges(tune, kind).items()
        }
        params = {"model": kind, "folds": tune.folds, "rows": self.judged, **limits}
        told = found.gain
        metrics = {
            self.measure.loss: found.loss + told.difference,
            f"present_{self.measure.loss}": found.loss,
            "difference": told.difference,
            "difference_low": told.low,
            "difference_high": told.high,
            **{name: float(count) for name, count in found.counts.items()},
        }
        with tempfile.TemporaryDirectory(prefix="leadwise-") as scratch:
            folder = Path(scratch)
            draw(folder / "plots", study, kind, self.measure.words)
            (folder / "best.yaml").write_text(as_yaml(self.tenant.name, {kind: found.best}), encoding="utf-8")
            runs.tell(params, metrics, folder)


@dataclass(frozen=True)
class _Judge:
    """Losses of some values of an estimator, fold by fold."""

    data: TrainingSet
    folds: list[Fold]
    kind: str
    tenant: Tenant

    def __call__(self, values: Values) -> Iterator[Floats]:
        train, threads = self.tenant.params.train, self.tenant.settings.threads
        return folding.losses(
            self.data, self.folds, lambda: space.make(self.kind, self.data.task, train, values, threads)
        )


def _run(study: Study, budget: Budget, what: str) -> None:
    """Trials until the budget is used up; one that has begun is brought to its end."""
    done = len(study.counted())
    left = None if budget.trials is None else max(0, budget.trials - done)
    ends = None if budget.seconds is None else time.monotonic() + budget.seconds
    with progress(what, left) as advance:
        _trials(study, left, ends, advance)


def _trials(study: Study, left: int | None, ends: float | None, advance: Advance) -> None:
    ran = 0
    while (left is None or ran < left) and (ends is None or time.monotonic() < ends):
        study.run()
        ran += 1
        advance(1)


def _kinds(tenant: Tenant, name: str | None) -> list[str]:
    known = space.kinds(tenant.params.tune)
    if not known:
        raise ConfigError(
            "tune.space names no parameter: give it a range, as in lightgbm: {num_leaves: {low: 4, high: 63}}"
        )
    if name is not None and name not in known:
        raise ConfigError(f"there is no model '{name}' to tune: {nearest(name, known)}")
    if name is not None:
        return [name]
    # A network costs a hundred times what the others do: whoever doesn't stack it has no use for its parameters.
    return [kind for kind in known if kind != "network" or kind in tenant.params.train.scorer.members]
