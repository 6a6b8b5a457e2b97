"""The numbers of training and of the search: targets, estimators, the LeadScorer, the leak guard, ranges."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from pipelines.core.errors import nearest
from pipelines.core.source import Strict

Task = Literal["binary", "regression"]
"""What is predicted of an outcome: whether it happens, or a number."""


class TargetParams(Strict):
    """One target."""

    horizon_days: int = Field(ge=0, description="days after the event in which the outcome counts")
    accept_leaks: tuple[str, ...] = Field((), description="features that may know much, by name: read by `promote`")
    task: Task = Field("binary", description="whether the label is 0 or 1, or a number")
    once: bool = Field(
        False, description="the outcome ends the risk: then a lead's outcomes don't tell how far leads differ"
    )
    rank: bool = Field(
        False, description="serve 100 x the rank of the predicted number among those of the training rows (regression)"
    )

    @model_validator(mode="after")
    def _only_numbers_rank(self) -> "TargetParams":
        if self.rank and self.task != "regression":
            raise ValueError("rank needs task: regression, since a probability is served as it is")
        return self


class LightGBMParams(Strict):
    """LightGBM, by its own names."""

    num_leaves: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    num_boost_round: int = Field(ge=1)
    min_child_samples: int = Field(ge=1)
    subsample: float = Field(gt=0, le=1)
    colsample_bytree: float = Field(gt=0, le=1)
    reg_lambda: float = Field(ge=0)
    early_stopping_rounds: int = Field(ge=1)


class XGBoostParams(Strict):
    """XGBoost, by its own names."""

    max_depth: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    num_boost_round: int = Field(ge=1)
    min_child_weight: float = Field(ge=0)
    subsample: float = Field(gt=0, le=1)
    colsample_bytree: float = Field(gt=0, le=1)
    reg_lambda: float = Field(ge=0)
    early_stopping_rounds: int = Field(ge=1)


class LinearParams(Strict):
    """The regularised logistic regression."""

    C: float = Field(gt=0, description="inverse strength of the L2 penalty")


class NetworkParams(Strict):
    """The small neural network, a possible member of the scorer."""

    units: list[int] = Field(min_length=1, description="of each hidden layer")
    dropout: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    learning_rate: float = Field(gt=0)
    epochs: int = Field(ge=1, description="at most; it stops early")


Member = Literal["lightgbm", "xgboost", "linear", "network"]
Kind = Literal["lightgbm", "xgboost", "scorer", "linear"]


class ScorerParams(Strict):
    """The LeadScorer: how its members are tried and weighed."""

    members: list[Member] = Field(min_length=1, description="that are tried; what does not help is not kept")
    forward_folds: int = Field(ge=2, description="stretches of time that members are judged on")
    forward_share: float = Field(gt=0, lt=1, description="latest share of the training rows that they lie in")
    horizon: float = Field(gt=0, lt=1, description="length of a stretch: what a model is used for, as a share of rows")
    half_lives: list[float] = Field(description="tried for the weight of a row, as shares of the rows; besides none")
    least_gain: float = Field(ge=0, description="what a further member has to gain, in standard errors")


class LeakParams(Strict):
    """From where on a feature counts as knowing too much: it is named, and its model needs a person's word."""

    outcomes: int = Field(
        100, ge=1, description="of the rarer kind among the training rows, below which rankings say nothing"
    )
    rows: int = Field(20_000, ge=100, description="rows looked at, of the training and of the holdout each")
    auc: float = Field(0.8, ge=0.5, le=1, description="a binary target: a feature that ranks it so well by itself")
    correlation: float = Field(0.75, ge=0, le=1, description="a value: a feature whose ranks agree with it so much")
    share: float = Field(0.5, ge=0, description="and that reaches so much of the whole model's ranking of the holdout")
    explained: float = Field(0.15, gt=0, le=1, description="share of the loss from which a collapse is looked for")
    kept: float = Field(0.25, ge=0, le=1, description="share of its ranking that it has to keep in the holdout")
    purity: float = Field(0.9, gt=0.5, le=1, description="share of one outcome where it differs from its usual value")
    order: float = Field(0.95, gt=0, le=1, description="rank correlation with time of values that hardly repeat")


