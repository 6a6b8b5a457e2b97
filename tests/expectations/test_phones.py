"""The fast way to judge phones agrees with libphonenumber, number by number."""

import base64
import csv

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.phones import hold_phones, known_phones, normalise
from tests.conftest import REAL_DATA


def library(text: str) -> str | None:
    """libphonenumber's own verdict."""
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.from_regex(r"\+(52|1|44|39|7|61|54|55|49)[0-9]{8,11}", fullmatch=True), min_size=1, max_size=30))
def test_agrees_with_the_library(texts: list[str]) -> None:
    assert normalise(pa.array(texts)).to_pylist() == [library(text) for text in texts]


def test_agrees_on_examples_of_every_region() -> None:
    path = REAL_DATA / "phone_numbers" / "example_numbers.csv"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    with path.open(encoding="utf-8") as file:
        texts = [f"+{row['country_code']}{row['national_number']}" for row in csv.DictReader(file)]
    changed = [text[:-1] + str((int(text[-1]) + 3) % 10) for text in texts] + [text[:-1] for text in texts]
    every = texts + changed
    assert normalise(pa.array(every)).to_pylist() == [library(text) for text in every]


def test_writes_e164_and_keeps_places() -> None:
    texts = pa.array(["+52 55 1234 5678", None, "5512345678", "unknown", "+525512345678", "+5255123O5678", ""])
    assert normalise(texts).to_pylist() == ["+525512345678", None, None, None, "+525512345678", None, None]
    assert normalise(pa.array([], pa.string())).to_pylist() == []


KNOWN = ["+525512345678", "+12025550123", "no phone", "5512345679", ""]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("+525512345678", True),
        ("525512345678", True),
        ("5512345678", True),
        ("(55) 1234-5678", True),
        ("Telcel, call 55/1234/5678!", True),
        ("2026-03-01 10:00:00 and 5512345678", True),
        ("+525598765432", True),  # not known, and valid with its plus
        (base64.b64encode(b"+525512345678").decode(), True),
        (base64.b64encode(b"5512345678").decode(), True),
        ("5512345679", False),  # an id may be as long
        ("order 20260301123456", False),
        ("2026-03-01 10:00:00", False),
        (base64.b64encode(b"5512345679").decode(), False),
        ("", False),
        (None, False),
    ],
)
def test_a_cell_holds_a_phone(cell: str | None, expected: bool) -> None:
    with known_phones(lambda: pa.array(KNOWN)):
        assert hold_phones(pa.array([cell, "x"])).to_pylist() == [expected, False]


def test_numbers_hold_phones_and_times_do_not() -> None:
    with known_phones(lambda: pa.array(KNOWN)):
        assert hold_phones(pa.array([525512345678, 5512345678, 7, None])).to_pylist() == [True, True, False, False]
        floats = [5512345678.0, 5512345678.5, float("nan"), float("inf"), 1e300]
        assert hold_phones(pa.array(floats)).to_pylist() == [True, False, False, False, False]
        assert hold_phones(pa.array([5512345678], pa.timestamp("us"))).to_pylist() == [False]


def test_without_known_numbers_only_a_plus_tells() -> None:
    assert hold_phones(pa.array(["5512345678", "+525512345678"])).to_pylist() == [False, True]
