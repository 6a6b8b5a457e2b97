"""Who waits, and who is turned away at once."""

import time

from hypothesis import given
from hypothesis import strategies as st

from serving.turns import Turns


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 8))
def test_never_more_wait_than_may(steps: list[bool], most: int) -> None:
    turns = Turns(most, longest=float("inf"))
    inside: list[float] = []
    for comes in steps:
        if comes:
            entered = turns.enter()
            assert (entered is None) == (len(inside) == most)
            inside += [entered] if entered is not None else []
        elif inside:
            turns.leave(inside.pop(0))


def test_long_requests_let_fewer_wait() -> None:
    turns = Turns(100, longest=0.05)
    for _ in range(60):
        entered = turns.enter()
        assert entered is not None
        time.sleep(0.01)
        turns.leave(entered)
    assert 3 <= sum(turns.enter() is not None for _ in range(100)) <= 6  # of 10 ms each


def test_one_may_always_come_where_nobody_waits() -> None:
    turns = Turns(1, longest=0.001)
    for _ in range(5):
        entered = turns.enter()
        assert entered is not None
        assert turns.enter() is None
        time.sleep(0.005)
        turns.leave(entered)
