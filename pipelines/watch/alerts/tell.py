"""Telling people: note what is new, send what is due, and never fail for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING

from pipelines.core.errors import LeadwiseError
from pipelines.core.interval import utc_now
from pipelines.watch.alerts.book import Book, Open
from pipelines.watch.alerts.channels import AlertSettings, Channel, channels
from pipelines.watch.alerts.message import named

if TYPE_CHECKING:
    from pipelines.core.report import Report
    from pipelines.core.tenant import Tenant
    from pipelines.watch.alerts.message import Message

log = logging.getLogger("leadwise")

_SLACK = timedelta(seconds=30)  # of a claim, beyond what sending may take
_SPANS = 3  # times the limit of one message after which a channel is left until the next run


@dataclass
class Told:
    """What came of telling.

    Attributes:
        sent: messages that reached a channel.
        failed: attempts that did not; what they carried is due at the next run.
        notes: a sentence for each channel that failed, without its address.
    """

    sent: int = 0
    failed: int = 0
    notes: list[str] = field(default_factory=list)

    def into(self, report: Report) -> None:
        """Add to the counts and notes of a step's report."""
        report.counts["alerts_sent"] = int(report.counts.get("alerts_sent", 0)) + self.sent
        report.counts["alerts_failed"] = int(report.counts.get("alerts_failed", 0)) + self.failed
        report.notes += self.notes


def tell(
    tenant: Tenant,
    messages: Iterable[Message],
    over: Iterable[tuple[str, str]] = (),
    *,
    to: Sequence[Channel] | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Told:
    """Tell people of messages, of what is over, and of what could not be told before.

    One kind and subject is told once while it lasts, again when it got worse or after `LEADWISE_ALERTS_HOURS`, and once
    when it is over. Nothing that goes wrong is raised: it is logged and counted. A channel that fails, or that takes
    longer than `LEADWISE_ALERTS_SECONDS`, is left alone until the next run. Where the table of what was told can't be
    reached, messages are sent without it, perhaps more than once.

    Args:
        tenant: whose.
        messages: of what lasts now, and of events.
        over: kind and subject of what is over; what never began needs no end.
        to: channels; None takes those of `LEADWISE_ALERTS`.
        now: the wall clock, naive UTC.
    """
    told, every, ended = Told(), list(messages), [(named(kind), named(subject)) for kind, subject in over]
    try:
        settings = AlertSettings()
        ways = channels(settings) if to is None else list(to)
    except ValueError as error:  # its text would show what was set
        _fail(told, f"alerts are not sent: a setting LEADWISE_ALERTS… is wrong ({_fields(error)}): correct it")
        settings, ways = AlertSettings.model_construct(alerts_seconds=10.0, alerts_hours=24.0), [Channel("log")]
    try:
        _kept(Book(tenant), every, ended, ways, settings, now, told)
    except Exception as error:
        if not isinstance(error, LeadwiseError):
            log.debug("alerts of tenant '%s'", tenant.name, exc_info=True)
        words = str(error) if isinstance(error, LeadwiseError) else type(error).__name__
        _fail(told, f"what was told can't be looked up, so that messages may come twice: {words}")
        _bare(tenant, every, ways, settings, told)
    return told


def ongoing(tenant: Tenant) -> list[Open]:
    """What lasts, the worst and oldest first; looking makes nothing.

    Raises:
        StoreUnreachable: the database does not answer.
    """
    return Book(tenant).open()


def _kept(
    book: Book,
    messages: Sequence[Message],
    over: Sequence[tuple[str, str]],
    ways: Sequence[Channel],
    settings: AlertSettings,
    now: Callable[[], datetime],
    told: Told,
) -> None:
    """Note and send by the book."""
    if not book.exists():
        if not messages:
            return
        book.create()
    again = timedelta(hours=settings.alerts_hours)
    for message in messages:
        for way in ways:
            book.note(message, way.name, now(), again)
    for kind, subject in over:
        book.over(kind, subject, now())
    for way in ways:
        _send_due(book, way, settings.alerts_seconds, now, told)
    book.tidy(now())


def _send_due(book: Book, way: Channel, seconds: float, now: Callable[[], datetime], told: Told) -> None:
    """Send what is due to one channel, until it fails or takes too long."""
    end = monotonic() + _SPANS * seconds
    for row in book.due([way.name], now()):
        if monotonic() > end:
            return
        due = book.claim(row, now(), timedelta(seconds=seconds) + _SLACK)
        if due is None:
            continue
        why = way.send(**due.told, seconds=seconds)
        book.done(due, now(), sent=why is None)
        if why is not None:
            _fail(told, f"channel '{way.name}' could not be told of '{row['kind']}: {row['subject']}': {why}")
            return
        told.sent += 1


def _bare(
    tenant: Tenant, messages: Sequence[Message], ways: Sequence[Channel], settings: AlertSettings, told: Told
) -> None:
    """Send without the book."""
    for way in ways:
        for message in messages:
            why = way.send(message.title(tenant.name), message.text(), message.severity, settings.alerts_seconds)
            if why is not None:
                _fail(told, f"channel '{way.name}' could not be told of '{message.kind}: {message.subject}': {why}")
                break
            told.sent += 1


def _fail(told: Told, words: str) -> None:
    told.failed += 1
    told.notes.append(words)
    log.warning("%s", words)


def _fields(error: ValueError) -> str:
    """Names of the fields of a validation error, without their values."""
    details = error.errors() if hasattr(error, "errors") else []
    return ", ".join(str(one["loc"][0]).upper() for one in details if one.get("loc")) or "unreadable"
