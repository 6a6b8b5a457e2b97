"""The numbers that the statistics of the gate (`models.gate`) are given."""

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
