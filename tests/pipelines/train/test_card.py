"""The page: its numbers are those of the metrics, it loads nothing, and no name gets through unescaped."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from models import metrics
from models.leaks import Leak
from pipelines.train.card import card
from pipelines.train.card_evidence import Evidence, Example
from pipelines.train.card_words import heading, words_of

VOID = {"meta", "path", "circle", "rect", "polyline", "br"}


class Page(HTMLParser):
    """Which tags are open, what is loaded, and the head's numbers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.numbers: dict[str, str] = {}
        self._measure: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._measure = dict(attrs).get("data-measure")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._measure:
            self.numbers[self._measure] = data
            self._measure = None


def evidence(binary: bool = True, n: int = 600, **changes: object) -> Evidence:
    """Made-up evidence of two candidates; predictions tell something."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=n)
    p = 1 / (1 + np.exp(1 - signal)) if binary else 40 + 10 * signal
    y = (rng.random(n) < p).astype(float) if binary else np.maximum(0, p + rng.normal(size=n) * 15)
    times = np.datetime64("2026-03-02T08:00", "us") + np.arange(n) * np.timedelta64(1, "h")
    made = Evidence(
        name="demo.conversion",
        meaning="Did the lead buy?",
        binary=binary,
        winner="mean",
        facts={"known by": "2026-04-01"},
        train=y[::-1],
        train_times=times - np.timedelta64(40, "D"),
        y=y,
        times=times,
        predictions={"linear": np.full(n, float(y.mean())) + 0.01 * signal, "mean": p},
        importance={"amount": 0.75, "city": 0.25},
        words={"amount": "Money spent, in pesos."},
        segments={"city": np.array((["north"] * 5 + ["south"] * 4 + [None]) * (n // 10), dtype=object)},
        lineage={"clean.messages": "123"},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_numbers_of_probabilities_are_those_of_the_metrics() -> None:
    e = evidence()
    page = Page(card(e))
    expected = metrics.evaluate(e.y, e.p)
    assert page.numbers["auc"] == f"{expected['auc']:.4f}"
    assert page.numbers["logloss"] == f"{expected['logloss']:.4f}"
    assert page.numbers["ece"] == f"{expected['ece']:.4f}"
    assert page.numbers["brier"] == f"{np.mean((e.p - e.y) ** 2):.4f}"
    assert page.numbers["base_rate"] == f"{e.y.mean():.2%}"
    assert page.numbers["train_base_rate"] == f"{e.train.mean():.2%}"


def test_the_numbers_of_values_are_those_of_scipy_and_numpy() -> None:
    e = evidence(binary=False)
    page = Page(card(e))
    assert page.numbers["spearman"] == f"{spearmanr(e.y, e.p).statistic:.4f}"
    assert page.numbers["rmse"] == f"{np.sqrt(np.mean((e.y - e.p) ** 2)):.4g}"
    assert page.numbers["mae"] == f"{np.mean(np.abs(e.y - e.p)):.4g}"
    assert page.numbers["mean"] == f"{e.y.mean():.4g}"


@pytest.mark.parametrize("binary", [True, False])
def test_the_page_is_whole_small_and_loads_nothing(binary: bool) -> None:
    text = card(evidence(binary))
    page = Page(text)
    assert page.open == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "image", "use", "form", "a"}
    assert not page.attributes & {"src", "href", "xlink:href", "onload", "onclick", "srcset"}
    assert not re.search(r"https?:|//|url\(|@import|nan", text)
    assert "prefers-color-scheme: dark" in text
    assert len(text.encode()) < 1_000_000


def test_names_are_escaped_wherever_they_stand() -> None:
    bad = '<b onclick="x">&\'"'
    leak = Leak(bad, "alone", f"{bad} by itself", {})
    e = evidence()
    text = card(
        replace(
            e,
            name=bad,
            meaning=bad,
            winner=bad,
            facts={bad: bad},
            predictions={bad: e.p, f"{bad}2": e.p},
            importance={bad: 1.0},
            words={bad: bad, "city": bad},
            segments={bad: np.array([bad] * len(e.y), dtype=object)},
            weights={bad: 1.0},
            examples=[Example(bad, 0.5, [(bad, bad, 1.0)], 0.1, -1.0)],
            leaks=[(leak, False)],
            lineage={bad: bad},
        )
    )
    assert "<b onclick" not in text
    assert "&lt;b onclick" in text
    assert Page(text).open == []


def test_reasons_stand_in_the_contracts_words() -> None:
    rows = [("amount", 1234.5, 0.8), ("city", "north", -0.3), ("member", None, 0.05)]
    text = card(evidence(examples=[Example("highest", 0.9, rows, -0.01, -1.0)]))
    for words in ("Highest: 90.0%", "amount = 1,234", "Money spent, in pesos.", "city = north", "member = missing"):
        assert words in text
    for number in ("+0.8", "-0.3", "+0.05", "-0.01"):
        assert f">{number}<" in text
    assert "log odds" in text


def test_segments_are_those_of_pandas() -> None:
    e = evidence()
    frame = pd.DataFrame({"city": e.segments["city"], "y": e.y, "p": e.p})
    text = card(e)
    for name in ("north", "south"):
        part = frame[frame["city"] == name]
        row = re.search(rf"<tr><td>{name}</td>.*?</tr>", text)
        assert row is not None
        assert f"<td>{len(part)}</td>" in row[0]
        assert f"{part['p'].mean():.1%}" in row[0]
        assert f"<td>{part['y'].mean():.1%}<small>" in row[0]
        assert f"<td>{metrics.auc(part['y'], part['p']):.4f}</td>" in row[0]


def test_leaks_weights_and_intervals_stand_there_where_there_are_any() -> None:
    plain = card(evidence())
    assert "No feature seems to know the outcome" in plain
    assert "Members and their weights" not in plain
    assert ">Intervals<" not in plain
    e = evidence(binary=False)
    ends = np.column_stack([e.y - 1, e.y + np.where(np.arange(len(e.y)) % 4, 3.0, -0.5)])
    leak = Leak("duration", "alone", "'duration' by itself ranks the outcomes with AUC 0.860", {})
    text = card(replace(e, intervals={0.9: ends}, weights={"linear": 0.4, "lightgbm": 0.6}, leaks=[(leak, True)]))
    assert "<td>90%</td><td>75.0%</td>" in text
    assert f"<td>{(ends[:, 1] - ends[:, 0]).mean():.4g}</td>" in text
    assert "AUC 0.860. <em>Accepted</em>" in text
    assert "0.600" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"importance": {}, "segments": {}, "lineage": {}, "words": {}},
        {"predictions": {"mean": np.full(600, 0.3)}},
        {"clusters": np.zeros(600, dtype=np.intp)},
        {"times": np.full(600, np.datetime64("2026-03-02", "us"))},
    ],
    ids=["nothing known", "a constant", "one entity", "one instant"],
)
def test_poor_evidence_still_gives_a_page(changes: dict[str, object]) -> None:
    assert Page(card(evidence(**changes))).open == []


def test_values_below_zero_have_no_gain() -> None:
    e = evidence(binary=False)
    assert "Gain and lift" in card(e)
    assert "Gain and lift" not in card(replace(e, y=e.y - 50))


SQL = """-- What the lead did after: replies, clicks. Rates are smoothed.
-- By a prior.
with a as (select 1)
select
    lead_id,
    count(*) as clicks_7d,
    nullif(pdays, -1) as pdays, -- -1 means never called before
    rate
from a
"""


def test_features_are_told_in_the_words_of_contract_and_sql(tmp_path: object) -> None:
    from types import SimpleNamespace

    column = SimpleNamespace(name="state", description="Mexican state.", personal=False)
    phone = SimpleNamespace(name="phone", description="Phone number.", personal=True)
    contracts = {"leads": SimpleNamespace(columns=(column, phone))}
    found = words_of(
        ["state", "clicks_7d", "pdays", "rate", "days_since_click", "local_hour"],
        contracts,  # type: ignore[arg-type]
        {"sql/features_acts.sql": SQL, "contracts/leads.yaml": "x"},
    )
    assert found["state"] == "Mexican state."
    assert found["clicks_7d"] == "Clicks in the last 7 days (acts: what the lead did after)."
    assert found["pdays"] == "-1 means never called before"
    assert found["rate"] == "Rate (acts: what the lead did after)."
    assert found["days_since_click"] == "Days since click."
    assert "clock" in found["local_hour"]
    assert heading(SQL) == "What the lead did after: replies, clicks. Rates are smoothed. By a prior."
