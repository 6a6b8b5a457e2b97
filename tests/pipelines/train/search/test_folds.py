"""Folds go forward in time, learn what was known by then, and hold no row of the holdout."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.errors import NotReady
from pipelines.core.params import TuneParams
from pipelines.core.train_params import SpaceParams
from pipelines.train.data import TrainingSet
from pipelines.train.search.folds import clusters, digest, forward, losses, without_holdout
from pipelines.train.split import Split
from tests.pipelines.registry.conftest import training_set
from tests.pipelines.train.search.conftest import market


def tune(folds: int, first: float = 0.5) -> TuneParams:
    return TuneParams(
        trials=1, folds=folds, first_share=first, blocks=2, prune_at=0.1, startup=1, draws=100, space=SpaceParams()
    )


def drawn(count: int, folds: int, seed: int) -> TrainingSet:
    """Rows at drawn instants, many of them the same, each known some hours later."""
    rng = np.random.default_rng(seed)
    hours = np.sort(rng.integers(0, 30, count))
    times = [datetime(2026, 1, 1) + timedelta(hours=int(hour)) for hour in hours]
    known = [at + timedelta(hours=int(later)) for at, later in zip(times, rng.integers(0, 8, count), strict=True)]
    data = training_set(count)
    rows = data.rows.set_column(0, "event_time", pa.array(times, pa.timestamp("us")))
    keys = pa.table({"lead_id": [str(i) for i in range(count)], "known_at": pa.array(known, pa.timestamp("us"))})
    return replace(data, rows=rows, keys=keys)


@given(st.integers(60, 200), st.integers(2, 5), st.floats(0.3, 0.8), st.integers(0, 10_000))
def test_no_fold_learns_what_was_not_known_when_it_began(count: int, folds: int, first: float, seed: int) -> None:
    data = drawn(count, folds, seed)
    try:
        found = forward(data, tune(folds, first))
    except NotReady:
        return
    times, known = (table.to_pylist() for table in (data.rows["event_time"], data.keys["known_at"]))
    for fold in found:
        begins = min(times[row] for row in fold.judged)
        assert all(known[row] <= begins for row in fold.learnt)
        assert set(fold.learnt).isdisjoint(fold.judged)
    judged = np.concatenate([fold.judged for fold in found])
    assert judged.tolist() == list(range(round(first * count), count))  # each row once, in the order of time


def test_rows_that_were_held_out_are_gone() -> None:
    data = market(500)
    known = np.setdiff1d(np.arange(400), [3, 7])  # 3 and 7 were purged
    kept = without_holdout(replace(data, parts=Split(known, np.arange(400, 500), 2)))
    assert kept.rows.num_rows == 398
    assert kept.rows.equals(data.rows.take(pa.array(known)))
    assert kept.keys.equals(data.keys.take(pa.array(known)))


def test_the_digest_is_of_the_rows_and_the_folds() -> None:
    data = market(500)
    half, third = forward(data, tune(2)), forward(data, tune(3))
    assert digest(data, half, {}) == digest(market(500), half, {})
    assert digest(data, half, {}) != digest(data, third, {})
    turned = data.rows.set_column(1, "label", pa.array(1 - data.labels))
    assert digest(replace(data, rows=turned), half, {}) != digest(data, half, {})


def test_losses_are_those_of_models_of_the_past() -> None:
    """Against each fold fitted and judged by hand."""
    from models.members import Linear

    data = market(400)
    folds = forward(data, tune(2))
    found = list(losses(data, folds, Linear))
    for fold, part in zip(folds, found, strict=True):
        model = Linear().fit(data.frame.iloc[fold.learnt], data.labels[fold.learnt], kinds=dict(data.features))
        p = model.predict_proba(data.frame.iloc[fold.judged])[:, 1]
        y = data.labels[fold.judged]
        np.testing.assert_allclose(part, -(y * np.log(p) + (1 - y) * np.log(1 - p)))


def test_rows_of_an_entity_are_of_one_cluster() -> None:
    data = market(400)
    folds = forward(data, tune(2))
    groups = clusters(data, folds)
    names = [data.keys["lead_id"][int(row)].as_py() for fold in folds for row in fold.judged]
    assert len({*zip(groups.tolist(), names, strict=True)}) == len(set(names)) == len(set(groups.tolist()))


def test_too_few_outcomes_are_one_sentence() -> None:
    data = market(40)
    rows = data.rows.set_column(1, "label", pa.array([0] * 30 + [1] * 10))
    with pytest.raises(NotReady, match="fold 1 of 2 has 10 rows, and 19 of one class to learn from"):
        forward(replace(data, rows=rows), tune(2))
