"""Scores of a million rows and reasons for 100,000: ours against the sum of its served members, and memory."""

import time
from typing import Any

import numpy as np

from tests.benchmarks.models.apart import apart
from tests.benchmarks.models.bank import Rows
from tests.benchmarks.models.figures import Figure, at_most, mean_of_clusters
from tests.benchmarks.models.synthetic import leads

SEED = 0
_LEARNT, _BATCH = 50_000, 100_000
_BATCHES, _FEW_BATCHES, _REASONED = 10, 2, 10_000
_SLOWER, _GROWTH = 1.3, 1.1


def run() -> list[Figure]:
    """Seconds batch by batch, in turn with the members' own, so that both meet the same machine; one thread."""
    members, ratios, reasons, spent = apart(_raced).value
    few, many = (apart(_walked, batches).peak_mb for batches in (_FEW_BATCHES, _BATCHES))
    note = f"seed {SEED}, served: {', '.join(members)}"
    names = "LeadScorer / sum of its members"
    rows, explained = _BATCH * _BATCHES, _REASONED * len(reasons)
    grown = f"{few:,.0f} MB at {_BATCH * _FEW_BATCHES:,} rows, {many:,.0f} MB at {rows:,}, batches of {_BATCH:,}"
    return [
        Figure(f"seconds, {rows:,} scores", "LeadScorer", spent[0], note=note),
        Figure(f"seconds, {explained:,} reasons", "LeadScorer", spent[1], note=note),
        at_most(mean_of_clusters(ratios, f"seconds, {rows:,} scores", names, note=note), _SLOWER),
        at_most(mean_of_clusters(reasons, f"seconds, {explained:,} reasons", names, note=note), _SLOWER),
        at_most(Figure("peak memory, many rows / few", "LeadScorer", many / few, note=grown), _GROWTH),
    ]


def _fitted() -> Any:
    from models import LeadScorer

    rows = leads(_LEARNT, SEED)
    return LeadScorer(seed=SEED, threads=1).fit(rows.X, rows.y, event_time=rows.time)


def _raced() -> tuple[list[str], Any, Any, tuple[float, float]]:
    """Served members, ratio of seconds of each batch scored and of each explained, and our seconds in all."""
    scorer = _fitted()
    members = list(scorer.members_.values())
    scores, reasons = [], []
    for number in range(_BATCHES):
        X = leads(_BATCH, SEED + 1 + number).X
        ours = _seconds(lambda X=X: scorer.predict_proba(X))
        matrix = scorer.inputs_.encode(X)
        encoding = _seconds(lambda X=X: scorer.inputs_.encode(X))
        own = encoding + sum(_seconds(lambda m=m, x=matrix: m.predict_matrix(x)) for m in members)
        scores.append((ours, own))
        some, few = X.iloc[:_REASONED], matrix[:_REASONED]
        ours = _seconds(lambda X=some: scorer.explain(X))
        encoding = _seconds(lambda X=some: scorer.inputs_.encode(X))
        own = encoding + sum(_seconds(lambda m=m, x=few: m.contributions_matrix(x)) for m in members)
        reasons.append((ours, own))
    (ours, own), (explained, named) = np.array(scores).T, np.array(reasons).T
    return list(scorer.members_), ours / own, explained / named, (float(ours.sum()), float(explained.sum()))


def _walked(batches: int) -> None:
    """Score so many batches, one after the other."""
    scorer = _fitted()
    for number in range(batches):
        batch: Rows = leads(_BATCH, SEED + 1 + number)
        scorer.predict_proba(batch.X)


def _seconds(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
