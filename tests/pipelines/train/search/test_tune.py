"""The search as a whole, with the real Optuna and the real MLflow."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.inputs import Floats
from pipelines.core.errors import Busy, ConfigError
from pipelines.core.locks import exclusive
from pipelines.core.settings import ROOT
from pipelines.core.tenant import Tenant
from pipelines.registry.runs import runs
from pipelines.registry.tracking import connect
from pipelines.train.data import TrainingSet
from pipelines.train.search import folds as folding
from pipelines.train.search import step
from pipelines.train.search.runs import STATE, TRIAL
from pipelines.train.search.step import Budget, Outcome, tune
from pipelines.train.search.store import storage
from pipelines.train.search.study import VALUES
from tests.conftest import MakeTenant
from tests.pipelines.train.search.conftest import PARAMS, Freeze, market

PARENT = "mlflow.parentRunId"


def trials(tenant: Tenant, study: int = -1) -> list[Any]:
    """The trials of a study as its storage has them; the newest study unless told."""
    store = storage(tenant.home / "tune" / "conversion" / "studies.db")
    return list(store.get_all_trials(store.get_all_studies()[study]._study_id))


def tried(tenant: Tenant) -> list[tuple[Any, ...]]:
    """What was tried, in order, and what came of it; those that were cut short do not count."""
    return [
        (t.state.name, t.user_attrs[VALUES], t.value, t.intermediate_values)
        for t in trials(tenant)
        if t.state.name != "FAIL" or "error" in t.user_attrs
    ]


def logged(tenant: Tenant) -> list[Any]:
    client = connect(tenant)
    experiment = client.get_experiment_by_name(tenant.experiment)
    return list(client.search_runs([experiment.experiment_id], max_results=1000))


def search(tenant: Tenant, count: int, model: str | None = "linear", **options: Any) -> Outcome:
    return tune(tenant, model=model, budget=Budget(trials=count), **options)


def test_every_estimator_is_searched_and_nothing_is_registered(tenant: Tenant, freeze: Freeze) -> None:
    freeze()
    outcome = search(tenant, 2, model=None)
    assert [one.kind for one in outcome.found] == ["lightgbm", "xgboost", "linear"]
    assert all(one.counts["trials"] == 2 for one in outcome.found)
    client = connect(tenant)
    assert client.search_registered_models() == []
    assert runs(tenant) == []  # no list of trainings shows them, and `expire` does not count them
    found = logged(tenant)
    assert Counter(PARENT in run.data.tags for run in found) == {False: 3, True: 9}  # each: present values, two trials
    assert {run.info.status for run in found} == {"FINISHED"}
    for one in outcome.found:
        held = {item.path for item in client.list_artifacts(one.run_id, "plots")}
        assert "plots/history.png" in held
        assert any(one.run_id in link for link in outcome.report.links.values())


def test_a_trial_in_mlflow_is_the_one_of_the_study(tenant: Tenant, freeze: Freeze) -> None:
    freeze()
    [found] = search(tenant, 6).found
    children = {int(run.data.tags[TRIAL]): run for run in logged(tenant) if run.data.tags.get(PARENT) == found.run_id}
    assert len(children) == 7
    for trial in trials(tenant):
        run = children[trial.number]
        assert {name: float(value) for name, value in run.data.params.items()} == trial.user_attrs[VALUES]
        assert run.data.tags[STATE] == trial.state.name
        seen = {name: value for name, value in run.data.metrics.items() if name.startswith("logloss.fold_")}
        steps = list(trial.intermediate_values.values())
        assert len(seen) == len(steps) / 5
        assert ("logloss" in run.data.metrics) == (trial.state.name == "COMPLETE")
    paths = {item.path for item in connect(tenant).list_artifacts(found.run_id, "plots")}
    assert paths == {"plots/history.png", "plots/importance.png"}


def test_what_is_worse_beyond_chance_is_pruned_before_its_last_fold(tenant: Tenant, freeze: Freeze) -> None:
    freeze()
    [found] = search(tenant, 10).found
    ended = [trial for trial in trials(tenant) if trial.state.name == "PRUNED"]
    assert len(ended) == found.counts["pruned"] > 0
    assert all(len(trial.intermediate_values) < 15 for trial in ended)
    best = min(trial.value for trial in trials(tenant) if trial.state.name == "COMPLETE")
    assert all(np.mean(list(trial.intermediate_values.values())) > best for trial in ended)


def test_the_same_seed_gives_the_same_trials(make_tenant: MakeTenant, freeze: Freeze, tenant: Tenant) -> None:
    """Also where the budget comes in parts; another seed gives others."""
    freeze()
    whole = search(tenant, 6, model="lightgbm")
    first = tried(tenant)
    (tenant.home / "tune").rename(tenant.home / "kept")
    freeze()
    for count in (1, 4, 6):
        parts = search(tenant, count, model="lightgbm")
    assert tried(tenant) == first
    assert (parts.found[0].gain, parts.yaml) == (whole.found[0].gain, whole.yaml)
    search(make_tenant(params={**PARAMS, "train": {**PARAMS["train"], "seed": 8}}), 6, model="lightgbm")
    assert [values for _, values, *_ in tried(tenant)[1:]] != [values for _, values, *_ in first[1:]]


def test_the_same_budget_again_tries_nothing(tenant: Tenant, freeze: Freeze) -> None:
    freeze()
    first = search(tenant, 3)
    before = len(logged(tenant)), len(trials(tenant))
    again = search(tenant, 3)
    assert again.found == first.found
    assert (len(logged(tenant)), len(trials(tenant))) == before


def poisoned(data: TrainingSet, cut: int) -> TrainingSet:
    """The same rows; from `cut` on labels are turned and every feature is nonsense."""
    labels = data.labels.copy()
    labels[cut:] = 1 - labels[cut:]
    rows = data.rows.set_column(1, "label", pa.array(labels.astype("int64")))
    for name, nonsense in (("amount", 1e9), ("city", "nowhere"), ("member", True)):
        values = [*rows[name].to_pylist()[:cut], *[nonsense] * (rows.num_rows - cut)]
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, name, pa.array(values, rows.schema.field(name).type))
    return replace(data, rows=rows)


def test_no_row_of_the_holdout_is_looked_at(tenant: Tenant, freeze: Freeze) -> None:
    """With a holdout of nonsense the study is the same one, and a search from nothing gives the same."""
    freeze()
    first = search(tenant, 4)
    before = tried(tenant)
    cut = 700 - round(700 * tenant.params.train.holdout_share)
    freeze(poisoned(market(), cut))
    assert search(tenant, 4).found == first.found  # nothing was tried: it goes on with the same study
    (tenant.home / "tune").rename(tenant.home / "kept")
    freeze()
    search(tenant, 4)
    assert tried(tenant) == before


def test_another_training_set_begins_another_study(tenant: Tenant, freeze: Freeze) -> None:
    freeze()
    first = search(tenant, 2)
    freeze(market(800))
    second = search(tenant, 2)
    assert "linear: a new study begins, since the training set is not that of an earlier one" in second.report.notes
    assert second.found[0].run_id != first.found[0].run_id
    freeze()
    assert search(tenant, 2).found == first.found  # the earlier one is still there


def test_other_ranges_begin_another_study(tenant: Tenant, freeze: Freeze, make_tenant: MakeTenant) -> None:
    freeze()
    search(tenant, 1)
    wider = {**PARAMS, "tune": {**PARAMS["tune"], "space": {"linear": {"C": {"low": 0.001, "high": 5}}}}}
    outcome = search(make_tenant(params=wider), 1)
    told = "linear: a new study begins, since the ranges or other parameters are not those of an earlier one"
    assert told in outcome.report.notes


_UNDISTURBED: list[Any] = []
"""What was tried and found by a search that nothing happened to: searched once, by the first test that asks."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("while a trial's run is made", 3),
        ("after a fold", 5),
        ("before the losses are written", 1),
        ("before the losses are written", 3),
        ("before the end is told to MLflow", 4),
        ("before the study is told", 1),
    ],
)
def test_killed_and_run_again_it_is_as_if_nothing_had_been(
    tenant: Tenant, freeze: Freeze, where: str, number: int
) -> None:
    freeze()
    if not _UNDISTURBED:
        outcome = search(tenant, 5)
        _UNDISTURBED.extend([tried(tenant), outcome.found[0].gain])
        (tenant.home / "tune").rename(tenant.home / "kept")
        for run in logged(tenant):
            connect(tenant).delete_run(run.info.run_id)
        freeze()
    words = [sys.executable, "-m", "tests.pipelines.train.search.killed", where, str(number), "5"]
    done = subprocess.run(words, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=300)
    assert done.returncode == -9, done.stderr
    again = search(tenant, 5)
    assert [tried(tenant), again.found[0].gain] == _UNDISTURBED
    assert {trial.state.name for trial in trials(tenant)} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert {run.info.status for run in logged(tenant)} <= {"FINISHED", "KILLED"}
    told = {
        run.data.tags.get(TRIAL): run.data.tags.get(STATE) for run in logged(tenant) if run.info.status == "FINISHED"
    }
    for trial in trials(tenant):
        assert trial.state.name == "FAIL" or told[str(trial.number)] == trial.state.name


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at the eighth fold: the second trial's."""
    real, met = folding.losses, 0

    def losses(*args: Any) -> Iterator[Floats]:
        nonlocal met
        for part in real(*args):
            met += 1
            if met == 8:
                raise KeyboardInterrupt
            yield part

    monkeypatch.setattr(step.folding, "losses", losses)


