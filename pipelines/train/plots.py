"""Pictures of an evaluation, for the pages of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.inputs import Floats
from models.metrics import CALIBRATION_BINS, calibration
from pipelines.core.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.train.compare import Comparison
    from pipelines.train.data import TrainingSet
    from pipelines.train.fit import Candidate

_COLOURS = {"lightgbm": "#2a7f62", "xgboost": "#3b6fb6", "scorer": "#8a4f9e", "linear": "#c8641e"}
_POINTS = 200


def draw(folder: Path, data: TrainingSet, candidates: list[Candidate], winner: Candidate) -> list[Path]:
    """Write every picture that suits the task as PNG into `folder` and return their paths."""
    y = data.labels[data.parts.holdout]
    scores = {candidate.kind: candidate.probabilities for candidate in candidates}
    importance = winner.estimator.importance()
    pictures: dict[str, Callable[[Any], None]] = {
        "calibration": lambda axes: _calibration(axes, y, scores),
        "importance": lambda axes: _importance(axes, importance, winner.kind),
    }
    if data.task == "binary":
        pictures |= {
            "roc": lambda axes: _roc(axes, y, scores),
            "scores": lambda axes: _scores(axes, y, winner),
            "base_rate": lambda axes: _over_time(axes, data, winner, "Base rate", "share of ones"),
        }
    else:
        pictures |= {
            "values": lambda axes: _values(axes, y, winner),
            "mean": lambda axes: _over_time(axes, data, winner, "Mean", "mean"),
        }
    if y.min() >= 0 and y.sum() > 0:  # shares of a sum in which nothing cancels out
        pictures |= {"gain": lambda axes: _gain(axes, y, scores), "lift": lambda axes: _lift(axes, y, scores)}
    return [_save(folder / f"{name}.png", picture) for name, picture in pictures.items()]


def draw_comparison(path: Path, found: Comparison) -> None:
    """Write the differences of two runs with their intervals, and both calibrations, as one PNG.

    Raises:
        ConfigError: the file can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for place, one in enumerate(reversed(found.measures.values())):
        colour = {0: "#9aa5b1", 1: "#3b6fb6", 2: "#2a7f62"}[one.better]
        left.plot([one.low, one.high], [place, place], color=colour, linewidth=3, solid_capstyle="butt")
        left.plot([one.difference], [place], marker="o", color=colour)
    left.axvline(0, color="grey", linestyle=":")
    left.set_yticks(range(len(found.measures)), [one.name for one in reversed(found.measures.values())])
    _labelled(left, "B minus A with 95 % intervals (green: B is better, blue: A)", "difference", "", legend=False)
    top = 0.0
    for name, run, p, colour in zip(
        "AB", (found.first, found.second), found.scores, ("#3b6fb6", "#2a7f62"), strict=True
    ):
        predicted, observed, _ = calibration(found.labels, p)
        right.plot(predicted, observed, marker="o", markersize=4, color=colour, label=f"{name}: {run.short} {run.name}")
        top = max(top, float(predicted.max()), float(observed.max()))
    right.plot([0, top], [0, top], color="grey", linestyle=":", label="perfect")
    _labelled(right, f"Calibration on the {len(found.labels):,} common rows", "predicted", "observed")
    try:
        figure.savefig(path, dpi=90)
    except OSError as error:
        raise ConfigError(f"the picture {path} can't be written ({error.strerror}): name another file") from None


def _save(path: Path, picture: Callable[[Any], None]) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8))
    FigureCanvasAgg(figure)
    # Fixed margins: a layout engine draws every picture twice.
    axes = figure.add_axes((0.12, 0.12, 0.85, 0.8) if path.stem != "importance" else (0.36, 0.12, 0.61, 0.8))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    picture(axes)
    figure.savefig(path, dpi=90)
    return path


def _labelled(axes: Any, title: str, x: str, y: str, legend: bool = True) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)
    if legend:
        axes.legend(frameon=False, loc="upper left")  # "best" looks at every point


def _calibration(axes: Any, y: Floats, scores: dict[str, Floats]) -> None:
    top = low = 0.0
    for kind, p in scores.items():
        predicted, observed, _ = calibration(y, p)
        axes.plot(predicted, observed, marker="o", markersize=4, color=_COLOURS[kind], label=kind)
        top, low = max(top, float(predicted.max()), float(observed.max())), min(low, float(predicted.min()))
    axes.plot([low, top], [low, top], color="grey", linestyle=":", label="perfect")
    _labelled(axes, f"Calibration on the holdout, {CALIBRATION_BINS} bins of equal mass", "predicted", "observed")


