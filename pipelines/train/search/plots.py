"""Pictures of a search: how it went, and what mattered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.train.plots import _labelled, _save
from pipelines.train.search.store import quiet
from pipelines.train.search.study import PRESENT

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy

FEW = 4
"""With fewer complete trials nothing can be said of what mattered."""
_GREY, _BLUE, _GREEN, _RED = "#9aa5b1", "#3b6fb6", "#2a7f62", "#c8641e"


def draw(folder: Path, study: OptunaStudy, kind: str, words: str) -> None:
    """Write `history.png`, and `importance.png` where there are enough trials, into `folder`.

    Args:
        folder: made where it is missing.
        study: whose trials are drawn.
        kind: the estimator.
        words: what the value of a trial is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder / "history.png", lambda axes: _history(axes, study, kind, words))
    shares = importances(study)
    if shares:
        _save(folder / "importance.png", lambda axes: _importance(axes, shares, kind))


def importances(study: OptunaStudy) -> dict[str, float]:
    """Share of each parameter in what made trials good, by PED-ANOVA (Watanabe, Bansal & Hutter 2023)."""
    import optuna

    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    if len(complete) < FEW or len({trial.value for trial in complete}) < 2:
        return {}
    with quiet():
        return dict(optuna.importance.get_param_importances(study))


def _history(axes: Any, study: OptunaStudy, kind: str, words: str) -> None:
    """Every trial by its number, and the best so far; a pruned one stands at the mean of the folds it saw."""
    complete = {t.number: t for t in study.trials if t.state.name == "COMPLETE"}
    values = {number: float(trial.value or 0.0) for number, trial in complete.items()}
    before = [number for number, trial in complete.items() if PRESENT in trial.user_attrs]
    tried = [number for number in values if number not in before]
    axes.scatter(tried, [values[number] for number in tried], s=16, color=_BLUE, label="judged on all folds")
    pruned = [trial for trial in study.trials if trial.state.name == "PRUNED"]
    ends = [float(np.mean([v for name, v in t.user_attrs.items() if name.startswith("fold_")])) for t in pruned]
    axes.scatter([t.number for t in pruned], ends, s=16, marker="x", color=_GREY, label="pruned: folds it saw")
    axes.step(list(values), np.minimum.accumulate([*values.values()]), where="post", color=_GREEN, label="best so far")
    for number in before:
        axes.axhline(values[number], color=_RED, linestyle=":", label=None if number else "values before")
    low, top = min(values.values(), default=0.0), max(values.values(), default=1.0)
    room = max(top - low, 1e-4)
    axes.set_ylim(low - 0.1 * room, top + 0.3 * room)  # a pruned trial may lie far outside
    _labelled(axes, f"Search of {kind}: {words} forward in time", "trial", words)


def _importance(axes: Any, shares: dict[str, float], kind: str) -> None:
    ordered = sorted(shares.items(), key=lambda item: item[1])
    axes.barh([name for name, _ in ordered], [share for _, share in ordered], color=_BLUE)
    _labelled(axes, f"What mattered in the search of {kind}", "share", "", legend=False)
