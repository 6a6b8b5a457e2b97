"""Every scientific number, read from `params.yaml` through strict models: a misspelt key is refused."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from pipelines.core.audience_params import AudienceParams as AudienceParams
from pipelines.core.errors import ConfigError, nearest
from pipelines.core.promotion_params import PromotionParams as PromotionParams
from pipelines.core.source import Source as Source
from pipelines.core.source import Strict as Strict
from pipelines.core.train_params import TrainParams as TrainParams
from pipelines.core.train_params import TuneParams as TuneParams
from pipelines.core.train_params import model_of


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


class CacheParams(Strict):
    """Answers of the endpoint that are kept for a lead that is asked for again."""

    entries: int = Field(0, ge=0, description="answers that each worker keeps; 0 keeps none")
    seconds: int = Field(
        60, ge=1, le=86400, description="a request that names no moment is one of the last whole multiple of these"
    )


class ServeParams(Strict):
    """The endpoint."""

    cold: bool = Field(
        description="a lead without features online gets a score from its context alone, marked as cold, and so does"
        " every lead while the store is away; else 404 and 503"
    )
    queue: int = Field(ge=1, description="requests that may wait in a worker; more are told to come again (429)")
    rate: str | None = Field(
        None,
        pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$",
        description="requests for scores that each API key may send, such as 600/minute: counted in the Redis of the"
        " online store, else by each worker for itself; none is no limit",
    )
    fresh_hours: float | None = Field(
        None, gt=0, description="/ready says 503 where features online are older; none is never"
    )
    cache: CacheParams = Field(default_factory=CacheParams, description="kept answers")
    record: bool = Field(False, description="bring what is served to deliver.scores_online, a minute or so later")


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
    promotion: PromotionParams
    score: ScoreParams
    audience: AudienceParams
    serve: ServeParams
    monitor: MonitorParams
    retention: RetentionParams
    simulate: SimulateParams | None = None


_COMMON = ("quality", "features", "train", "tune", "promotion", "score", "audience", "serve", "monitor", "retention")


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
        model = model_of(field.annotation) if field else None
        if field and get_origin(field.annotation) is dict:
            next(parts, None)  # the key of a mapping of models, such as a source's name
    return list(model.model_fields) if model else []
