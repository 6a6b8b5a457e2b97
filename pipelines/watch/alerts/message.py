"""A message to people: what happened, since when, how bad it is, what Leadwise did, and where to look.

Whatever is put into it, it holds no phone and no e-mail address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, get_args
from urllib.parse import unquote, urlsplit, urlunsplit

from expectations.phones import LIKE_A_PHONE
from pipelines.core.errors import ConfigError
from pipelines.core.settings import without_password

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The worst last."""

_HIDDEN = "…"
_WORD, _SENTENCE, _LINK = 120, 1_000, 1_000  # characters
_SHORT = re.compile(r"\+\d(?:[\s().\-/_]{0,3}\d){5,}")  # E.164 begins at seven digits, which only a plus tells
_MAIL = re.compile(r"[^\s@<>()\[\],;:\"']+@[^\s@<>()\[\],;:\"']+\.\w+")
_DAY = re.compile(r"(?<!\d)(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?!\d)")
_ID = re.compile(r"\b(?=[\d-]*[a-f])(?:[0-9a-f]{32,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
_FEW = 7  # digits beside a date that make no phone


@dataclass(frozen=True)
class Message:
    """What people are told.

    All texts are masked and cut to one line when it is made: what was sent no channel takes back.

    Attributes:
        kind: of thing, in words, such as "drift" or "failed run".
        subject: what it is about, such as a target or a DAG. One kind and subject is told once while it lasts.
        severity: "info", "warning" or "error".
        what: what happened, one sentence.
        since: when it began, naive UTC.
        did: what Leadwise did about it, one sentence.
        link: where to look; None where there is nothing to look at.
        lasting: it lasts until it is said to be over. Else it is an event, told once for its `since`.
    """

    kind: str
    subject: str
    severity: Severity
    what: str
    since: datetime
    did: str = "nothing"
    link: str | None = None
    lasting: bool = True

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ConfigError(f"'{self.severity}' is no severity of a message: choose one of {', '.join(SEVERITIES)}")
        for name in ("kind", "subject"):
            object.__setattr__(self, name, named(getattr(self, name)))
        for name in ("what", "did"):
            object.__setattr__(self, name, _line(masked(getattr(self, name)), _SENTENCE))
        if not self.kind or not self.subject:
            raise ConfigError("a message needs a kind and a subject, by which it is told once: give both")
        if self.link is not None:
            object.__setattr__(self, "link", _line(_shown(self.link), _LINK))

    @property
    def level(self) -> int:
        """How bad it is, as a number that grows."""
        return SEVERITIES.index(self.severity)

    @property
    def key(self) -> str:
        """What it is known by, beside its kind."""
        return self.subject if self.lasting else f"{self.subject} @ {self.since.isoformat(timespec='seconds')}"

    def begun(self, since: datetime) -> Message:
        """The same of what has been lasting since then."""
        return replace(self, since=since)

    def title(self, tenant: str) -> str:
        """A short line."""
        return f"{self.severity.upper()}: {self.kind}: {self.subject} ({tenant})"

    def text(self) -> str:
        """Plain text, a line for each thing worth knowing."""
        lines = [
            f"What happened: {self.what}",
            f"Since: {self.since:%Y-%m-%d %H:%M} UTC",
            f"How bad: {self.severity}",
            f"What Leadwise did: {self.did}",
        ]
        return "\n".join([*lines, f"Where to look: {self.link}"] if self.link else lines)


def named(text: str) -> str:
    """A kind or subject as messages are known by it: masked, one line, and not too long."""
    return _line(masked(text), _WORD)


def masked(text: str) -> str:
    """`text` without phones, as digits or in base64, and without e-mail addresses.

    It can't know every phone: each run of eight digits or more goes, whatever it is, and a shorter one behind a plus.
    Days such as 2026-03-01 stay, and so do ids in hexadecimal. Write large counts with commas.
    """
    ids = [match.span() for match in _ID.finditer(text)]

    def hidden(match: re.Match[str]) -> str:
        run = match[0]
        if any(start <= match.start() and match.end() <= end for start, end in ids):
            return run
        rest, days = _DAY.subn("", run)
        harmless = days and sum(letter.isdigit() for letter in rest) < _FEW
        return run if harmless else _HIDDEN

    return _SHORT.sub(_HIDDEN, LIKE_A_PHONE.sub(hidden, _MAIL.sub(_HIDDEN, without_password(text))))


def _shown(link: str) -> str:
    """A link without what its path and query may hold of a person, and without a password."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return masked(link)
    host = parts.netloc.rpartition("@")[2]
    tail = urlunsplit(("", "", *parts[2:]))
    plain = unquote(tail)
    tail = tail if masked(tail) == tail and masked(plain) == plain else masked(plain)
    return f"{parts.scheme}://{host}{tail}" if host else masked(link)


def _line(text: str, most: int) -> str:
    """One line: a line break would end the subject of a mail."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= most else line[: most - 1] + _HIDDEN
