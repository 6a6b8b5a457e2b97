"""What a model card tells of, and how it comes from a finished training."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.inputs import Floats, InputError
from pipelines.registry.leaks import accepted
from pipelines.train.card_charts import percent
from pipelines.train.card_words import heading, words_of
from pipelines.train.split import EVENT_TIME

if TYPE_CHECKING:
    from models.leaks import Leak
    from pipelines.train.card_figures import Ints, Times
    from pipelines.train.data import TrainingSet
    from pipelines.train.record import Training

LEVELS = (0.5, 0.8, 0.9, 0.95)
EXAMPLES = {"highest": 1.0, "upper quarter": 0.75, "middle": 0.5, "lowest": 0.0}
"""Rows of the holdout that are explained, by the place of their prediction among all."""
REASONS = 3
_ROWS = 5_000  # of the holdout, for which intervals are asked


@dataclass(frozen=True)
class Example:
    """A row of the holdout and why it got its prediction.

    Attributes:
        place: of its prediction among all, in words.
        prediction: what was predicted.
        reasons: the features that moved it most: name, value, and what each added, in log odds or the label's unit.
        rest: what everything else added to the base.
        base: where every row starts.
    """

    place: str
    prediction: float
    reasons: Sequence[tuple[str, object, float]]
    rest: float
    base: float


@dataclass(frozen=True)
class Evidence:
    """All that a card tells of. Nothing in it may be personal: features, labels, predictions and times of the holdout.

    Attributes:
        name: registered model, `<tenant>.<target>`.
        meaning: what is predicted, a sentence.
        binary: whether labels are 0 and 1.
        winner: kind of the candidate that is registered.
        facts: what else the head says, by name, such as the instant of knowledge.
        train: labels that were learnt from.
        train_times: when these events were.
        y: labels of the holdout, in time order.
        times: when these events were.
        predictions: of the holdout, by kind of candidate.
        clusters: a whole number of each row of the holdout; rows of one are drawn together. None draws single rows.
        importance: share by feature.
        words: a phrase by feature, where there is one.
        segments: by column its values in the holdout.
        intervals: by level, low and high of each row of the holdout.
        examples: rows of the holdout, each with its reasons.
        weights: of the members of the winner.
        leaks: features that may know the outcome, and whether each was accepted.
        lineage: what the run was made from, by name.
    """

    name: str
    meaning: str
    binary: bool
    winner: str
    facts: Mapping[str, str]
    train: Floats
    train_times: Times
    y: Floats
    times: Times
    predictions: Mapping[str, Floats]
    clusters: Ints | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    segments: Mapping[str, npt.NDArray[np.object_]] = field(default_factory=dict)
    intervals: Mapping[float, Floats] = field(default_factory=dict)
    examples: Sequence[Example] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    leaks: Sequence[tuple[Leak, bool]] = ()
    lineage: Mapping[str, str] = field(default_factory=dict)

    @property
    def p(self) -> Floats:
        """The winner's predictions."""
        return self.predictions[self.winner]

    def number(self, value: float) -> str:
        """A label or a prediction as people read it: a share in per cent, a value as it is."""
        return f"{value:.1%}" if self.binary else f"{value:,.4g}"

    def tick(self, value: float) -> str:
        """The same for an axis."""
        return percent(value) if self.binary else f"{value:,.4g}"

    @property
    def measure(self) -> tuple[str, str]:
        """The measures of ranking and of loss."""
        return ("auc", "logloss") if self.binary else ("spearman", "rmse")


def evidence_of(training: Training, lineage: Mapping[str, str]) -> Evidence:
    """What the card of a training tells.

    Args:
        training: a finished one.
        lineage: what the run says of its making, by name.
    """
    from expectations.contract import load_contracts

    tenant, data, winner = training.tenant, training.data, training.winner
    contracts = load_contracts(tenant.contracts_dir)
    params = tenant.params.train
    target = params.targets[data.target]
    horizon = target.horizon_days
    names = [name for name, _ in data.features]
    segments = {column.name for one in contracts.values() for column in one.columns if column.segment}
    train, holdout = data.parts.train, data.parts.holdout
    times = data.rows[EVENT_TIME].to_numpy()
    known = accepted(params, data.target)
    return Evidence(
        name=tenant.model_name(data.target),
        meaning=_meaning(data),
        binary=data.task == "binary",
        winner=winner.kind,
        facts={
            "known by": f"{data.as_of.replace('T', ' ')[:16]} UTC",
            "horizon": f"{horizon} day{'' if horizon == 1 else 's'} after the event",
            "features": f"{len(names)}",
            **(
                {"served as": "rank from 0 to 100 among the training rows; below, the value itself"}
                if target.rank
                else {}
            ),
        },
        train=data.labels[train],
        train_times=times[train],
        y=data.labels[holdout],
        times=times[holdout],
        predictions={one.kind: one.probabilities for one in training.candidates},
        clusters=_clusters(data),
        importance=winner.estimator.importance(),
        words=words_of(names, contracts, data.source),
        segments={n: data.frame[n].to_numpy(dtype=object)[holdout] for n in names if n in segments},
        intervals=_intervals(training),
        examples=_examples(training),
        weights=dict(getattr(winner.estimator, "weights_", {})),
        leaks=[(leak, leak.feature in known) for leak in training.leaks],
        lineage=lineage,
    )


def _meaning(data: TrainingSet) -> str:
    """What the label's SQL says of itself, or else the target's name."""
    said = heading(data.source.get(f"sql/labels/{data.target}.sql", ""))
    first = re.split(r"(?<=[.?!])\s", said, maxsplit=1)[0]
    return first or f"Predicts {data.target} of each event."


def _clusters(data: TrainingSet) -> Ints | None:
    """A number for each entity of the holdout in the order of first appearance, so that its rows are drawn together."""
    if data.keys is None:
        return None
    entities = data.keys.column(0).take(pa.array(data.parts.holdout)).combine_chunks()
    return np.asarray(entities.dictionary_encode().indices.to_numpy(), dtype=np.intp)


def _examples(training: Training) -> list[Example]:
    """A few rows of the holdout from the best to the worst, each with the reasons that count most."""
    data, winner = training.data, training.winner
    order = np.argsort(winner.probabilities, kind="stable")
    at = [int(order[round(place * (len(order) - 1))]) for place in EXAMPLES.values()]
    X = data.frame.iloc[data.parts.holdout[at]]
    why = winner.estimator.explain(X, top=min(REASONS, X.shape[1]))
    return [
        Example(
            place,
            float(winner.probabilities[at[i]]),
            [
                (str(X.columns[one]), X.iloc[i, one], float(part))
                for one, part in zip(why.features[i], why.contributions[i], strict=True)
            ],
            float(why.rest[i]),
            float(why.base[i]),
        )
        for i, place in enumerate(EXAMPLES)
    ]


def _intervals(training: Training) -> dict[float, Floats]:
    """Low and high of a sample of the holdout (NaN elsewhere) by level, where the winner knows intervals."""
    ask = getattr(training.winner.estimator, "predict_interval", None)
    if ask is None:
        return {}
    holdout = training.data.parts.holdout
    at = np.unique(np.linspace(0, len(holdout) - 1, min(len(holdout), _ROWS)).astype(np.intp))
    X = training.data.frame.iloc[holdout[at]]
    found = {}
    for level in LEVELS:
        ends = np.full((len(holdout), 2), np.nan)
        try:
            ends[at] = ask(X, coverage=level)
        except InputError:  # learnt from too little to know any
            return {}
        found[level] = ends
    return found
