"""Leads of no market in particular: numbers with long tails, categories rare and frequent, gaps."""

import numpy as np
import pandas as pd

from tests.benchmarks.models.bank import Rows

_NUMBERS, _LEVELS = 17, (2, 3, 4, 6, 8, 12, 30, 80)
_GAPS = 0.08


def leads(rows: int, seed: int) -> Rows:
    """So many rows of 25 columns over 90 days, in order of time; every tenth converts or so."""
    rng, law = np.random.default_rng([seed, rows]), np.random.default_rng(7)
    columns: dict[str, object] = {}
    odds = np.full(rows, -2.6)
    for i in range(_NUMBERS):
        normal = rng.standard_normal(rows)
        odds += law.normal(0, 0.25) * normal + law.normal(0, 0.12) * np.abs(normal)
        value = np.exp(normal) if i % 3 == 0 else normal if i % 3 == 1 else np.floor(np.exp(normal + 1))
        columns[f"number_{i}"] = np.where(rng.random(rows) < _GAPS * (i % 4), np.nan, value)
    for i, levels in enumerate(_LEVELS):
        shares = law.dirichlet(np.full(levels, 0.7))
        code = rng.choice(levels, rows, p=shares)
        odds += law.normal(0, 0.4, levels)[code]
        texts = np.array([f"level_{level}" for level in range(levels)], dtype=object)[code]
        columns[f"text_{i}"] = np.where(rng.random(rows) < _GAPS * (i % 2), None, texts)
    y = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    time = np.datetime64("2026-01-01", "us") + (np.arange(rows) * (90 * 86_400_000_000 // rows)).astype(
        "timedelta64[us]"
    )
    return Rows(pd.DataFrame(columns), y, time)
