"""Leads of planted segments, and noise."""

import numpy as np

Columns = dict[str, np.ndarray]
Drawn = np.random.Generator


def far_apart(rng: Drawn, k: int, numbers: int, apart: float) -> np.ndarray:
    """Centres with at least this distance (standard deviations) between any two."""
    while True:
        centres = rng.normal(size=(k, numbers)) * apart / 2
        if (np.linalg.norm(centres[:, None] - centres, axis=2) + np.eye(k) * apart).min() >= apart:
            return centres


def with_gaps(rng: Drawn, values: np.ndarray, share: float) -> np.ndarray:
    gone = values.copy()
    gone[rng.random(len(values)) < share] = None if values.dtype == object else np.nan
    return gone


def texts(rng: Drawn, truth: np.ndarray, k: int, sure: float = 0.8) -> np.ndarray:
    levels = np.array([f"L{i}" for i in range(k)], dtype=object)
    return np.where(rng.random(len(truth)) < sure, levels[truth], levels[rng.integers(0, k, len(truth))])


def planted(rng: Drawn, rows: int, k: int, numbers: int = 6, gaps: float = 0.1) -> tuple[Columns, np.ndarray]:
    """Leads of k segments of different size in numbers of different units and a text; other columns are noise."""
    sizes = np.linspace(1, 2.5, k)
    truth = rng.choice(k, rows, p=sizes / sizes.sum())
    values = far_apart(rng, k, numbers, 4.5)[truth] + rng.normal(size=(rows, numbers))
    X = {f"n{i}": 10.0 ** (i - 2) * values[:, i] for i in range(numbers)}
    X |= {"text": texts(rng, truth, k), "text2": texts(rng, truth, k)}
    X |= {"normal": rng.normal(size=rows), "skewed": rng.lognormal(0, 1.5, rows), "count": rng.poisson(1.0, rows) * 1.0}
    return {name: with_gaps(rng, v, gaps) for name, v in X.items()} | {"flag": rng.random(rows) < 0.4}, truth