class TrainParams(Strict):
    """Spine, split and estimators."""

    targets: dict[str, TargetParams]
    holdout_share: float = Field(gt=0, lt=1, description="last share of matured rows, in time order")
    validation_share: float = Field(gt=0, lt=1, description="last share of the training rows, for early stopping")
    min_rows: int = Field(ge=20, description="fewer matured rows are refused")
    seed: int = Field(ge=0, description="of the estimators")
    candidates: list[Kind] = Field(description="fitted and judged side by side; linear, the last, is the yardstick")
    lightgbm: LightGBMParams
    xgboost: XGBoostParams
    linear: LinearParams
    network: NetworkParams
    scorer: ScorerParams
    leaks: LeakParams = LeakParams()
    accept_leaks: tuple[str, ...] = Field((), description="features that may know much, for every target")

    @model_validator(mode="after")
    def _linear_last(self) -> "TrainParams":
        named = self.candidates
        if len(named) < 2 or len(set(named)) < len(named) or named[-1] != "linear":
            raise ValueError(f"candidates need one besides linear, each once, and linear last: {', '.join(named)}")
        return self


class RangeParams(Strict):
    """Where a parameter is looked for; whole numbers where the parameter is one."""

    low: float = Field(description="lowest value that is tried")
    high: float = Field(description="highest value that is tried")
    log: bool = Field(False, description="steps by a factor instead of by a sum")

    @model_validator(mode="after")
    def _in_order(self) -> "RangeParams":
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("a range needs low < high, and with log: true a low above 0")
        return self


class SpaceParams(Strict):
    """Which parameters are searched, by their section of `train`; what is not named stays as it is."""

    lightgbm: dict[str, RangeParams] = Field({}, description="of train.lightgbm")
    xgboost: dict[str, RangeParams] = Field({}, description="of train.xgboost")
    linear: dict[str, RangeParams] = Field({}, description="of train.linear")
    network: dict[str, RangeParams] = Field({}, description="of train.network")

    @model_validator(mode="after")
    def _known(self) -> "SpaceParams":
        for section in type(self).model_fields:
            fields = _section(section).model_fields
            for name, limits in getattr(self, section).items():
                if name not in fields:
                    raise ValueError(f"train.{section} has no '{name}' to search: {nearest(name, fields)}")
                annotated: Any = Annotated[fields[name].annotation, fields[name]]
                taken: TypeAdapter[Any] = TypeAdapter(annotated)
                for end in (limits.low, limits.high):
                    try:
                        taken.validate_python(end)
                    except ValidationError as error:
                        why = error.errors()[0]["msg"]
                        raise ValueError(f"train.{section}.{name} can't be {end:g}: {why}") from None
        return self


class TuneParams(Strict):
    """The search of better parameters, `leadwise tune`."""

    trials: int = Field(ge=1, description="of each estimator, where the command names no budget")
    folds: int = Field(ge=2, description="stretches of time that a trial is judged on, each learnt from all before it")
    first_share: float = Field(gt=0, lt=1, description="share of the training rows before the first of them")
    blocks: int = Field(ge=1, description="parts of a fold; a trial is compared with the best one part by part")
    prune_at: float = Field(ge=0, le=1, description="p-value of 'worse than the best' that ends a trial early; 0 never")
    startup: int = Field(ge=1, description="trials drawn at random before the search follows what it found")
    draws: int = Field(ge=100, description="resamples of the interval that decides")
    space: SpaceParams


def _section(name: str) -> type[BaseModel]:
    """The model of a section of `train`."""
    found = model_of(TrainParams.model_fields[name].annotation)
    if found is None:
        raise TypeError(f"train.{name} is no section")
    return found


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The model in `X`, `X | None` or `dict[str, X]`."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
