"""Channels: real webhooks and a real mail server get messages, and one that hangs holds nobody up."""

import logging
import time
from importlib.util import find_spec

import pytest
from pydantic import SecretStr

from pipelines.watch.alerts.channels import AlertSettings, Channel, channels
from tests.pipelines.watch.alerts.stations import MailServer, Station

apprised = pytest.mark.skipif(find_spec("apprise") is None, reason="the package apprise is not installed")
SENT = ("WARNING: drift: conversion (demo)", "What happened: 8 of 20 columns drifted\nSince: 2026-03-01", "warning")


def of(text: str) -> list[Channel]:
    return channels(AlertSettings(alerts=SecretStr(text)))


def test_the_log_is_told_where_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEADWISE_ALERTS", raising=False)
    assert channels() == of("") == of(" ") == of("log") == of("log://") == [Channel("log")]


def test_channels_are_named_by_their_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "LEADWISE_ALERTS", "slack://A/B/C, mailto://u:p@x.com?to=a@b.c,d@e.f,log slack://D/E/F,slack://A/B/C"
    )
    found = channels()
    assert [one.name for one in found] == ["slack", "mailto", "log", "slack 2"]
    assert [one.address.get_secret_value() for one in found if one.address][1] == "mailto://u:p@x.com?to=a@b.c,d@e.f"


def test_no_address_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_ALERTS", "slack://S3cretWord/B/C")
    assert "S3cret" not in f"{channels()!r} {AlertSettings()!r} {AlertSettings()} {AlertSettings().model_dump()}"


@pytest.mark.parametrize(("severity", "level"), [("info", "INFO"), ("warning", "WARNING"), ("error", "ERROR")])
def test_the_log_gets_one_line(severity: str, level: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "leadwise"):
        assert Channel("log").send("a title", "one\ntwo", severity, 1.0) is None
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == (level, "a title. one. two")


@apprised
def test_a_webhook_gets_the_message() -> None:
    with Station().open() as station:
        [channel] = of(station.address)
        assert channel.send(*SENT, 30.0) is None
        assert channel.send("OVER: x", "y", "over", 30.0) is None
    assert [(one["title"], one["message"], one["type"]) for one in station.got] == [
        (SENT[0], SENT[1], "warning"),
        ("OVER: x", "y", "success"),
    ]


@apprised
def test_a_webhook_that_says_500_is_told_of() -> None:
    with Station("500").open() as station:
        assert of(station.address)[0].send(*SENT, 30.0) == "its server answered 500"


@apprised
@pytest.mark.parametrize("temper", ["hangs", "drips"])
def test_a_webhook_that_hangs_is_left_in_time(temper: str) -> None:
    """One that drips would hold up whoever waits for each byte with a limit of its own."""
    with Station(temper).open() as station:
        begun = time.monotonic()
        assert of(station.address)[0].send(*SENT, 3.0) == "it did not answer within 3 seconds"
        assert time.monotonic() - begun < 4.5
        assert len(station.got) == 1  # it had the message, and did not answer


@apprised
def test_a_mail_server_gets_a_letter_for_each_of_several() -> None:
    with MailServer().open() as server:
        [channel] = of(server.address)
        assert channel.send(*SENT, 30.0) is None
    letters = [one.decode() for one in server.got]
    assert {to for to in ("a@", "b@") for letter in letters if f"To: {to}example.com" in letter} == {"a@", "b@"}
    for letter in letters:
        assert "Subject: WARNING: drift: conversion (demo)" in letter


@apprised
def test_addresses_that_make_no_sense_are_told_of_without_them() -> None:
    for address in ("nothing://S3cretWord", "json://", "S3cretWord"):
        [channel] = of(address)
        assert channel.send(*SENT, 30.0) == "its address in LEADWISE_ALERTS is none that Apprise understands"
        assert "S3cret" not in channel.name


def test_a_server_that_is_away_is_told_of() -> None:
    why = of("json://127.0.0.1:1/")[0].send(*SENT, 30.0)
    assert why in ("its server can't be reached or refused the message", "the package apprise is not installed")


def test_without_apprise_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from pipelines.watch.alerts.courier import carry

    monkeypatch.setitem(sys.modules, "apprise", None)
    assert carry("json://127.0.0.1", *SENT) == "the package apprise is not installed"
