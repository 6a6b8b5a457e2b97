"""The stretch of time a step works on."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from pipelines.core.errors import ConfigError

DAY = timedelta(days=1)


def midnight(day: date) -> datetime:
    """The naive UTC instant at which `day` begins."""
    return datetime.combine(day, time())


def parse_day(text: str) -> date:
    """Read an ISO day such as 2026-03-01.

    Raises:
        ConfigError: the text is not a day.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"'{text}' is not a day: write it as YYYY-MM-DD, such as 2026-03-01") from None


def parse_instant(value: str | date) -> datetime:
    """An instant in naive UTC, from an ISO day (the midnight it begins with), an ISO instant, or a date or datetime.

    Raises:
        ConfigError: the text is neither, or in UTC lies outside the years 1 to 9999.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ConfigError(
                f"'{value}' is neither a day nor an instant: write 2026-03-01 or 2026-03-01T12:00:00"
            ) from None
    if not isinstance(value, datetime):
        return midnight(value)
    try:
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    except OverflowError:
        raise ConfigError(
            f"'{value.isoformat()}' in UTC lies outside the years 1 to 9999: give another instant"
        ) from None


@dataclass(frozen=True, order=True)
class Interval:
    """UTC days from `start` to `end`, end excluded; both are naive UTC midnights."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo or self.end.tzinfo or self.start.time() != time() or self.end.time() != time():
            raise ConfigError(f"an interval runs between naive UTC midnights, not {self.start} to {self.end}")
        if self.end <= self.start:
            raise ConfigError(
                f"the interval from {self.start.date()} to {self.end.date()} is empty:"
                " the end is excluded and must be later"
            )

    @classmethod
    def of_days(cls, start: date, end: date) -> "Interval":
        """The days from `start` to `end`, end excluded."""
        return cls(midnight(start), midnight(end))

    @classmethod
    def day(cls, day: date) -> "Interval":
        """The one day `day`."""
        return cls.of_days(day, day + DAY)

    @property
    def as_of(self) -> datetime:
        """The instant whose knowledge the step may use: the end of the interval."""
        return self.end

    @property
    def label(self) -> str:
        """The partition that results of this interval belong to: its last day, ISO."""
        return (self.end - DAY).date().isoformat()

    def days(self) -> Iterator[date]:
        """Each day, in order."""
        day = self.start.date()
        while day < self.end.date():
            yield day
            day += DAY

    def to_dict(self) -> dict[str, str]:
        """`{"from", "to"}` as ISO days, end excluded: what the command line and DAG runs pass on."""
        return {"from": self.start.date().isoformat(), "to": self.end.date().isoformat()}


def utc_now() -> datetime:
    """The wall clock as naive UTC: for `_loaded_at` columns and file names only."""
    return datetime.now(UTC).replace(tzinfo=None)
