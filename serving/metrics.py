"""What Prometheus is told of the endpoint: all workers together, through files in the folder that they share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_SCORES = tuple(place / 20 for place in range(1, 20))

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable that names the folder in which processes share their figures; the library reads it when it is imported."""

KIND = "text/plain; version=0.0.4; charset=utf-8"
"""Content-Type of what `Metrics.text` gives."""


class Metrics:
    """The figures of one worker, and the text of all of them."""

    def __init__(self) -> None:
        """Begin to count: with other processes where `FOLDER` is set, else for this one alone."""
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._own = CollectorRegistry()
        shared: dict[str, Any] = {"registry": self._own}
        newest: dict[str, Any] = {**shared, "multiprocess_mode": "mostrecent"}
        self._latency = Histogram(
            "leadwise_request_seconds", "Time to an answer.", ("route", "status"), buckets=_SECONDS, **shared
        )
        self._rows = Counter("leadwise_rows", "Scores that were given.", ("model_version",), **shared)
        self._scores = Histogram("leadwise_score", "Probabilities that were given.", buckets=_SCORES, **shared)
        self._cold = Counter("leadwise_cold_rows", "Scores of leads without features online.", **shared)
        self._hits = Counter("leadwise_cache_hits", "Leads whose answer was kept.", **shared)
        self._misses = Counter("leadwise_cache_misses", "Leads whose answer was not kept.", **shared)
        self._lost = Counter("leadwise_scores_lost", "Served scores that could not be recorded.", **shared)
        self._age = Gauge("leadwise_features_age_seconds", "Age of the features online.", **newest)
        self._model = Gauge("leadwise_model_decision", "Number of the ledger's decision that is served.", **newest)

    def serves(self, seq: int, age: float | None) -> None:
        """Say which decision is served, and how old the features are, in seconds."""
        self._model.set(seq)
        if age is not None:
            self._age.set(age)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._latency.labels(route, str(status)).observe(seconds)

    def scored(self, scores: Sequence[Mapping[str, Any]]) -> None:
        """Count the scores of an answer."""
        self._rows.labels(scores[0]["model_version"]).inc(len(scores))
        for one in scores:
            if "probability" in one:
                self._scores.observe(one["probability"])
            if "cold" in one:
                self._cold.inc()

    def cached(self, hits: int, misses: int) -> None:
        """Count leads whose answer was kept, and those for which there was none."""
        self._hits.inc(hits)
        self._misses.inc(misses)

    def lost(self, rows: int) -> None:
        """Count served scores that could not be kept."""
        self._lost.inc(rows)

    def text(self) -> bytes:
        """The figures in Prometheus' text format: of all workers where they share a folder."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        if not os.environ.get(FOLDER):
            return bytes(generate_latest(self._own))
        every = CollectorRegistry()
        collector: Any = MultiProcessCollector
        collector(every)
        return bytes(generate_latest(every))
