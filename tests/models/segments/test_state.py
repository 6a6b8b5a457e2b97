"""State, what cannot be split, summaries, and a million leads."""

import json
import math
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from models.inputs import InputError
from models.segments import Limits, Segments, Tally, budget, follow
from tests.models.segments.leads import planted


def test_state_is_json_and_its_round_trip_exact(learnt) -> None:
    segments, X, _ = learnt
    state = segments.to_json()
    json.loads(state)
    back = Segments.from_json(state)
    assert back.to_json() == state
    assert (back.segments, back.tried, back.space) == (segments.segments, segments.tried, segments.space)
    np.testing.assert_array_equal(back.centres, segments.centres)
    np.testing.assert_array_equal(back.assign(X), segments.assign(X))


@pytest.mark.parametrize("state", [b"", b"[]", b"{}", b'{"format": 2}', b'{"format": 1, "space": {"inputs": 3}}'])
def test_other_state_is_refused(state: bytes) -> None:
    with pytest.raises(InputError, match="learn anew"):
        Segments.from_json(state)


@pytest.mark.parametrize(
    ("X", "said"),
    [
        ({"a": [1.0], "b": ["x"]}, "no column tells leads apart"),
        ({"a": [1.0, 2.0], "b": ["x", "y"]}, "too few"),
        ({"a": [3.0] * 200}, "'a': it is always 3"),
        ({"a": [None] * 200, "b": [math.nan] * 200}, "'a': no value is known; 2 in all"),
        ({"a": ["x"] * 200}, "'a': it is always 'x'"),
        ({"id": [f"lead {i}" for i in range(500)]}, "'id': it has 500 values, most of them rare"),
        ({"a": [True, False] * 200}, "no split"),
        ({"a": [math.inf, 1e300, -1.0, 2.0] * 100}, "no split"),
    ],
)
def test_what_cannot_be_split_is_one_segment_and_says_why(X, said: str) -> None:
    found = Segments.learn(X)
    assert list(found.names.items()) == [(1, "all leads")]
    assert said in found.why
    assert set(found.assign(X)) == {1}
    assert Segments.from_json(found.to_json()).to_json() == found.to_json()
    day = follow(found, X)
    assert day.segments.names == found.names


def test_unusable_input_is_refused_in_a_sentence(learnt) -> None:
    with pytest.raises(InputError, match="the sample has no row"):
        Segments.learn({"a": []})
    with pytest.raises(InputError, match="no column"):
        Segments.learn({})
    with pytest.raises(InputError, match="'n0' is missing"):
        learnt[0].assign({"n1": [1.0]})
    for wrong in ({"most": 0}, {"rows": 5}, {"stable": 1.5}, {"valley": 0}, {"smallest": 0.5}, {"seed": -1}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))} of segments must be"):
            Limits(**wrong)


def test_a_summary_of_batches_is_that_of_the_whole(learnt) -> None:
    segments, X, _ = learnt
    ids = segments.assign(X)
    frame = pd.DataFrame(X).assign(id=ids, p=np.random.default_rng(0).uniform(0, 0.3, len(ids)))
    tally = Tally(segments, ["p", "n0"], ["text"])
    for start in range(0, len(frame), 700):
        batch = frame.iloc[start : start + 700]
        tally.add(batch["id"], batch)
    found = tally.read("p", floor=0.05)
    grouped = frame.groupby("id")
    assert [one.size for one in found] == sorted(grouped.size(), reverse=True)
    for one in found:
        rows = grouped.get_group(one.id)
        assert one.name == segments.names[one.id]
        assert one.share == len(rows) / len(frame)
        assert one.means == pytest.approx({"p": rows["p"].mean(), "n0": rows["n0"].mean()})
        counts = rows["text"].value_counts()
        assert one.mostly["text"] == (counts.index[0], pytest.approx(counts.iloc[0] / counts.sum()))
    worth = {one.id: one.size * (one.means["p"] - 0.05) for one in found}
    assert {one.id: one.budget for one in found} == pytest.approx(
        {i: w / sum(worth.values()) for i, w in worth.items()}
    )


def test_a_summary_of_nothing_and_of_what_is_not_there(learnt) -> None:
    segments = learnt[0]
    nothing = Tally(segments, ["p"], ["text"]).read("p")
    assert {(one.size, one.means["p"], one.mostly["text"], one.budget) for one in nothing} == {(0, None, None, 0.0)}
    for ids, X, said in (
        ([99], {"p": [0.1], "text": ["x"]}, "no segment 99"),
        ([1], {"P": [0.1], "text": ["x"]}, "'p' of the summary is missing"),
        ([1], {"p": [0.1, 0.2], "text": ["x"]}, "do not fit"),
        ([1], {"p": ["much"], "text": ["x"]}, "must hold numbers"),
    ):
        with pytest.raises(InputError, match=said):
            Tally(segments, ["p"], ["text"]).add(ids, X)
    with pytest.raises(InputError, match="floor of the budget"):
        Tally(segments, ["p"]).read("p", floor=-1)


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.floats(0, 1)), min_size=1, max_size=8), st.sampled_from([0, 0.02, 1])
)
def test_budget_shares_sum_to_1_and_grow_with_what_is_expected(segments, floor: float) -> None:
    sizes, rates = (np.array(one) for one in zip(*segments, strict=True))
    shares = budget(sizes, rates, floor)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1.0 if sizes.sum() else 0.0)
    if (sizes * (rates > floor)).any():
        assert not shares[rates <= floor].any(), "nothing below the floor, where something is above it"


@pytest.mark.slow
def test_a_million_leads_are_assigned_in_flat_memory() -> None:
    """Prints the figures under `pytest -s`."""
    X, truth = planted(np.random.default_rng(0), 1_000_000, 5, numbers=34)
    leads = pd.DataFrame(X).astype({"text": "category", "text2": "category"})
    start = time.perf_counter()
    segments = Segments.learn(leads.iloc[:20_000])
    learning = time.perf_counter() - start
    start = time.perf_counter()
    ids = segments.assign(leads)
    assigning = time.perf_counter() - start
    tracemalloc.start()
    segments.assign(leads)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    print(
        f"\n20,000 x 40 learnt in {learning:.1f} s; 1,000,000 x 40 assigned in {assigning:.1f} s, {peak:.0f} MiB more"
    )
    assert adjusted_rand_score(truth, ids) > 0.95
    assert peak < 100
