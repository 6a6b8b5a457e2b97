"""Every scientific number, read from `params.yaml` through strict models: a misspelt key is refused."""

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from pipelines.core.errors import ConfigError, nearest
from pipelines.core.source import Source as Source
from pipelines.core.source import Strict as Strict

Task = Literal["binary", "regression"]
"""What is predicted of an outcome: whether it happens, or a number."""


class RunParams(Strict):
    """The days `leadwise run` goes over."""

    start: date = Field(description="first day")
    end: date = Field(description="day after the last one")
    dates: tuple[date, ...] = Field((), description="instants between, each the end of one run of the DAGs")

    @model_validator(mode="after")
    def _in_order(self) -> "RunParams":
        edges = [self.start, *self.dates, self.end]
        if edges != sorted(set(edges)):
            raise ValueError(f"start, dates and end must grow: {', '.join(map(str, edges))}")
        return self


class QualityParams(Strict):
    """The gate."""

    max_quarantine_share: float = Field(ge=0, le=1, description="a table with a larger share of bad rows is refused")
    batch_rows: int = Field(ge=1_000, description="rows held in memory at once")


class FeaturesParams(Strict):
    """When features are computed."""

    every_days: int = Field(ge=1, description="distance of the instants")


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
    found = _model_of(TrainParams.model_fields[name].annotation)
    if found is None:
        raise TypeError(f"train.{name} is no section")
    return found


class PromoteParams(Strict):
    """When a challenger becomes champion."""

    tolerance: float = Field(ge=0, description="log loss by which a challenger may be worse than the champion")


class ScoreParams(Strict):
    """Batches and tiers."""

    batch_rows: int = Field(ge=1, description="leads scored at once")
    tiers: dict[Literal["A", "B", "C"], float] = Field(
        description="lowest probability of a tier, in multiples of the champion's training base rate; below C is D"
    )

    @model_validator(mode="after")
    def _falling(self) -> "ScoreParams":
        if set(self.tiers) != {"A", "B", "C"} or not self.tiers["A"] > self.tiers["B"] > self.tiers["C"] > 0:
            raise ValueError("tiers need A > B > C > 0")
        return self


class DriftMethod(Strict):
    """How drift of one kind of column is judged."""

    method: Literal["wasserstein", "psi", "jensenshannon", "ks", "kl_div"] = Field(description="measure")
    threshold: float = Field(gt=0, description="from this value on a column has drifted")


class MonitorParams(Strict):
    """Drift."""

    sample_rows: int = Field(ge=100, description="rows compared, and rows of the training sample that is kept")
    numeric: DriftMethod
    categorical: DriftMethod
    share: float = Field(gt=0, le=1, description="share of drifted columns that counts as drift of the whole")
    parity_rows: int = Field(1000, ge=1, description="entities whose online values are compared with the lake")


class RetentionParams(Strict):
    """How long what is personal or old is kept; days of data, never of the wall clock."""

    raw_days: int = Field(ge=1, description="raw rows leave so many days after the end of the interval they came in")
    quarantine_days: int = Field(ge=1, description="the same for rows in quarantine")
    keep_runs: int = Field(ge=1, description="of the newest runs of a target the snapshots stay, to reproduce them")
    keep_days: int = Field(ge=0, description="and of all runs whose as_of is at most so much older than the newest")


class SimulateParams(Strict):
    """The simulated market."""

    leads: int = Field(ge=1, description="how many there are in the end")
    days: int = Field(ge=1, description="days exported at once")
    seed: int = Field(ge=0, description="same seed, same files")
    start: date = Field(description="first day")
    validations_per_lead_month: float = Field(gt=0, description="how often a lead is checked, on average")
    messages_per_lead_week: float = Field(gt=0, description="how many messages a lead is sent, on average")
    dirty_share: float = Field(ge=0, lt=0.5, description="share of rows that break a rule on purpose")
    late_share: float = Field(ge=0, le=1, description="share of rows that arrive days later")
    randomized_share: float = Field(ge=0, le=1, description="share of messages with hour and variant drawn uniformly")
    ahead_days: int = Field(0, ge=0, description="days drawn beyond, which a living Airflow exports one by one")

    @property
    def end(self) -> date:
        """The day after the last exported one."""
        return self.start + timedelta(days=self.days)

    @property
    def drawn_days(self) -> int:
        """All simulated days: those exported at once and those kept for later."""
        return self.days + self.ahead_days


