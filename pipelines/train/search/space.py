"""What is searched: values of an estimator's parameters, by the ranges of `tune.space`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from models import Estimator
    from pipelines.core.params import TrainParams, TuneParams
    from pipelines.core.train_params import RangeParams, Task

Values = dict[str, int | float]
_DIGITS = 4


def kinds(params: TuneParams) -> list[str]:
    """Estimators that have a range to search."""
    return [name for name in type(params.space).model_fields if getattr(params.space, name)]


def ranges(params: TuneParams, kind: str) -> dict[str, RangeParams]:
    """The ranges of an estimator, by parameter."""
    found: dict[str, RangeParams] = getattr(params.space, kind)
    return found


def present(train: TrainParams, tune: TuneParams, kind: str) -> Values:
    """What `params.yaml` holds of the searched parameters."""
    held = getattr(train, kind)
    return {name: getattr(held, name) for name in ranges(tune, kind)}


def distributions(train: TrainParams, tune: TuneParams, kind: str) -> dict[str, BaseDistribution]:
    """The ranges as Optuna reads them."""
    from optuna.distributions import FloatDistribution, IntDistribution

    fields = type(getattr(train, kind)).model_fields
    return {
        name: IntDistribution(int(one.low), int(one.high), log=one.log)
        if fields[name].annotation is int
        else FloatDistribution(one.low, one.high, log=one.log)
        for name, one in ranges(tune, kind).items()
    }


def rounded(values: dict[str, Any]) -> Values:
    """Values with as many digits as a person would write: what is tried is what can be pasted."""
    return {name: value if isinstance(value, int) else float(f"{value:.{_DIGITS}g}") for name, value in values.items()}


def make(kind: str, task: Task, train: TrainParams, values: Values, threads: int) -> Estimator:
    """An estimator as `train` would make it, with these values in place of its own."""
    from models.members import MEMBERS

    given: dict[str, Any] = {"task": task, **getattr(train, kind).model_dump(), **values}
    if kind != "linear":
        given |= {"validation_share": train.validation_share, "seed": train.seed, "threads": threads}
    return MEMBERS[kind](**given)