@pytest.mark.usefixtures("interrupted")
def test_ctrl_c_ends_trial_and_runs(tenant: Tenant, freeze: Freeze) -> None:
    freeze()
    with pytest.raises(KeyboardInterrupt):
        search(tenant, 5)
    assert trials(tenant)[-1].state.name == "FAIL"
    ended = Counter(run.info.status for run in logged(tenant))
    assert ended["KILLED"] == 2  # the trial and the study
    assert ended["RUNNING"] == 0
    [found] = search(tenant, 5).found  # the interrupt comes once
    assert found.counts["trials"] == 5
    [study] = [run for run in logged(tenant) if PARENT not in run.data.tags]
    assert (study.info.run_id, study.info.status) == (found.run_id, "FINISHED")


def test_a_trial_that_fails_is_told_and_the_search_goes_on(
    tenant: Tenant, freeze: Freeze, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze()
    real, met = folding.losses, 0

    def losses(*args: Any) -> Iterator[Floats]:
        nonlocal met
        met += 1
        if met == 3:
            raise ValueError("no tree\ngrows here")
        yield from real(*args)

    monkeypatch.setattr(step.folding, "losses", losses)
    outcome = search(tenant, 4)
    assert outcome.found[0].counts == {"trials": 4, "failed": 1, "pruned": outcome.found[0].counts["pruned"]}
    assert "linear: 1 trials failed; their MLflow runs tell why" in outcome.report.notes
    [failed] = [run for run in logged(tenant) if run.info.status == "FAILED"]
    assert failed.data.tags["error"] == "ValueError: no tree grows here"


def test_runs_of_a_search_that_died_are_ended_by_another_study(tenant: Tenant, freeze: Freeze) -> None:
    freeze()
    [found] = search(tenant, 1).found
    connect(tenant).update_run(found.run_id, status="RUNNING")
    search(tenant, 1, model="lightgbm")
    assert connect(tenant).get_run(found.run_id).info.status == "KILLED"


def test_losses_that_were_taken_away_are_judged_anew(tenant: Tenant, freeze: Freeze) -> None:
    freeze()
    first = search(tenant, 3)
    files = list((tenant.home / "tune").rglob("*.npy"))
    assert len(files) >= 2
    for file in files:
        file.unlink()
    assert search(tenant, 3).found == first.found


def test_a_minute_that_is_over_tries_nothing_more(tenant: Tenant, freeze: Freeze) -> None:
    freeze()
    [found] = tune(tenant, model="linear", budget=Budget(seconds=0)).found
    assert found.counts["trials"] == 0
    assert found.best == found.present
    [found] = tune(tenant, model="linear", budget=Budget(seconds=0.5)).found
    assert found.counts["trials"] > 0


def test_present_values_outside_of_the_space_are_still_what_is_compared_with(
    make_tenant: MakeTenant, tenant: Tenant, freeze: Freeze
) -> None:
    freeze()
    far = make_tenant(params={**PARAMS, "train": {**PARAMS["train"], "linear": {"C": 0.00001}}})
    outcome = search(far, 4)
    assert "linear: the present values lie outside of tune.space.linear, and guide no trial" in outcome.report.notes
    assert outcome.found[0].present == {"C": 0.00001}
    assert outcome.found[0].better  # a model of nothing but its intercept is easily beaten
    assert len(trials(far)) == 4


def test_one_search_of_a_tenant_at_a_time(tenant: Tenant, freeze: Freeze) -> None:
    freeze()
    with exclusive(tenant, "tune"), pytest.raises(Busy, match="another run of 'tune'"):
        search(tenant, 1)


def test_a_number_is_searched_by_its_rmse(tenant: Tenant, freeze: Freeze, make_tenant: MakeTenant) -> None:
    """Against the losses by hand."""
    task = {"conversion": {"horizon_days": 7, "task": "regression"}}
    numbers = make_tenant(params={**PARAMS, "train": {**PARAMS["train"], "targets": task, "linear": {"C": 0.0002}}})
    data = market()
    amounts = np.nan_to_num(data.rows["amount"].to_numpy(zero_copy_only=False))
    label = pa.array(100 * amounts + 7 * data.labels)
    freeze(replace(data, rows=data.rows.set_column(1, "label", label), task="regression"))
    [found] = search(numbers, 4).found
    assert (found.task, found.better) == ("regression", True)
    best = min(trials(numbers), key=lambda trial: np.inf if trial.value is None else trial.value)
    assert best.user_attrs[VALUES] == found.best
    judged = np.load(next((numbers.home / "tune").rglob(f"{best.number}.npy")))
    assert found.loss + found.gain.difference == pytest.approx(np.sqrt(judged.mean()))
    [run] = [one for one in logged(numbers) if one.info.run_id == found.run_id]
    assert run.data.metrics["rmse"] == pytest.approx(best.value)


def test_what_is_wrong_is_one_sentence(tenant: Tenant) -> None:
    with pytest.raises(ConfigError, match=r"there is no model 'liner' to tune: did you mean 'linear'\?"):
        search(tenant, 1, model="liner")
    with pytest.raises(ConfigError, match="has no target 'conversoin'"):
        search(tenant, 1, target="conversoin")
