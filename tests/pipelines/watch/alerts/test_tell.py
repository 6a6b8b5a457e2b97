"""Telling: once while it lasts, again when worse or after a day, once when it is over, and never a failed step."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import true

from pipelines.core.errors import StoreUnreachable
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant
from pipelines.watch.alerts import Message, ongoing, tell
from pipelines.watch.alerts.book import Book
from pipelines.watch.alerts.channels import Channel
from tests.conftest import MakeTenant
from tests.pipelines.watch.alerts.stations import Station, eventually

apprised = pytest.mark.skipif(find_spec("apprise") is None, reason="the package apprise is not installed")
START = datetime(2026, 3, 1, 6)
HOUR = timedelta(hours=1)
DRIFT = Message("drift", "conversion", "warning", "8 of 20 columns drifted", START, "nothing yet")
WORSE = replace(DRIFT, severity="error", what="all columns drifted")
EVENT = Message("retraining", "conversion", "info", "3 windows are bad", START, "it trains", lasting=False)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALERTS", "ALERTS_HOURS", "ALERTS_SECONDS"):
        monkeypatch.delenv(f"LEADWISE_{name}", raising=False)


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant()


@dataclass(frozen=True)
class Box(Channel):
    """A channel that keeps what it gets, and is out of order on demand."""

    got: list[str] = field(default_factory=list)
    broken: list[bool] = field(default_factory=list)
    meanwhile: Callable[[], Any] = lambda: None

    def send(self, title: str, text: str, severity: str, seconds: float) -> str | None:
        self.meanwhile()
        if self.broken:
            return "it is out of order"
        self.got.append(f"{severity}|{title}|{text}")
        return None

    @property
    def kinds(self) -> list[str]:
        return [one.partition("|")[0] for one in self.got]


class Day:
    """A tenant's alerts over time."""

    def __init__(self, tenant: Tenant, *boxes: Box) -> None:
        self.tenant, self.boxes, self.hour = tenant, boxes, 0.0

    def tell(self, *messages: Message, over: list[tuple[str, str]] | None = None) -> tuple[int, int]:
        found = tell(self.tenant, messages, over or [], to=self.boxes, now=lambda: START + self.hour * HOUR)
        return found.sent, found.failed


ENDED = [("drift", "conversion")]
NUMBERS = count()


def test_it_is_told_once_while_it_lasts(tenant: Tenant) -> None:
    day = Day(tenant, box := Box("box"))
    for day.hour in range(0, 24, 3):
        day.tell(DRIFT)
    assert box.kinds == ["warning"]
    day.hour = 24  # a day after it was told
    later = replace(DRIFT, since=START + 9 * HOUR, what="9 of 20 columns drifted")
    assert day.tell(later) == (1, 0)
    assert "9 of 20 columns" in box.got[1]
    assert "Since: 2026-03-01 06:00 UTC" in box.got[1]  # it has lasted since it began
    day.hour = 47
    assert day.tell(later) == (0, 0)


def test_worse_is_told_at_once_and_better_is_not(tenant: Tenant) -> None:
    day = Day(tenant, box := Box("box"))
    for one in (DRIFT, WORSE, DRIFT, WORSE, replace(DRIFT, severity="info")):
        day.tell(one)
    assert box.kinds == ["warning", "error"]


def test_the_end_is_told_once_and_a_new_beginning_again(tenant: Tenant) -> None:
    day = Day(tenant, box := Box("box"))
    day.tell(over=ENDED)  # what never began needs no end
    assert not tenant.home.exists() or tenant.settings.catalog_url
    day.tell(DRIFT)
    assert [(one.kind, one.subject, one.severity, one.since) for one in ongoing(tenant)] == [
        ("drift", "conversion", 1, START)
    ]
    day.hour = 5
    day.tell(over=[*ENDED, ("drift", "value")])
    day.tell(over=ENDED)
    assert box.kinds == ["warning", "over"]
    assert "OVER: WARNING: drift: conversion (demo)|It is over as of 2026-03-01 11:00 UTC." in box.got[1]
    assert ongoing(tenant) == []
    day.tell(replace(DRIFT, since=START + 5 * HOUR))
    assert box.kinds == ["warning", "over", "warning"]
    assert "Since: 2026-03-01 11:00 UTC" in box.got[2]


