"""Segments from day to day: ids and names stay while a segment does."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from models.segments import Limits, Segments, follow, matched
from tests.models.segments.leads import Columns, far_apart, planted, texts


def days(seed: int, count: int, born: int) -> list[tuple[Columns, np.ndarray]]:
    """Samples of drifting segments; from day `born` on there is a fifth."""
    once = np.random.default_rng(seed)
    centres, way = far_apart(once, 5, 6, 4.5), once.normal(size=(5, 6))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    found = []
    for day in range(count):
        rng, k = np.random.default_rng([seed, day]), 5 if day >= born else 4
        sizes = np.array([3, 2.5, 2, 1.5, 1])[:k] + rng.uniform(-0.2, 0.2, k)
        truth = rng.choice(k, 2000, p=sizes / sizes.sum())
        values = (centres + 0.04 * day * way)[truth] + rng.normal(size=(2000, 6))
        found.append(({f"n{i}": values[:, i] for i in range(6)} | {"text": texts(rng, truth, 5)}, truth))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("always_anew", [False, True])
def test_ids_and_names_stay_over_30_days_and_a_new_segment_gets_a_new_id(always_anew: bool) -> None:
    limits, born = Limits(most=6), 20
    segments: Segments | None = None
    names: dict[int, str] = {}
    kept, last, first = 0, 0, [0]
    for day, (X, truth) in enumerate(days(1, 30, born)):
        if segments is None:
            segments = Segments.learn(X, limits=limits)
            names, last = segments.names, len(segments.names)
        elif always_anew:
            segments = matched(Segments.learn(X, limits=limits), segments)
        else:
            one = follow(segments, X, limits=limits)
            segments, kept = Segments.from_json(one.segments.to_json()), kept + one.kept
            assert one.new == ((last + 1,) if day == born else ()), one.said
        names = names | {last + 1: segments.names.get(last + 1, "")} if day == born else names
        assert segments.names == names, day
        assert len(set(names.values())) == len(names)
        ids = segments.assign(X)
        assert adjusted_rand_score(truth, ids) > 0.9
        of = [int(np.bincount(ids[truth == k]).argmax()) for k in range(truth.max() + 1)]
        first = of[:4] if day == 0 else first
        assert of[:4] == first, "the same leads have the same id"
    assert always_anew or kept >= 27


def test_an_id_is_never_given_again_and_one_segment_is_no_part_of_many() -> None:
    rng = np.random.default_rng(4)
    X, truth = planted(rng, 2400, 3, gaps=0.0)
    limits = Limits(most=4)
    three = Segments.learn(X, limits=limits)
    two = follow(three, {n: v[truth != 0] for n, v in X.items()}, limits=limits)
    assert not two.kept
    assert len(two.gone) == 1
    assert set(two.segments.names) < set(three.names)
    again = follow(two.segments, X, limits=limits)
    assert again.new == (4,), again.said
    noise = {n: rng.permutation(v) for n, v in X.items()}
    assert follow(Segments.learn({"a": rng.normal(size=500)}), X, limits=limits).new == (2, 3, 4)
    one = Segments.learn({n: v for n, v in noise.items() if n.startswith(("normal", "skewed", "count"))})
    assert set(matched(one, three).names) == {4}
    assert matched(one, one).names == one.names


def test_too_few_leads_decide_nothing_and_changed_columns_are_learnt_anew(learnt) -> None:
    segments, X, _ = learnt
    for rows in (0, 1, 60):
        day = follow(segments, {n: v[:rows] for n, v in X.items()})
        assert day.kept
        assert f"{rows} leads" in day.said
    fewer = follow(segments, {n: v for n, v in X.items() if n != "n5"}, limits=Limits(most=5))
    assert not fewer.kept
    assert fewer.segments.names == segments.names
