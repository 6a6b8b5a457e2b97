"""Links from a task to what it made, and the sentence at the end of a failed log."""

import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from dags.factory import _updates, say_why
from dags.plugin import address
from pipelines.core.errors import Busy

REPORT = {
    "tenant": "demo",
    "links": {"MLflow run": "mlflow:/#/experiments/1/runs/abc", "drift": "reports/2026-03-31/drift.html"},
}


def test_links_of_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_MLFLOW_UI", "http://127.0.0.1:5000")
    assert address(REPORT, mlflow=True) == "http://127.0.0.1:5000/#/experiments/1/runs/abc"
    assert address(REPORT, mlflow=False) == "/leadwise/demo/reports/2026-03-31/drift.html"


@pytest.mark.parametrize("returned", [None, "text", {}, {"tenant": "demo", "links": {}}, {"tenant": "demo"}])
def test_a_task_without_links_has_none(returned: Any) -> None:
    assert address(returned, mlflow=True) == address(returned, mlflow=False) == ""


def test_nobody_serves_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEADWISE_MLFLOW_UI", raising=False)
    assert address(REPORT, mlflow=True) == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AirflowFailException("no file of 2026-03-01: put it there"), "no file of 2026-03-01: put it there"),
        (Busy("another run is at work: wait"), "another run is at work: wait"),
        (ValueError("first\n  second"), "ValueError: first; the lines above say where"),
        (KeyError(), "KeyError: KeyError; the lines above say where"),
    ],
)
def test_why_a_task_failed(error: Exception, said: str, caplog: pytest.LogCaptureFixture) -> None:
    instance = SimpleNamespace(dag_id="demo_ingest", task_id="collect")
    with caplog.at_level(logging.ERROR, "leadwise"):
        say_why({"exception": error, "ti": instance})
    assert caplog.messages == [f"demo_ingest.collect failed: {said}"]


class Asked:
    """Events of an asset as Airflow's accessor gives them: `limit` newest ones at or before an instant."""

    def __init__(self, events: list[Any]) -> None:
        self.events, self.most, self.until = events, 0, ""

    def ascending(self, order: bool) -> "Asked":
        assert order is False
        return self

    def limit(self, most: int) -> "Asked":
        self.most = most
        return self

    def before(self, until: str) -> "Asked":
        self.until = until
        return self

    def __iter__(self) -> Any:
        held = [e for e in self.events if not self.until or e.timestamp <= datetime.fromisoformat(self.until)]
        return iter(sorted(held, key=lambda e: e.timestamp, reverse=True)[: self.most])


def test_however_long_a_dag_was_paused_every_update_is_looked_at_once() -> None:
    start = datetime(2026, 4, 1, tzinfo=UTC)
    events = [SimpleNamespace(id=n, timestamp=start + timedelta(minutes=n)) for n in range(457)]

    class Inlets:
        def __getitem__(self, inlet: Any) -> Asked:
            return Asked(events)

    found = [event.id for event in _updates({"inlet_events": Inlets()}, None)]
    assert found == list(reversed(range(457)))
