"""A message says what people need, in a short line and plain text, and holds no phone whatever is put into it."""

import base64
import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations.phones import LIKE_A_PHONE
from pipelines.core.errors import ConfigError
from pipelines.watch.alerts import Message
from pipelines.watch.alerts.message import masked

SINCE = datetime(2026, 3, 1, 6, 30)


def message(**change: Any) -> Message:
    given = {"kind": "drift", "subject": "conversion", "severity": "warning", "what": "8 of 20 columns drifted"}
    return Message(**{**given, "since": SINCE, "did": "it trains again", **change})


def test_it_says_what_since_when_how_bad_what_was_done_and_where() -> None:
    found = message(link="http://127.0.0.1:8080/dags/demo_monitor?run=2026-03-01T00:00:00")
    assert found.title("demo") == "WARNING: drift: conversion (demo)"
    assert found.text().splitlines() == [
        "What happened: 8 of 20 columns drifted",
        "Since: 2026-03-01 06:30 UTC",
        "How bad: warning",
        "What Leadwise did: it trains again",
        "Where to look: http://127.0.0.1:8080/dags/demo_monitor?run=2026-03-01T00:00:00",
    ]
    assert "Where to look" not in message().text()


PHONE = "+525512345678"
WRITTEN = [
    PHONE,
    "525512345678",
    "55 1234 5678",
    "(55) 1234-5678",
    "55.1234.5678",
    "55_1234_5678",
    "55\u00a01234\u00a05678",
    "+52 55 1234 5678",
    "５５１２３４５６７８",
    "+1234567",
    base64.b64encode(PHONE.encode()).decode(),
    base64.b64encode(b"5512345678").decode(),
]


@pytest.mark.parametrize("phone", WRITTEN)
@pytest.mark.parametrize("field", ["kind", "subject", "what", "did", "link"])
@pytest.mark.parametrize("around", ["{}", "lead {} of 2026-03-01", "2026-03-01 {}", "f00d{}", "{} 2026-03-01"])
def test_no_phone_gets_in(phone: str, field: str, around: str) -> None:
    text = around.format(phone)
    found = message(**{field: f"https://example.com/leads?q={text}" if field == "link" else text})
    whole = found.title("demo") + found.text() + found.key
    assert phone not in whole
    digits = re.sub(r"\D", "", whole.replace("2026-03-01", ""))
    assert "12345678" not in digits
    assert not [one for one in LIKE_A_PHONE.findall(whole) if not one.startswith("2026-03-01")]


@given(st.text(), st.sampled_from(WRITTEN), st.text())
def test_no_phone_gets_through_whatever_is_beside_it(before: str, phone: str, after: str) -> None:
    assert phone not in masked(f"{before}{phone}{after}") or re.search(r"[0-9a-f]{32}", before + phone + after)


def test_a_plus_tells_a_phone_from_a_day() -> None:
    assert masked("call +52 2026-03-01 or +2026-03-01") == "call … or …"


@pytest.mark.parametrize("encoded", ["%2B52%2055%201234%205678", "55%2012%2034%2056%2078", "lead=%2B525512345678"])
def test_a_link_is_read_as_a_browser_would(encoded: str) -> None:
    found = message(link=f"https://example.com/leads?q={encoded}").link
    assert found is not None
    assert found.startswith("https://example.com/leads?")
    assert "5678" not in found
    assert "78" not in found


@pytest.mark.parametrize(
    "text",
    [
        "since 2026-03-01 12 windows are bad",
        "from 2026-03-01/2026-03-07",
        "2026-03-01 06:30",
        "run 0b5a4e3f9d1c4a7e8812345678901234 of 1,234,567 rows",
        "12345678-1234-4321-abcd-123456789012",
        "p 1.2e-07, log loss 0.3214",
    ],
)
def test_days_ids_and_figures_stay(text: str) -> None:
    assert message(what=text).what == text


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("https://ana:word@example.com/x", "https://example.com/x"),
        ("http://192.168.100.123:8080/#/runs/1", "http://192.168.100.123:8080/#/runs/1"),
        ("reports/2026-03-01/drift.html", "reports/2026-03-01/drift.html"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_links_stay_but_for_passwords(link: str, shown: str) -> None:
    assert message(link=link).link == shown


def test_mail_addresses_and_passwords_do_not_get_in() -> None:
    found = message(what="ana.perez+x@example.com.mx asked; postgresql://me:word@db/x did not answer")
    for secret in ("ana", "perez", "word"):
        assert secret not in found.what


def test_a_line_break_ends_no_subject_of_a_mail() -> None:
    found = message(subject="conversion\r\nBcc: all", what="a\n\n b\x00c\u2028d" + "x" * 2000)
    assert found.subject == "conversion Bcc: all"
    assert found.what.startswith("a b c dxxx")
    assert len(found.what) == 1000


def test_what_makes_no_sense_is_said() -> None:
    with pytest.raises(ConfigError, match="'fatal' is no severity"):
        message(severity="fatal")
    with pytest.raises(ConfigError, match="needs a kind and a subject"):
        message(subject=" \n")
