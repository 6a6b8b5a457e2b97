"""A number is found however it is written; held against the tests' own search."""

import base64

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations.phones import parts
from pipelines.privacy.traces import Traces
from tests.leaks import Search
from tests.test_leaks import FORMS

PHONE = "+525512345678"


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"in a link"}))
def test_every_form(form: str) -> None:
    assert Traces([PHONE]).text(f"x {FORMS[form]} y")
    assert not Traces(["+525512345679"]).text(f"x {FORMS[form]} y")


def test_rows_of_every_kind() -> None:
    rows = pa.table(
        {
            "text": ["a", "tel 55 1234 5678", None, "b", "c", "d"],
            "whole": pa.array([1, 2, 525512345678, None, 5, 6], pa.int64()),
            "number": pa.array([1.5, float("nan"), None, 5512345678.0, float("inf"), 6.0]),
            "list": [["x"], [], None, [], [PHONE], []],
            "day": pa.array([1, 2, 3, 4, 5, 6], pa.date32()),
        }
    )
    assert Traces([PHONE]).rows(rows).to_pylist() == [False, True, True, True, True, False]
    assert Traces([]).rows(rows).to_pylist() == [False] * 6


@given(st.binary(max_size=5), st.binary(max_size=5), st.sampled_from([PHONE, "5512345678"]))
def test_in_base64_among_anything(before: bytes, after: bytes, number: str) -> None:
    coded = base64.b64encode(before + number.encode() + after).decode()
    assert Traces([PHONE]).text(coded)
    assert Search([("52", "5512345678")])._in(coded.encode())


@pytest.mark.parametrize(
    ("phone", "expected"),
    [(PHONE, ("52", "5512345678")), ("+12025550123", ("1", "2025550123")), ("+35312345678", ("353", "12345678"))],
)
def test_parts(phone: str, expected: tuple[str, str]) -> None:
    assert parts(phone) == expected
