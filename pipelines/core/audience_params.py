"""Section `audience` of `params.yaml`: who is left out of it, beside those who may never be written to."""

from datetime import date, datetime, time, timedelta
from typing import Literal

from pydantic import Field, field_validator

from pipelines.core.source import Source, Strict


class QuietHours(Strict):
    """Local hours in which nobody is sent a message; they go on past midnight where `start` is the later one."""

    start: int = Field(ge=0, le=23, description="first quiet hour, in the lead's own time zone")
    end: int = Field(ge=0, le=23, description="first hour that is not quiet any more; equal to start: none is quiet")

    def holds(self, hour: int) -> bool:
        """Whether a local hour, 0 to 23, is quiet."""
        if self.start <= self.end:
            return self.start <= hour < self.end
        return hour >= self.start or hour < self.end


class TableParams(Strict):
    """A table that gets the audience too."""

    connection: str = Field(pattern=r"^[A-Za-z]\w*$", description="name of the database's connection")
    name: str = Field("leadwise_audience", pattern=r"^[A-Za-z_]\w*$", description="of the table")
    db_schema: str | None = Field(None, pattern=r"^[A-Za-z_]\w*$", description="of the database in which it is")


class AudienceParams(Strict):
    """Who waits. Opt-outs, missing consent and whoever can't be reached are left out whatever stands here."""

    max_messages_per_week: int = Field(ge=1, description="who got so many within seven days waits")
    quiet_hours: QuietHours = Field(description="when nobody is sent a message")
    send_at: time = Field(
        description="time of day (UTC) at which messages go out, on the day after the audience's date"
    )
    do_not_contact: list[Source] = Field(
        default_factory=list,
        description="lists of phones or ids that are never written to: a file each (path), or a query (connection)",
    )

    reasons: int = Field(ge=0, description="of so many leads, the best first, the audience says why they stand there")
    language: Literal["en", "es"] = Field("en", description="of the page: English or Spanish")
    table: TableParams | None = Field(None, description="a table that gets the audience too, date by date")

    @field_validator("do_not_contact")
    @classmethod
    def _whole(cls, lists: list[Source]) -> list[Source]:
        if any(one.recurrent or one.partitioned or one.remote for one in lists):
            raise ValueError("a do_not_contact list is one file of this machine, or one query without :start and :end")
        return lists

    def sending(self, end: datetime) -> datetime:
        """When the audience of an interval that ends at `end` is sent to; both naive UTC."""
        at = datetime.combine(date(end.year, end.month, end.day), self.send_at)
        return at if at >= end else at + timedelta(days=1)
