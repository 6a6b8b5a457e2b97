"""`LeadScorer`: several members, stacked on what they said of rows they had not seen, calibrated, with its reasons."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt

from models.base import Estimator, Task, aligned, check_rows, check_task, load_state, normalised
from models.inputs import Columns, Floats, InputError, Inputs, Kind
from models.members import MEMBERS
from models.members.boosted import Boosted, Loss
from models.scorer.defaults import DEFAULTS
from models.scorer.folds import Fold, forward, recency, shortest, shuffled, stretches
from models.scorer.ranges import later_outcomes
from models.scorer.shift import prior_shift
from models.scorer.stack import Stack, stacked, steadied
from models.scorer.trial import Ground, Trial, final, tried
from models.scorer.uncertainty import Uncertainty

_LEARNT = 4.0
"""Trees times learning rate that are grown at least where folds go forward in time."""

FEW = 200
"""With fewer rows than this, or fewer of the rarer outcome than a tenth of it, there is nothing to choose by."""


class LeadScorer(Estimator):
    """Members of different kinds, weighed by what they said of rows they had not seen.

    Where `event_time` is given to `fit`, folds go forward in time: `forward_folds` stretches at most, each judged by
    members that learnt from what lies before it. A stretch is as long as `horizon` says, which is what a model is used
    for before the next one is trained: a share of its history, and the stretches are spread over the latest
    `forward_share` of rows, or a time, and they are the latest ones back to back. A row's weight halves every so many
    rows; each member gets the half-life that suited it best, None among them. The weights of the stack, and with them
    its calibration, are learnt from these judged rows, which count half every `forward_share / 2` of all rows back;
    where the level of outcomes moves so that it would have helped on later stretches, all log odds are shifted as the
    newest rows say. Without `event_time` the folds are drawn by chance and all rows weigh alike.

    A member that does not help beyond chance gets no weight and is not kept. With few rows the linear member stands
    alone.

    Attributes:
        weights_: weight of each member that is served.
        members_: these members, fitted on all rows.
        trials_: how every member did on the folds.
        shift_: of all log odds, since the base rate moved; 0 where that does not help, or nothing says so.
        judged_: out-of-fold raw predictions of the stack, their labels, and positions of these rows in time order.
    """

    kind: ClassVar[str] = "scorer"

    def __init__(
        self,
        task: Task = "binary",
        *,
        members: Mapping[str, Mapping[str, Any]] | None = None,
        loss: Loss = "squared",
        folds: int = 5,
        forward_folds: int = 10,
        forward_share: float = 0.2,
        horizon: float | timedelta = 0.02,
        half_lives: tuple[float, ...] = (0.3, 0.1, 0.03),
        least_gain: float = 1.0,
        seed: int = 0,
        threads: int = 1,
        advance: Callable[[str], None] | None = None,
    ) -> None:
        self.task = check_task(task)
        self.members = dict(DEFAULTS if members is None else members)
        if unknown := [name for name in self.members if name not in MEMBERS]:
            raise InputError(f"a member must be one of {', '.join(MEMBERS)}, not {unknown[0]!r}")
        if not self.members:
            raise InputError("a LeadScorer needs a member")
        if not (horizon > timedelta(0) if isinstance(horizon, timedelta) else 0 < horizon < 1):
            raise InputError(f"horizon must be a share between 0 and 1, or a time above 0, not {horizon}")
        self.loss = loss
        self.folds = folds
        self.forward_folds = forward_folds
        self.forward_share = forward_share
        self.horizon = horizon
        self.half_lives = half_lives
        self.least_gain = least_gain
        self.seed = seed
        self.threads = threads
        self.advance = advance or (lambda _: None)
        self._timed = False
        self._groups: npt.NDArray[Any] | None = None
        self._times: npt.NDArray[Any] | None = None
        self._known: npt.NDArray[np.intp] | None = None

    def fit(
        self,
        X: Columns,
        y: npt.ArrayLike,
        event_time: npt.ArrayLike | None = None,
        kinds: Mapping[str, Kind] | None = None,
        *,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
        known_at: npt.ArrayLike | None = None,
    ) -> Self:
        """See `Estimator`; folds go forward in time where `event_time` is given.

        `groups` says whose row each is (a lead's id): several outcomes of one lead show how far leads of the same score
        differ, which the range of a probability rests on. It wants outcomes that can recur, over windows that don't
        overlap. No id is learnt from or kept. `known_at` says when each label was known (in the kind of `event_time`):
        no fold learns from a label that was known only after its stretch began.
        """
        rows = len(np.asarray(y))
        _, order = check_rows(rows, event_time, sample_weight)
        self._timed = event_time is not None
        self._groups = aligned("groups", groups, rows, order)
        self._times, self._known = aligned("event times", event_time, rows, order), None
        if self._times is not None and known_at is not None:
            known = aligned("times of knowledge", known_at, rows, order)
            self._known = np.searchsorted(self._times, cast("npt.NDArray[Any]", known), side="left")
        return super().fit(X, y, event_time, kinds, sample_weight=sample_weight)

    def fit_matrix(self, matrix: Floats, labels: Floats, weights: Floats | None = None) -> None:
        """See `Estimator`."""
        timed = self._timed and not self._few(labels)
        self.shift_ = 0.0
        folds = self._forward(labels) if timed else shuffled(labels, self.folds, self.seed, self.task)
        counting = self._counting(weights, len(labels))
        ground = Ground(matrix, labels, weights, folds, self.task, self.loss, counting, timed)
        if self._few(labels) or not folds:
            self._alone(
                replace(ground, folds=folds or shuffled(labels, self.folds, self.seed, self.task), moving=False)
            )
            return
        self.trials_: dict[str, Trial] = {}
        for name in self.members:
            self.trials_[name] = tried(self._make(name), ground, self._half_lives(name, labels))
            self.advance(name)
        raws = {name: trial.raw for name, trial in self.trials_.items()}
        outcomes = ground.judged(labels)
        heavy = None if counting is None else ground.judged(counting)
        if timed and self.task == "binary":
            stack = steadied(raws, outcomes, heavy, least_gain=self.least_gain)
        else:
            stack = stacked(raws, outcomes, heavy, task=self.task, loss=self.loss, least_gain=self.least_gain)
        self.members_ = {name: final(self._make(name), ground, self.trials_[name]) for name in stack.weights}
        raw = stack.combine(raws)
        if timed and self.task == "binary":
            half_life = self.forward_share * len(labels) / 2
            self.shift_, shifts = prior_shift(raw, ground, half_life, self.least_gain)
            stack, raw = replace(stack, intercept=stack.intercept + self.shift_), raw + shifts
        self._settle(stack, matrix)
        self._judge(ground, raw)

    def _forward(self, labels: Floats) -> list[Fold]:
        times = cast("npt.NDArray[Any]", self._times)
        judged = stretches(times, self.forward_folds, self.forward_share, self.horizon)
        return forward(labels, judged, self.task, np.searchsorted(times, times, side="left"), self._known)

    def _judge(self, ground: Ground, raw: Floats) -> None:
        """Keep what was said of the judged rows, fold after fold, and learn from it how sure it is."""
        rows = np.concatenate([fold.judge for fold in ground.folds])
        order = np.argsort(rows, kind="stable")
        rows, raw = rows[order], raw[order]
        self.judged_ = raw, ground.labels[rows], rows
        self.uncertainty_ = Uncertainty.learn(
            self.task,
            self.inputs_,
            ground.matrix[rows],
            raw,
            ground.labels[rows],
            None if ground.weights is None else ground.weights[rows],
            None if self._groups is None else later_outcomes(ground.labels, self._groups)[rows],
            seed=self.seed,
            threads=self.threads,
        )
        self._groups = self._times = self._known = None

    def _few(self, labels: Floats) -> bool:
        rarer = min(labels.sum(), len(labels) - labels.sum()) if self.task == "binary" else len(labels)
        return len(labels) < FEW or rarer < FEW / 10

    def _alone(self, ground: Ground) -> None:
        """Too few rows to compare members by: the linear one, or else the first, stands alone, as it is."""
        name = "linear" if "linear" in self.members else next(iter(self.members))
        member = self._make(name)()
        member.fit_matrix(ground.matrix, ground.labels, ground.weights)
        self.trials_, self.members_ = {}, {name: member}
        stack = Stack(0.0, {name: 1.0})
        self._settle(stack, ground.matrix)
        if ground.folds:
            raw = tried(self._make(name), ground, [None]).raw
        else:  # a handful of rows: what is known of them must do
            every = np.arange(len(ground.labels))
            ground = replace(ground, folds=[Fold(every, every)])
            raw = member.raw_matrix(ground.matrix)
        self._judge(ground, raw)

    def _make(self, name: str) -> Callable[[], Estimator]:
        """A maker of the unfitted member that reads these inputs."""
        return partial(self._made, name)

    def _made(self, name: str) -> Estimator:
        params: dict[str, Any] = dict(self.members[name])
        if name != "linear":
            params |= {"seed": self.seed, "threads": self.threads}
        if issubclass(MEMBERS[name], Boosted):
            params["loss"] = self.loss
            patience = params.get("early_stopping_rounds", 30)
            if self._timed and patience:
                params["early_stopping_rounds"] = max(patience, round(_LEARNT / params.get("learning_rate", 0.05)))
        member = cast("type[Any]", MEMBERS[name])(self.task, **params)
        member.inputs_ = self.inputs_
        return cast(Estimator, member)

    def _half_lives(self, name: str, labels: Floats) -> list[float | None]:
        """Half-lives to try, in rows. Boosted members share what the first of them found."""
        if not self._timed:
            return [None]
        boosted = issubclass(MEMBERS[name], Boosted)
        for one, trial in self.trials_.items():
            if boosted and issubclass(MEMBERS[one], Boosted):
                return [trial.half_life]
        least = float(FEW) if boosted else max(FEW, shortest(labels, len(self.inputs_.columns), self.task))
        rows = [share * len(labels) for share in self.half_lives]
        return [None, *(half_life for half_life in rows if half_life >= least)]

    def _counting(self, weights: Floats | None, rows: int) -> Floats | None:
        """What judged rows count: where time matters, one at the far end of the folds a quarter of the newest."""
        if not self._timed:
            return weights
        fading = recency(rows, self.forward_share * rows / 2)
        return fading if weights is None else fading * weights

    def _settle(self, stack: Stack, matrix: Floats) -> None:
        """Keep the stack, and the middle of what members say that can't name its reasons."""
        self.stack_, self.weights_ = stack, dict(stack.weights)
        some = matrix[:: max(1, len(matrix) // 10_000)]
        dumb = [name for name, member in self.members_.items() if not member.attributes]
        self.centres_ = {name: float(self.members_[name].raw_matrix(some).mean()) for name in dumb}

    def raw_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`."""
        return self.stack_.combine({name: member.raw_matrix(matrix) for name, member in self.members_.items()})

    def contributions_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`; what a member can't attribute stands with the base."""
        terms = self._named(matrix)
        terms[:, -1] += self._unnamed(matrix)
        return terms

    def _named(self, matrix: Floats) -> Floats:
        """See `Estimator`: of the members that name their reasons; the base holds what others say in the middle."""
        terms = np.zeros((len(matrix), matrix.shape[1] + 1))
        for name, weight in self.weights_.items():
            if name in self.centres_:
                terms[:, -1] += weight * self.centres_[name]
            else:
                terms += weight * self.members_[name].contributions_matrix(matrix)
        terms[:, -1] += self.stack_.intercept
        return terms

    def _unnamed(self, matrix: Floats) -> Floats:
        """See `Estimator`: what the other members add beyond that."""
        total = np.zeros(len(matrix))
        for name, centre in self.centres_.items():
            total += self.weights_[name] * (self.members_[name].raw_matrix(matrix) - centre)
        return total

    def predict_interval(self, X: Columns, coverage: float = 0.9) -> Floats:
        """Lower and upper end (n, 2) of each row, made to hold `coverage` of what comes.

        Of a value: a conformal interval of the outcome. Of a binary outcome: a range of its probability; see `Range`.
        Raises InputError for a coverage outside (0, 1), or an unreadable column.
        """
        return self.expected_within(X, coverage)[1]

    def expected_within(self, X: Columns, coverage: float = 0.9) -> tuple[Floats, Floats]:
        """See `Estimator`; members are asked once for both."""
        matrix = self.inputs_.encode(X)
        found = {name: member.raw_matrix(matrix) for name, member in self.members_.items()}
        weights = np.array(list(self.weights_.values()))
        apart = None
        if len(found) > 1:
            raws = np.column_stack([found[name] for name in self.weights_])
            middle = raws @ weights / weights.sum()
            apart = np.sqrt((raws - middle[:, None]) ** 2 @ weights / weights.sum())
        raw = self.stack_.combine(found)
        return self._answer(raw), self.uncertainty_.interval(matrix, raw, coverage, apart)

    def importance(self) -> dict[str, float]:
        """The members' shares, weighed as they are."""
        shares = {name: self.members_[name].importance() for name in self.weights_}
        return normalised(
            {one: sum(self.weights_[name] * share[one] for name, share in shares.items()) for one in self.inputs_.names}
        )

    def set_threads(self, threads: int) -> None:
        """Pass `threads` on to the members."""
        self.threads = threads
        self.uncertainty_.set_threads(threads)
        for member in self.members_.values():
            member.set_threads(threads)

    def learnt(self) -> dict[str, bytes]:
        """The stack as JSON, and each member's state in a folder of its own."""
        head = {"intercept": self.stack_.intercept, "weights": self.weights_, "centres": self.centres_}
        states = {f"{kind}/{name}": data for kind, m in self.members_.items() for name, data in m.state().items()}
        return {"scorer.json": json.dumps(head).encode(), **self.uncertainty_.learnt(), **states}

    @classmethod
    def from_learnt(cls, inputs: Inputs, task: Task, files: Mapping[str, bytes]) -> LeadScorer:
        """See `Estimator`."""
        head = json.loads(files["scorer.json"])
        scorer = cls(task)
        scorer.inputs_ = inputs
        scorer.weights_, scorer.centres_ = head["weights"], head["centres"]
        scorer.stack_ = Stack(head["intercept"], scorer.weights_)
        scorer.uncertainty_ = Uncertainty.from_learnt(inputs, task, files)
        scorer.members_ = {
            kind: load_state({n.partition("/")[2]: data for n, data in files.items() if n.startswith(f"{kind}/")})
            for kind in scorer.weights_
        }
        return scorer
