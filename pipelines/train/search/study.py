"""A study of Optuna's that goes on where it was: the same trials, however often it was cut short.

Whoever holds a study must be alone with it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from models.inputs import Floats
from pipelines.train.search.space import rounded
from pipelines.train.search.store import quiet, saying

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from models.selection import Total
    from pipelines.core.params import TuneParams
    from pipelines.train.search.space import Values

Judge = Callable[["Values"], Iterator[Floats]]
"""Losses of the judged rows by some values, fold by fold."""

VALUES, PRESENT, ERROR = "values", "present", "error"
"""What a trial is noted with: the values that were tried; that they were the present ones, by name; why it failed."""


class Watcher:
    """Hears of every trial; this one does nothing."""

    def begins(self, number: int, values: Values, name: str) -> None:
        """A trial begins."""

    def fold(self, number: int, place: int, loss: float) -> None:
        """A fold of it was judged, the first being 0."""

    def ended(self, trial: FrozenTrial) -> None:
        """It is finished, and Optuna's storage knows."""

    def stopped(self, number: int) -> None:
        """It was cut short."""


@dataclass(frozen=True)
class Study:
    """A study and the losses of its trials.

    Attributes:
        optuna: the study.
        folder: of the losses, one file a trial.
        space: what is searched.
        params: how.
        seed: of the search.
        judge: tells the losses of some values.
        total: the measure that decides, of a mean loss.
        watcher: hears of every trial.
    """

    optuna: OptunaStudy
    folder: Path
    space: dict[str, BaseDistribution]
    params: TuneParams
    seed: int
    judge: Judge
    total: Total
    watcher: Watcher

    def end_halves(self) -> None:
        """Mark trials as failed whose process died."""
        from optuna.trial import TrialState

        for trial in self._in((TrialState.RUNNING,)):
            self.optuna.tell(trial.number, state=TrialState.FAIL)

    def record_present(self, values: Values) -> FrozenTrial | None:
        """Judge the present values once, and let the search know of them; None where the space does not hold them."""
        from optuna.trial import create_trial

        name = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
        known = [trial for trial in self.optuna.trials if trial.user_attrs.get(PRESENT) == name]
        if known:
            return known[0]
        if not all(one._contains(one.to_internal_repr(values[key])) for key, one in self.space.items()):
            return None
        parts = list(self.judge(values))
        of_folds = {f"fold_{place}": self._measure(part) for place, part in enumerate(parts, 1)}
        self._save(f"present-{name}", np.concatenate(parts))
        with quiet():
            self.optuna.add_trial(
                create_trial(
                    value=self._measure(np.concatenate(parts)),
                    params=values,
                    distributions=self.space,
                    user_attrs={PRESENT: name, VALUES: values, **of_folds},
                    intermediate_values=dict(enumerate(self._blocks(parts))),
                )
            )
        trial = self.optuna.trials[-1]
        self.watcher.begins(trial.number, values, "present")
        self.watcher.ended(trial)
        return trial

    def run(self) -> FrozenTrial:
        """One more trial: finished, pruned, or failed with the reason noted."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        with quiet():
            # A sampler by the number of trials that count: a search that was cut short goes on as it would have.
            seed = int(np.random.SeedSequence([self.seed, len(self.counted())]).generate_state(1)[0])
            self.optuna.sampler = TPESampler(seed=seed, n_startup_trials=self.params.startup, constant_liar=False)
            trial = self.optuna.ask(self.space)
        values = rounded({name: trial.params[name] for name in self.space})
        trial.set_user_attr(VALUES, values)
        try:
            self.watcher.begins(trial.number, values, f"trial {trial.number}")
            state, value = self._judged(trial, values)
            with quiet():
                self.optuna.tell(trial, value, state=state)
        except BaseException:
            self.optuna.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            self.watcher.stopped(trial.number)
            raise
        found = self.optuna.trials[trial.number]
        self.watcher.ended(found)
        return found

    def _judged(self, trial: Trial, values: Values) -> tuple[Any, float | None]:
        """State and value of a trial, its losses saved."""
        from optuna.trial import TrialState

        parts: list[Floats] = []
        judged = self.judge(values)
        for place in range(self.params.folds):
            try:
                part = next(judged)
            except Exception as error:  # whatever an estimator says of these values: the search goes on without them
                trial.set_user_attr(ERROR, " ".join(f"{type(error).__name__}: {error}".split())[:500])
                return TrialState.FAIL, None
            if not np.isfinite(part).all():
                trial.set_user_attr(ERROR, f"a loss of fold {place + 1} is not finite")
                return TrialState.FAIL, None
            parts.append(part)
            for step, mean in enumerate(self._blocks([part]), place * self.params.blocks):
                trial.report(mean, step)
            trial.set_user_attr(f"fold_{place + 1}", self._measure(part))
            self.watcher.fold(trial.number, place, self._measure(part))
            with quiet():
                if place + 1 < self.params.folds and trial.should_prune():
                    return TrialState.PRUNED, None
        losses = np.concatenate(parts)
        self._save(str(trial.number), losses)
        return TrialState.COMPLETE, self._measure(losses)

    def counted(self) -> list[FrozenTrial]:
        """The trials that a budget counts: all but the present values and those that were cut short."""
        from optuna.trial import TrialState

        finished = self._in((TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
        done = [t for t in finished if t.state != TrialState.FAIL or ERROR in t.user_attrs]
        return [trial for trial in done if PRESENT not in trial.user_attrs]

    def finished(self) -> list[FrozenTrial]:
        """The same with the present values."""
        return [*(trial for trial in self.complete() if PRESENT in trial.user_attrs), *self.counted()]

    def complete(self) -> list[FrozenTrial]:
        """The trials that were judged on all folds, the present values among them."""
        from optuna.trial import TrialState

        return self._in((TrialState.COMPLETE,))

    def losses(self, trial: FrozenTrial) -> Floats:
        """Losses of all judged rows by a complete trial; judged anew where its file was taken away."""
        name = f"present-{trial.user_attrs[PRESENT]}" if PRESENT in trial.user_attrs else str(trial.number)
        path = self.folder / f"{name}.npy"
        try:
            return cast(Floats, np.load(path, allow_pickle=False))
        except (OSError, ValueError):
            found = np.concatenate(list(self.judge(trial.user_attrs[VALUES])))
            self._save(name, found)
            return found

    def _in(self, states: tuple[Any, ...]) -> list[FrozenTrial]:
        return cast("list[FrozenTrial]", self.optuna.get_trials(deepcopy=False, states=states))

    def _blocks(self, parts: list[Floats]) -> list[float]:
        """Mean loss of each block of each fold: what a trial is compared by while it runs."""
        return [float(block.mean()) for part in parts for block in np.array_split(part, self.params.blocks)]

    def _measure(self, losses: Floats) -> float:
        return float(self.total(losses.mean()))

    def _save(self, name: str, losses: Floats) -> None:
        buffer = io.BytesIO()
        np.save(buffer, losses, allow_pickle=False)
        with saying(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = self.folder / f"{name}.part"
            unfinished.write_bytes(buffer.getvalue())
            unfinished.replace(self.folder / f"{name}.npy")
