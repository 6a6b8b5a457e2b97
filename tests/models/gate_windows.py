"""Windows with known truth, for the tests of the gate."""

from typing import Any

import numpy as np

from pipelines.core.promotion_params import GateParams

PARAMS = GateParams(
    level=0.95,
    draws=2000,
    rows=200,
    loss={"tolerance": 0.0, "gain": 0.0005},
    ranking={"tolerance": 0.005, "gain": None},
    calibration=0.03,
    coverage=0.07,
    segments={"rows": 300, "tolerance": 0.02},
    fresh_days=14,
    row_ms=50,
    batch_us=500,
)

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(21)


def params(**change: Any) -> GateParams:
    """The usual parameters but for these."""
    return GateParams(**(PARAMS.model_dump() | change))


def expit(raw: Any) -> Any:
    return 1 / (1 + np.exp(-raw))


def chance(raw: np.ndarray, unknown: float) -> np.ndarray:
    """Probability at log odds `raw` plus a normal variable of standard deviation `unknown`, averaged over it."""
    return expit(raw[:, None] + unknown * NODES) @ (WEIGHTS / WEIGHTS.sum())


def equals(
    rng: np.random.Generator, entities: int, each: int, *, number: int = 2, task: str = "binary", noise: float = 0.3
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Labels, predictions of `number` equally good models, and entities.

    The models share the truth and differ by noise of one size, half of which an entity's rows share; the rows of an
    entity share a mood, too.
    """
    entity = np.repeat(np.arange(entities), each)
    count = len(entity)
    truth = rng.normal(size=count) + 0.7 * rng.normal(size=entities)[entity]
    wrong = [noise * (rng.normal(size=count) + rng.normal(size=entities)[entity]) for _ in range(number)]
    if task == "binary":
        y = (rng.random(count) < expit(truth - 1)).astype(float)
        return y, [expit(truth - 1 + one) for one in wrong], entity
    return truth + 2 * rng.normal(size=count), [truth + one for one in wrong], entity


def nested(
    rng: np.random.Generator, entities: int, each: int, more: float = 0.26
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, a challenger that knows one thing more, the champion, and entities. Both are calibrated.

    With `more` of .26 the champion's AUC is .70, the challenger's .71.
    """
    entity = np.repeat(np.arange(entities), each)
    known, extra = rng.normal(size=(2, len(entity)))
    mood = rng.normal(size=entities)[entity]
    raw = -1 + 0.82 * known
    y = (rng.random(len(entity)) < expit(raw + more * extra + 0.4 * mood)).astype(float)
    return y, chance(raw + more * extra, 0.4), chance(raw, float(np.hypot(more, 0.4))), entity


def calibrated(rng: np.random.Generator, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Labels and the true probabilities."""
    p = expit(-1 + rng.normal(size=count))
    return (rng.random(count) < p).astype(float), p
