"""The fast way to judge phones agrees with libphonenumber, number by number."""

import csv

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.phones import normalise
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
