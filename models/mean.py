"""The plain mean of several estimators' probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

import numpy as np

from models.base import Estimator, Task, load_state, logit
from models.inputs import Floats, InputError, Inputs


class Mean(Estimator):
    """The mean of its members' probabilities. Members that are already fitted are combined by `Mean.of`."""

    kind: ClassVar[str] = "mean"

    def __init__(self, members: Sequence[Estimator]) -> None:
        self.members = list(members)
        self.threads = 1

    @classmethod
    def of(cls, members: Sequence[Estimator]) -> Mean:
        """The mean of fitted members. Raises InputError unless they learnt the same inputs."""
        if not members or any(m.inputs_ != members[0].inputs_ for m in members):
            raise InputError("a mean needs members that were fitted on the same inputs")
        mean = cls(members)
        mean.task = members[0].task
        mean.inputs_ = members[0].inputs_
        return mean

    def fit_matrix(self, matrix: Floats, labels: Floats, weights: Floats | None = None) -> None:
        """Fit each member on the same rows."""
        for member in self.members:
            member.inputs_ = self.inputs_
            member.fit_matrix(matrix, labels, weights)

    def raw_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`."""
        return logit(self.predict_matrix(matrix)) if self.task == "binary" else self.predict_matrix(matrix)

    def predict_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`."""
        return cast(Floats, np.mean([member.predict_matrix(matrix) for member in self.members], axis=0))

    def contributions_matrix(self, matrix: Floats) -> Floats:
        """See `Estimator`; the mean of the members' terms, scaled to sum to the log odds of the mean."""
        terms = cast(Floats, np.mean([member.contributions_matrix(matrix) for member in self.members], axis=0))
        terms[:, -1] += self.raw_matrix(matrix) - terms.sum(axis=1)
        return terms

    def importance(self) -> dict[str, float]:
        """The mean of the members' shares."""
        shares = [member.importance() for member in self.members]
        return {name: float(np.mean([share[name] for share in shares])) for name in self.inputs_.names}

    def learnt(self) -> dict[str, bytes]:
        """Each member's state, in a folder of its own."""
        return {f"{i}/{name}": data for i, m in enumerate(self.members) for name, data in m.state().items()}

    @classmethod
    def from_learnt(cls, inputs: Inputs, task: Task, files: Mapping[str, bytes]) -> Mean:
        """See `Estimator`."""
        folders = sorted({name.partition("/")[0] for name in files if "/" in name}, key=int)
        return cls.of(
            [
                load_state({n.partition("/")[2]: data for n, data in files.items() if n.startswith(f"{folder}/")})
                for folder in folders
            ]
        )

    def set_threads(self, threads: int) -> None:
        """Pass `threads` on to the members."""
        self.threads = threads
        for member in self.members:
            member.set_threads(threads)