def test_an_event_is_told_once_for_its_instant(tenant: Tenant) -> None:
    day = Day(tenant, box := Box("box"))
    for day.hour in (0, 1, 30):
        day.tell(EVENT)
    assert len(box.got) == 1
    assert ongoing(tenant) == []
    day.tell(replace(EVENT, since=START + HOUR))
    assert len(box.got) == 2


def test_subjects_kinds_and_tenants_are_told_apart(tenant: Tenant) -> None:
    day, other = Day(tenant, box := Box("box")), Day(replace(tenant, name="bank"), Box("box"))
    other.boxes[0].got.append("")
    every = [DRIFT, replace(DRIFT, subject="value"), replace(DRIFT, kind="outcomes")]
    assert day.tell(*every) == (3, 0)
    assert other.tell(DRIFT) == (1, 0)
    other.tell(over=ENDED)
    assert len(ongoing(tenant)) == 3
    assert len(box.got) == 3


def test_a_channel_that_fails_is_tried_again_and_others_are_not_told_twice(tenant: Tenant) -> None:
    bad, good = Box("bad", broken=[True]), Box("good")
    day = Day(tenant, bad, good)
    assert day.tell(DRIFT, EVENT) == (2, 1)  # out of order once is enough for a run
    assert day.tell() == (0, 1)
    assert ongoing(tenant)[0].waiting == ("bad",)
    bad.broken.clear()
    assert day.tell() == (2, 0)
    assert day.tell(DRIFT, EVENT) == (0, 0)
    assert (len(bad.got), len(good.got)) == (2, 2)


def test_what_waits_is_told_in_its_newest_words(tenant: Tenant) -> None:
    day = Day(tenant, box := Box("box", broken=[True]))
    day.tell(DRIFT)
    day.tell(replace(DRIFT, what="9 of 20 columns drifted"))
    day.tell(over=ENDED)
    box.broken.clear()
    day.tell()
    assert box.kinds == ["over"]  # nobody heard of it before: this says both
    assert "9 of 20 columns drifted" in box.got[0]


def test_a_new_channel_hears_of_what_lasts(tenant: Tenant) -> None:
    Day(tenant, Box("box")).tell(DRIFT)
    day = Day(tenant, Box("box"), late := Box("late"))
    assert day.tell(DRIFT) == (1, 0)
    assert late.kinds == ["warning"]


def test_worse_while_it_is_being_sent_is_not_lost(tenant: Tenant) -> None:
    day = Day(tenant, box := Box("box"))
    noted: list[bool] = []

    def worse() -> None:
        if not noted:
            noted.append(Book(tenant).note(WORSE, "box", START, 24 * HOUR))

    day.boxes = (replace(box, meanwhile=worse),)
    day.tell(DRIFT)
    assert noted == [True]
    day.tell(DRIFT)
    assert box.kinds == ["warning", "error"]


def test_the_same_while_it_is_being_sent_is_not_told_twice(tenant: Tenant) -> None:
    day = Day(tenant, box := Box("box"))
    other = replace(DRIFT, what="9 of 20 columns drifted")
    day.boxes = (replace(box, meanwhile=lambda: Book(tenant).note(other, "box", START, 24 * HOUR)),)
    day.tell(DRIFT)
    day.tell(other)
    assert box.kinds == ["warning"]


def test_many_at_once_send_one_message(tenant: Tenant) -> None:
    box, gate = Box("box"), threading.Barrier(6)
    failed: list[int] = []

    def run() -> None:
        gate.wait()
        failed.append(tell(tenant, [DRIFT, EVENT], to=[box], now=lambda: START).failed)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(box.kinds) == ["info", "warning"]
    assert failed == [0] * 6


