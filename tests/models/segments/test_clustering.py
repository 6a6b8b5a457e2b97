"""Segments: what was planted is found and named, and noise is one segment."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from models.segments import Limits, Segments, Trait, clustering
from models.segments.naming import named
from tests.models.segments.leads import Columns, Drawn, planted, texts


@pytest.mark.parametrize("k", range(2, 7))
def test_planted_segments_are_found(k: int) -> None:
    X, truth = planted(np.random.default_rng(k), 4000, k)
    found = Segments.learn(X)
    assert len(found.segments) == k, found.why
    assert adjusted_rand_score(truth, found.assign(X)) > 0.9
    assert [one.share for one in found.segments] == sorted((one.share for one in found.segments), reverse=True)


NOISE = {
    "normal": lambda rng, n: {f"a{i}": rng.normal(size=n) for i in range(8)},
    "one normal": lambda rng, n: {"a": rng.normal(size=n)},
    "correlated": lambda rng, n: dict(zip("abcdef", rng.normal(size=(6, 2)) @ rng.normal(size=(2, n)), strict=True)),
    "uniform": lambda rng, n: {f"a{i}": rng.random(n) for i in range(3)},
    "skewed": lambda rng, n: {f"a{i}": rng.lognormal(0, 1.5, n) for i in range(2)},
    "heavy tails": lambda rng, n: {f"a{i}": rng.standard_cauchy(n) for i in range(3)},
    "mostly zero": lambda rng, n: {
        f"a{i}": np.where(rng.random(n) < 0.6, 0, rng.exponential(size=n)) for i in range(5)
    },
    "a flag": lambda rng, n: {"flag": rng.random(n) < 0.5} | {f"a{i}": rng.normal(size=n) for i in range(4)},
    "texts": lambda rng, n: {f"a{i}": texts(rng, rng.integers(0, 3, n), 3) for i in range(4)},
    "missing together": lambda rng, n: {
        f"a{i}": np.where(gone if i < 5 else False, np.nan, rng.normal(size=n))
        for gone in [rng.random(n) < 0.4]
        for i in range(8)
    },
}


@pytest.mark.parametrize("kind", NOISE)
def test_noise_is_one_segment(kind: str) -> None:
    for seed in range(2):
        found = Segments.learn(NOISE[kind](np.random.default_rng(seed), 3000))
        assert list(found.names.values()) == ["all leads"], found.why


def test_a_few_hundred_leads_spread_evenly_are_one_segment_too() -> None:
    """The flattest density with one peak: chance alone makes valleys in it."""
    found = [Segments.learn({"a": np.random.default_rng(s).random(300)}, limits=Limits(most=3)).why for s in range(20)]
    assert sum("one segment" not in why for why in found) <= 1, found


@pytest.mark.parametrize("limits", [Limits(most=4), Limits(most=4, rows=1000)])
def test_neither_order_of_rows_nor_threads_matter(limits: Limits) -> None:
    X, _ = planted(np.random.default_rng(1), 2000, 3)
    order = np.random.default_rng(2).permutation(2000)
    with threadpool_limits(2):
        one = Segments.learn(X, limits=limits)
    with threadpool_limits(1):
        other = Segments.learn({name: v[order] for name, v in X.items()}, limits=limits)
    assert len(one.segments) == 3
    assert one.to_json() == other.to_json()


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 3000), max_size=6), batch=st.integers(1, 5000))
def test_batches_are_assigned_as_the_whole(learnt, cuts: list[int], batch: int) -> None:
    segments, X, _ = learnt
    whole = segments.assign(X)
    edges = [0, *sorted(cuts), 3000]
    parts = [segments.assign({n: v[a:b] for n, v in X.items()}) for a, b in zip(edges, edges[1:], strict=False)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustering, "BATCH", max(batch, 20))
        patch.setattr(clustering, "_BLOCK", max(batch // 7, 20))
        np.testing.assert_array_equal(segments.assign(pd.DataFrame(X)), whole)


def test_each_lead_goes_to_the_nearest_centre_over_what_is_known(learnt) -> None:
    segments, X, _ = learnt
    points = segments.space.coordinates(segments.space.inputs.encode(X))
    nearest = np.nansum((points[:, None] - segments.centres) ** 2, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(segments.assign(X), np.array(list(segments.names))[nearest])
    nothing = {name: np.array([None], dtype=object) for name in X}
    assert segments.assign(nothing)[0] == segments.segments[0].id, "a lead of whom nothing is known"


def shop(rng: Drawn, rows: int = 3000) -> tuple[Columns, np.ndarray]:
    """Three segments that a person can tell: eager ones, those of Jalisco with WhatsApp, never validated ones."""
    truth = rng.choice(3, rows, p=[0.5, 0.3, 0.2])
    X: Columns = {
        "clicks_30d": rng.normal(np.array([30.0, 5.0, 5.0])[truth], 3),
        "days_since_message": rng.normal(np.array([5.0, 60.0, 60.0])[truth], 6),
        "state": np.where(truth == 1, "Jalisco", np.array(["Sonora", "Puebla", "Oaxaca"])[rng.integers(0, 3, rows)]),
        "whatsapp": (rng.random(rows) < np.array([0.5, 0.97, 0.5])[truth]),
        "age": rng.normal(40, 10, rows),
        "speed": np.where((truth == 2) | (rng.random(rows) < 0.02), np.nan, rng.normal(size=rows)),
        "platforms": np.where(truth == 2, rng.normal(-6, 1, rows), rng.normal(size=rows)),
    }
    return X, truth


def test_names_say_what_was_planted() -> None:
    X, truth = shop(np.random.default_rng(3))
    found = Segments.learn(X)
    assert adjusted_rand_score(truth, found.assign(X)) > 0.9
    eager, jalisco, never = found.segments
    assert {(t.feature, t.direction) for t in eager.made_of} == {("clicks_30d", "high"), ("days_since_message", "low")}
    assert "high clicks_30d" in eager.name
    assert "low days_since_message" in eager.name
    assert eager.traits[0].size > 3
    assert ("state", "is", "Jalisco") in {(t.feature, t.direction, t.level) for t in jalisco.made_of}
    assert "state Jalisco" in jalisco.name
    assert {(t.feature, t.direction) for t in never.made_of} <= {("speed", "missing"), ("platforms", "low")}
    typical = next(t.typical for t in eager.traits if t.feature == "clicks_30d")
    assert typical == pytest.approx(30, abs=1)
    assert "age" not in {trait.feature for one in found.segments for trait in one.made_of}


@pytest.mark.parametrize("k", [3, 6])
def test_names_are_unique_and_made_of_two_traits_at_most_where_two_do(k: int) -> None:
    X, _ = planted(np.random.default_rng(k), 3000, k)
    found = Segments.learn(X)
    assert len(set(found.names.values())) == k
    for one in found.segments:
        assert one.name == ", ".join(trait.words for trait in one.made_of)
        assert 1 <= len(one.made_of) <= 2


def test_where_all_that_sets_segments_apart_is_one_column_their_names_still_differ() -> None:
    rng = np.random.default_rng(0)
    found = Segments.learn({"spend": rng.normal(np.repeat([0.0, 10.0, 20.0], [900, 800, 700]))})
    assert sorted(found.names.values()) == ["high spend", "low spend", "medium spend"]


def test_no_name_is_given_twice() -> None:
    alike = [Trait("spend", "high", 3.0), Trait("age", "low", 2.0), Trait("state", "is", 1.0, "Sonora", 0.9)]
    taken: set[str] = set()
    for count in range(1, 8):
        name, made_of = named(alike, taken, str(count))
        assert name.startswith(", ".join(trait.words for trait in made_of))
        taken.add(name)
        assert len(taken) == count
    assert {"high spend, low age", "high spend, state Sonora", "high spend, low age (7)"} <= taken


def test_gaps_at_random_make_no_segment_and_leave_the_planted_ones() -> None:
    rng = np.random.default_rng(8)
    X, truth = planted(rng, 3000, 3, gaps=0.0)
    gone = rng.random(3000) < 0.3
    for name in ("n0", "n1", "normal", "skewed"):
        X[name] = np.where(gone, np.nan, X[name])
    found = Segments.learn(X)
    assert len(found.segments) == 3, found.why
    assert adjusted_rand_score(truth, found.assign(X)) > 0.85
    assert not [part for part in found.space.parts if part.kind == "gap"]
