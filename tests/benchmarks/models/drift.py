"""`bank-additional-full.csv` in order of time: its last fifth, labels of a block known once the next one begins."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from tests.benchmarks.models import bank, contenders
from tests.benchmarks.models.apart import apart
from tests.benchmarks.models.contenders import Contender
from tests.benchmarks.models.figures import Figure, at_least, at_most, difference, of_rows

Floats = npt.NDArray[np.float64]

BLOCK = 500
SEED = 0
_LEARNT_SHARE = 0.8
_REACH = {"AUC": 0.76, "log loss": 0.52, "ECE": 0.05}
_MODELS: dict[str, Contender] = {
    "LeadScorer": contenders.ours,
    "logistic": contenders.logistic,
    "LightGBM": contenders.lightgbm,
}


def run() -> list[Figure]:
    """Labels known with a block's delay, then no label of the last fifth at all; bootstrap over blocks."""
    rows = bank.additional()
    start = int(len(rows.y) * _LEARNT_SHARE)
    late = rows.take(slice(start, None))
    known = {model: apart(_block_by_block, contender, rows, start).value for model, contender in _MODELS.items()}
    never = {
        model: apart(contender, rows.take(slice(0, start)), late.X, SEED).value for model, contender in _MODELS.items()
    }
    return [
        *_figures(late.y, known, "labels of earlier blocks known", reach=True),
        *_figures(late.y, never, "no label of the last 20 %", reach=False),
    ]


def _block_by_block(contender: Contender, rows: bank.Rows, start: int) -> Floats:
    """Probabilities of the rows from `start` on: each block is scored by a model that learnt all rows before it."""
    parts = []
    for at in range(start, len(rows.y), BLOCK):
        block: pd.DataFrame = rows.X.iloc[at : at + BLOCK]
        parts.append(contender(rows.take(slice(0, at)), block, SEED))
    return np.concatenate(parts)


def _figures(y: Floats, p: dict[str, Floats], where: str, *, reach: bool) -> Iterator[Figure]:
    blocks = np.arange(len(y)) // BLOCK
    note = f"seed {SEED}, {len(y):,} rows, bootstrap over blocks of {BLOCK}"
    for model, found in p.items():
        for name, figure in of_rows(y, found, model, where, blocks, note).items():
            if reach and model == "LeadScorer":
                yield (at_least if name == "AUC" else at_most)(figure, _REACH[name])
            else:
                yield figure
    for model in list(p)[1:]:
        yield from difference(y, p["LeadScorer"], p[model], ("LeadScorer", model), where, blocks, note).values()