class TenantParams(Strict):
    """All that one tenant runs with: the common sections with its own changes applied."""

    use_case: str = Field(description="name of its folders of contracts and SQL")
    sources: dict[str, Source] = Field(min_length=1)
    run: RunParams
    quality: QualityParams
    features: FeaturesParams
    train: TrainParams
    tune: TuneParams
    promote: PromoteParams
    score: ScoreParams
    monitor: MonitorParams
    retention: RetentionParams
    simulate: SimulateParams | None = None


_COMMON = ("quality", "features", "train", "tune", "promote", "score", "monitor", "retention")


def load_params(path: Path) -> dict[str, TenantParams]:
    """Read `params.yaml` and return the parameters of each tenant.

    Args:
        path: the file. Common sections stand at the top; `tenants.<name>` may change parts of them.

    Raises:
        ConfigError: unreadable, a misspelt key (with the nearest right one) or a value out of range.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no parameter file {path}: set LEADWISE_PARAMS or restore params.yaml") from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict) or not isinstance(data.get("tenants"), dict) or not data["tenants"]:
        raise ConfigError(f"{path} has no tenants: list at least one under 'tenants'")
    for key in data:
        if key not in (*_COMMON, "tenants"):
            raise ConfigError(f"{path} has an unknown section '{key}': {nearest(str(key), (*_COMMON, 'tenants'))}")
    return {str(name): tenant_params(path, data, name) for name in data["tenants"]}


def tenant_params(path: Path, data: dict[str, Any], name: str) -> TenantParams:
    """The parameters of one tenant: the common sections with its own changes applied.

    Args:
        path: the file, for the sentence.
        data: what it holds.
        name: a key of `tenants`.

    Raises:
        ConfigError: a misspelt key (with the nearest right one) or a value out of range.
    """
    common = {key: data[key] for key in _COMMON if key in data}
    return _tenant(path, str(name), common, data["tenants"][name])


def _tenant(path: Path, name: str, common: dict[str, Any], own: Any) -> TenantParams:
    if not isinstance(own, dict):
        raise ConfigError(f"{path}: tenants.{name} must be a mapping with use_case, sources and run")
    try:
        return TenantParams.model_validate(_merge(common, own))
    except ValidationError as error:
        raise ConfigError(f"{path}: {_sentence(name, error)}") from None


def _merge(base: Any, change: Any) -> Any:
    """Lay `change` over `base`, mappings key by key."""
    if isinstance(base, dict) and isinstance(change, dict):
        return {key: _merge(base.get(key), change[key]) if key in change else base[key] for key in {**base, **change}}
    return change


def _sentence(name: str, error: ValidationError) -> str:
    """The first problem of a validation as one sentence; a misspelt key before the one that it leaves missing."""
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"]]
    where = ".".join(location)
    if first["type"] == "extra_forbidden":
        return f"unknown parameter '{where}' for tenant '{name}': {nearest(location[-1], _fields(location[:-1]))}"
    if first["type"] == "missing":
        return f"parameter '{where}' of tenant '{name}' is missing"
    if first["type"] in ("secret", "source"):  # without the values, which may hold a password
        return f"parameter '{where}' of tenant '{name}': {first['msg']}"
    return f"parameter '{where}' of tenant '{name}' is {first['input']!r}: {first['msg'].removeprefix('Value error, ')}"


def _fields(location: list[str]) -> list[str]:
    """Names of the parameters that may stand at `location`, found by walking the models."""
    model: type[BaseModel] | None = TenantParams
    parts = iter(location)
    for part in parts:
        field = model.model_fields.get(part) if model else None
        model = _model_of(field.annotation) if field else None
        if field and get_origin(field.annotation) is dict:
            next(parts, None)  # the key of a mapping of models, such as a source's name
    return list(model.model_fields) if model else []


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model in `X`, `X | None` or `dict[str, X]`."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
