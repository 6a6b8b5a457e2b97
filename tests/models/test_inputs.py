import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.inputs import Column, InputError, Inputs, infer_kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pd.Series([1, 2]), "numeric"),
        (pd.Series([1.5, None]), "numeric"),
        (pd.Series([1, None], dtype="Int64"), "numeric"),
        (pd.Series([None, None], dtype=object), "numeric"),
        (pd.Series([True, False]), "boolean"),
        (pd.Series([True, None], dtype="boolean"), "boolean"),
        (pd.Series([True, None], dtype=object), "boolean"),
        (pd.Series(["a", None]), "categorical"),
        (pd.Series(["a", "b"], dtype="category"), "categorical"),
        ([None, "a"], "categorical"),
        ([None, 1], "numeric"),
    ],
)
def test_kinds_are_inferred(values: object, kind: str) -> None:
    assert infer_kind(values) == kind


@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=30))
def test_a_code_is_the_place_of_its_text(texts: list[str | None]) -> None:
    inputs = Inputs.learn({"c": texts}, {"c": "categorical"})
    codes = inputs.encode({"c": texts})[:, 0]
    decoded = [None if np.isnan(code) else inputs.columns[0].categories[int(code)] for code in codes]
    assert decoded == texts


@given(st.lists(st.one_of(st.none(), st.sampled_from("abcz")), min_size=1, max_size=20))
def test_pandas_categories_and_plain_texts_encode_alike(texts: list[str | None]) -> None:
    inputs = Inputs([Column("c", "categorical", ("a", "b", "c"))])
    plain = inputs.encode({"c": texts})
    frame = pd.DataFrame({"c": pd.Series(texts, dtype="category")})
    np.testing.assert_array_equal(inputs.encode(frame), plain)
    np.testing.assert_array_equal(inputs.encode(pd.DataFrame({"c": pd.Series(texts, dtype=object)})), plain)


def test_booleans_with_gaps_in_any_form() -> None:
    inputs = Inputs([Column("b", "boolean")])
    expected = np.array([[1.0], [0.0], [np.nan]])
    for values in (
        [True, False, None],
        pd.Series([True, False, None], dtype=object),
        pd.Series([True, False, None], dtype="boolean"),
        pd.Series([1.0, 0.0, np.nan]),
    ):
        np.testing.assert_array_equal(inputs.encode({"b": values}), expected)


def test_json_round_trip() -> None:
    inputs = Inputs.learn(pd.DataFrame({"n": [1.0], "é": ["ü"], "b": [True]}))
    assert Inputs.from_json(inputs.to_json()) == inputs


def test_a_categorical_column_of_numbers_is_refused() -> None:
    with pytest.raises(InputError, match="'c' is categorical but holds 1"):
        Inputs.learn({"c": ["a", 1]}, {"c": "categorical"})


def test_a_misspelt_column_is_helped() -> None:
    with pytest.raises(InputError, match="did you mean 'balanse'"):
        Inputs([Column("balance", "numeric")]).encode({"balanse": [1.0]})