def _roc(axes: Any, y: Floats, scores: dict[str, Floats]) -> None:
    for kind, p in scores.items():
        hits = y[np.argsort(-p, kind="stable")]
        at = _points(len(y))
        true = np.concatenate([[0], np.cumsum(hits)])[at] / hits.sum()
        false = np.concatenate([[0], np.cumsum(1 - hits)])[at] / (1 - hits).sum()
        axes.plot(false, true, color=_COLOURS[kind], label=kind)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    _labelled(axes, "ROC on the holdout", "false positive rate", "true positive rate")


def _gain(axes: Any, y: Floats, scores: dict[str, Floats]) -> None:
    at = _points(len(y))
    for kind, p in scores.items():
        hits = np.concatenate([[0], np.cumsum(y[np.argsort(-p, kind="stable")])])
        axes.plot(at / len(y), hits[at] / y.sum(), color=_COLOURS[kind], label=kind)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    _labelled(axes, "Gain on the holdout", "share contacted, best first", "share of all outcomes reached")


def _lift(axes: Any, y: Floats, scores: dict[str, Floats]) -> None:
    at = _points(len(y))[1:]
    at = at[at >= max(1, len(y) // 100)]
    for kind, p in scores.items():
        hits = np.cumsum(y[np.argsort(-p, kind="stable")])
        axes.plot(at / len(y), hits[at - 1] / at / y.mean(), color=_COLOURS[kind], label=kind)
    axes.axhline(1, color="grey", linestyle=":", label="chance")
    _labelled(axes, "Lift on the holdout", "share contacted, best first", "times the mean")


def _scores(axes: Any, y: Floats, winner: Candidate) -> None:
    bins = np.histogram_bin_edges(winner.probabilities, bins=40)
    for value, colour in ((0.0, "#9aa5b1"), (1.0, _COLOURS[winner.kind])):
        part = winner.probabilities[y == value]
        axes.hist(part, bins=bins, density=True, alpha=0.6, color=colour, label=f"label {value:.0f} ({len(part):,})")
    _labelled(axes, f"Scores on the holdout, {winner.kind}", "probability", "density")


def _values(axes: Any, y: Floats, winner: Candidate) -> None:
    """What was predicted and what came, each from the lowest to the highest."""
    at = np.unique(np.linspace(0, len(y) - 1, min(len(y), _POINTS)).astype(np.intp))
    for values, name, colour in ((y, "label", "#9aa5b1"), (winner.probabilities, "predicted", _COLOURS[winner.kind])):
        axes.plot(at / max(1, len(y) - 1), np.sort(values)[at], color=colour, label=name)
    axes.set_yscale("symlog", linthresh=max(1e-9, float(np.abs(winner.probabilities).mean())))
    _labelled(axes, f"Values on the holdout, {winner.kind}", "share of rows, lowest first", "value")


def _over_time(axes: Any, data: TrainingSet, winner: Candidate, what: str, unit: str) -> None:
    """Outcomes and predictions in stretches of equal numbers of rows, in the order of time."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    times = data.rows["event_time"].to_numpy()
    train, holdout = data.parts.train, data.parts.holdout
    for rows, name, colour in ((train, "training", "#9aa5b1"), (holdout, "holdout", "#1f2933")):
        parts = [part for part in np.array_split(rows, 40 if name == "training" else 10) if len(part)]
        middles = [times[part[len(part) // 2]] for part in parts]
        axes.plot(middles, [data.labels[part].mean() for part in parts], marker=".", color=colour, label=name)
    parts = [part for part in np.array_split(np.arange(len(holdout)), 10) if len(part)]
    predicted = [winner.probabilities[part].mean() for part in parts]
    middles = [times[holdout[part[len(part) // 2]]] for part in parts]
    axes.plot(middles, predicted, marker=".", linestyle="--", color=_COLOURS[winner.kind], label="predicted")
    if data.labels.min() >= 0:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(AutoDateLocator(maxticks=6))
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
    _labelled(axes, f"{what} over time, stretches of equal rows", "event time", unit)


def _importance(axes: Any, importance: dict[str, float], kind: str) -> None:
    top = sorted(importance.items(), key=lambda item: item[1])[-20:]
    axes.barh([name for name, _ in top], [share for _, share in top], color=_COLOURS[kind])
    axes.tick_params(axis="y", labelsize=7)
    _labelled(axes, f"Importance of features, {kind}", "share", "", legend=False)


def _points(rows: int) -> Any:
    """Positions from 0 to `rows` at which curves are drawn: no picture shows more."""
    return np.unique(np.linspace(0, rows, min(rows, _POINTS) + 1).astype(np.intp))
