"""What a fit of 100,000 rows and 25 columns costs: ours with folds forward in time, and the usual recipe."""

import numpy as np

from models import metrics
from tests.benchmarks.models import contenders
from tests.benchmarks.models.apart import apart
from tests.benchmarks.models.contenders import Contender
from tests.benchmarks.models.figures import Figure, at_least
from tests.benchmarks.models.synthetic import leads

SEEDS = (0, 1, 2)
_ROWS, _SCORED = 100_000, 20_000
_RATIO = 5


def run() -> list[Figure]:
    """Processor seconds, one thread, from columns to a fitted model; log loss beside them, so that none cheats."""
    cpu: dict[str, list[float]] = {}
    figures = []
    for seed in SEEDS:
        for model, contender in (("LeadScorer", contenders.ours), ("recipe", contenders.recipe)):
            done = apart(_fit, contender, seed)
            cpu.setdefault(model, []).append(done.cpu)
            note = f"seed {seed}, {done.peak_mb:,.0f} MB at most, one thread"
            figures.append(Figure("CPU seconds of the fit", model, done.cpu, note=note))
            figures.append(Figure("log loss on 20,000 rows", model, done.value, note=f"seed {seed}"))
    ratios = np.array(cpu["recipe"]) / np.array(cpu["LeadScorer"])
    note = f"seeds {', '.join(map(str, SEEDS))}; the interval is from the lowest to the highest"
    ratio = Figure(
        "CPU seconds of the fit", "recipe / LeadScorer", float(ratios.mean()), ratios.min(), ratios.max(), note=note
    )
    return [*figures, at_least(ratio, _RATIO)]


def _fit(contender: Contender, seed: int) -> float:
    """Log loss of the fitted contender; scoring 20,000 rows is a small part of what this costs."""
    rows = leads(_ROWS + _SCORED, seed)
    scored = rows.take(slice(_ROWS, None))
    return metrics.logloss(scored.y, contender(rows.take(slice(0, _ROWS)), scored.X, seed))
