"""The numbers of promotion: the gate, review, shadow and the way back."""

from typing import Literal

from pydantic import Field

from pipelines.core.source import Strict


class MeasureParams(Strict):
    """What one measure has to show against the champion; a gain is positive where the challenger is better."""

    tolerance: float = Field(
        ge=0, description="the lower bound of the gain has to lie above minus this; 0: it is shown"
    )
    gain: float | None = Field(description="the gain itself has to reach this; null asks for none")


class SegmentParams(Strict):
    """Floors of segments, by the columns that contracts declare as `segment`."""

    rows: int = Field(ge=1, description="values with fewer rows of the window are pooled")
    tolerance: float = Field(
        ge=0, description="of the loss, as a share of the constant guess's: by so much it may not be shown to be worse"
    )


class GateParams(Strict):
    """What a challenger has to show on rows that neither model learnt from."""

    level: float = Field(gt=0.5, lt=1, description="of the one-sided bounds; what it leaves is shared by all looks")
    draws: int = Field(ge=200, description="resamples of the paired bootstrap")
    rows: int = Field(ge=1, description="fewer rows of the window judge nothing")
    loss: MeasureParams = Field(description="log loss; of a regression RMSE, as a share of the constant guess's")
    ranking: MeasureParams = Field(description="AUC; of a regression Spearman's correlation")
    calibration: float = Field(
        gt=0,
        description="calibration error beyond what chance gives; a value's in standard deviations of the label",
    )
    coverage: float = Field(gt=0, lt=1, description="by how much 90 % intervals may hold less, or a value's more")
    segments: SegmentParams
    fresh_days: float = Field(gt=0, description="age of the newest judged event, beyond the target's horizon")
    row_ms: float = Field(gt=0, description="CPU time of one row scored by itself, milliseconds")
    batch_us: float = Field(gt=0, description="CPU time a row of a batch, microseconds")


class WatchParams(Strict):
    """When a fresh champion is taken back by itself."""

    fresh_days: int = Field(ge=1, description="days after its promotion in which it is on probation")
    level: float = Field(gt=0.5, lt=1, description="1 minus the chance that a sound one is taken back, all looks taken")
    rows: int = Field(ge=1, description="fewer matured outcomes decide nothing")
    tolerance: float = Field(ge=0, lt=0.5, description="a share t: odds of 1-t to 1/(1-t) times those said are sound")
    grace_days: int = Field(ge=0, description="days beyond the horizon in which news of an outcome may still come")
    outcome_days: int = Field(ge=1, description="days after a score in which an event counts as its outcome")


class PromotionParams(Strict):
    """How a challenger becomes champion, and a champion is taken back."""

    review: Literal["auto", "human"] = Field(description="whether a passed gate promotes, or a person who looks at it")
    shadow_days: int = Field(ge=0, description="days scored beside the champion before it is judged; 0: none")
    gate: GateParams
    watch: WatchParams