_ONE = """
import sys
from datetime import datetime
from pipelines.core.tenant import Tenant
from pipelines.watch.alerts import Message, tell
print(tell(Tenant.load("demo"), [Message("drift", "conversion", "warning", "moved", datetime(2026, 3, 1))]).sent)
"""


def started(**more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", _ONE], stdout=subprocess.PIPE, text=True, **more)


@apprised
@pytest.mark.slow
def test_two_processes_at_once_send_one_message(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    with Station().open() as station:
        monkeypatch.setenv("LEADWISE_ALERTS", station.address)
        monkeypatch.setenv("LEADWISE_ALERTS_SECONDS", "60")
        both = [started(), started()]
        sent = sorted(int(one.communicate(timeout=120)[0]) for one in both)
    assert sent == [0, 1]
    assert len(station.got) == 1


@apprised
@pytest.mark.slow
def test_a_process_killed_while_it_sends_is_made_up_for(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    with Station("hangs").open() as station:
        monkeypatch.setenv("LEADWISE_ALERTS", station.address)
        monkeypatch.setenv("LEADWISE_ALERTS_SECONDS", "20")
        victim = started()
        assert eventually(lambda: station.got, 60)
        victim.kill()
        victim.wait()
        station.temper = "answers"
        assert tell(tenant, []).sent == 0  # it may still be at work
        from pipelines.core.interval import utc_now

        later = utc_now() + timedelta(seconds=51)
        assert tell(tenant, [], now=lambda: later).sent == 1
    assert len(station.got) == 2


def test_who_comes_too_late_does_not_take_the_claim_of_another(tenant: Tenant) -> None:
    book, lease = Book(tenant), timedelta(seconds=40)
    book.create()
    book.note(DRIFT, "box", START, 24 * HOUR)
    slow = book.claim(book.due(["box"], START)[0], START, lease)
    later = START + HOUR
    quick = book.claim(book.due(["box"], later)[0], later, lease)
    assert slow is not None
    assert quick is not None
    book.done(slow, later, sent=False)
    assert book.due(["box"], later) == []  # the quick one is at it
    book.done(slow, later, sent=True)
    book.done(quick, later, sent=False)
    assert len(book.due(["box"], later)) == 1


def test_a_claim_without_a_message_ends_by_itself(tenant: Tenant) -> None:
    day = Day(tenant, box := Box("box"))
    book = Book(tenant)
    book.create()
    book.note(DRIFT, "box", START, 24 * HOUR)
    [row] = book.due(["box"], START)
    claimed = book.claim(row, START, timedelta(seconds=40))
    assert claimed is not None
    assert book.claim(row, START, timedelta(seconds=40)) is None  # the other one of two
    assert day.tell(DRIFT) == (0, 0)
    day.hour = 0.02  # 72 seconds later
    assert day.tell(DRIFT) == (1, 0)
    book.done(claimed, START, sent=False)  # it was only slow: what the other did stands
    assert day.tell(DRIFT) == (0, 0)
    assert len(box.got) == 1


@apprised
def test_a_webhook_that_hangs_holds_no_step_up(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Station("hangs").open() as bad, Station().open() as good:
        monkeypatch.setenv("LEADWISE_ALERTS", f"{bad.address},{good.address}")
        monkeypatch.setenv("LEADWISE_ALERTS_SECONDS", "3")
        report = Report("monitor", "demo")
        with caplog.at_level(logging.DEBUG):
            tell(tenant, [DRIFT, EVENT]).into(report)
        assert (len(bad.got), len(good.got)) == (1, 2)
        assert report.counts == {"alerts_sent": 2, "alerts_failed": 1}
        assert report.notes == [
            "channel 'json' could not be told of 'drift: conversion': it did not answer within 3 seconds"
        ]
        bad.temper = "answers"
        assert tell(tenant, []).sent == 2
        assert len(bad.got) == 3
    for secret in ("S3cretWord", "T0kenOfOurs", "robot"):
        assert secret not in caplog.text
        if not tenant.settings.catalog_url:
            assert secret.encode() not in (tenant.home / "catalog.db").read_bytes()


def test_without_its_table_it_tells_all_the_same(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object) -> bool:
        raise StoreUnreachable("PostgreSQL does not answer")

    monkeypatch.setattr(Book, "exists", away)
    bad, good = Box("bad", broken=[True]), Box("good")
    found = tell(tenant, [DRIFT, EVENT], to=[bad, good])
    assert (found.sent, found.failed) == (2, 2)
    assert "messages may come twice: PostgreSQL does not answer" in found.notes[0]
    assert good.kinds == ["warning", "info"]


def test_a_wrong_setting_fails_no_step_and_shows_no_secret(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LEADWISE_ALERTS", "slack://S3cretWord/B/C")
    monkeypatch.setenv("LEADWISE_ALERTS_SECONDS", "S3cretWord")
    with caplog.at_level(logging.INFO):
        found = tell(tenant, [DRIFT])
    assert (found.sent, found.failed) == (1, 1)
    assert "ALERTS_SECONDS" in found.notes[0]
    assert "S3cret" not in caplog.text + str(found)


def test_a_folder_that_cannot_be_written_fails_no_step(tenant: Tenant, tmp_path: Path) -> None:
    if tenant.settings.catalog_url:
        pytest.skip("the table lies on a server")
    tenant.home.parent.mkdir(parents=True, exist_ok=True)
    tenant.home.write_text("in the way")
    found = tell(tenant, [DRIFT], to=[box := Box("box")])
    assert (found.sent, found.failed) == (1, 1)
    assert box.kinds == ["warning"]


def test_names_are_masked_alike_when_it_begins_and_when_it_is_over(tenant: Tenant) -> None:
    day = Day(tenant, box := Box("box"))
    day.tell(replace(DRIFT, subject="lead 5512345678\nx"))
    day.tell(over=[("drift", "lead 5512345678\nx")])
    assert box.kinds == ["warning", "over"]
    assert "5512345678" not in "".join(box.got)


def test_what_is_long_over_is_removed(tenant: Tenant) -> None:
    day = Day(tenant, Box("box"))
    day.tell(DRIFT, EVENT, replace(DRIFT, subject="value"))
    day.tell(over=ENDED)
    day.hour = 24 * 91
    day.tell()
    assert [one.subject for one in ongoing(tenant)] == ["value"]
    assert Book(tenant)._rows(true())[0]["subject"] == "value"


Happening = st.tuples(
    st.sampled_from(["info", "warning", "error", "over", "broken", "mended", "none"]), st.integers(0, 30)
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings=st.lists(Happening, max_size=12))
def test_whatever_happens_it_is_told_as_a_person_would_wish(make_tenant: MakeTenant, happenings: list) -> None:
    """By hand, what a channel knows: the worst of what lasts, when it last heard, and whether it heard of the end."""
    tenant = replace(make_tenant(), name=f"t{next(NUMBERS)}")
    day = Day(tenant, box := Box("box"))
    wanted: list[str] = []
    lasts, told, heard, pending = False, -1, -100.0, ""
    levels = ["info", "warning", "error"]
    for what, hours in happenings:
        day.hour += hours
        if what in ("broken", "mended"):
            box.broken[:] = [True] * (what == "broken")
        if what == "over" and lasts:
            lasts, pending = False, "over"
        if what in levels:
            if not lasts:
                lasts, told, heard, pending = True, -1, -100.0, what
            elif pending in levels:
                pending = max(pending, what, key=levels.index)
            elif levels.index(what) > told or day.hour - heard >= 24:
                pending = what
        if pending and not box.broken:
            wanted.append(pending)
            told = max(told, levels.index(pending)) if pending in levels else told
            heard, pending = day.hour, ""
        messages = [replace(DRIFT, severity=what)] if what in levels else []
        day.tell(*messages, over=ENDED if what == "over" else [])
    assert box.kinds == wanted
