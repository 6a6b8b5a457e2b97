"""Every byte is Feast's: messages, texts, keys and times of any value, against Feast's own code."""

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.features.engine import encode

MOMENTS = st.datetimes(datetime(1678, 1, 1), datetime(2262, 1, 1))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.float64(): st.floats() | st.sampled_from([0.0, -0.0]),
    pa.int64(): INT64 | st.sampled_from([0, -1, 127, 128, 2**53 + 1, -(2**63), 2**63 - 1]),
    pa.string(): TEXTS | st.sampled_from(["", "\0", "a\0b", "x" * 128, "ñ🦙"]),
    pa.timestamp("us"): MOMENTS | st.sampled_from([datetime(1969, 12, 31, 23, 59, 59, 500_000), datetime(1970, 1, 1)]),
}
FEAST = {
    pa.bool_(): "BOOL",
    pa.float64(): "DOUBLE",
    pa.int64(): "INT64",
    pa.string(): "STRING",
    pa.timestamp("us"): "UNIX_TIMESTAMP",
}


def theirs(values: list[Any], kind: pa.DataType) -> list[tuple[bytes, str | None]]:
    """Message and text of each value by Feast: one at a time, so that a null beside it changes nothing."""
    from feast import ValueType
    from feast.infra.online_stores.helpers import extract_text_and_num
    from feast.type_map import python_values_to_proto_values

    made = []
    for value in values:
        column = pa.array([value], kind).to_numpy(zero_copy_only=False)
        made.append(python_values_to_proto_values(column, ValueType[FEAST[kind]])[0])
    return [(one.SerializeToString(), extract_text_and_num(one, False)[0]) for one in made]


@pytest.mark.parametrize("kind", encode.KINDS, ids=str)
@settings(deadline=None)  # the first example imports Feast
@given(data=st.data())
def test_messages_and_texts_are_those_of_feast(kind: pa.DataType, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | VALUES[kind], max_size=12))
    column = pa.chunked_array([pa.array(values, kind)])
    ours = zip(encode.messages(column, kind).to_pylist(), encode.texts(column, kind).to_pylist(), strict=True)
    assert list(ours) == theirs(values, kind)


@given(st.lists(st.floats(-1e12, 1e12) | st.integers(-(10**17), 10**17).map(float), min_size=20))
def test_texts_of_floats_are_those_of_python(values: list[float]) -> None:
    some = [value / 10**power for value in values for power in range(9)]
    found = encode.texts(pa.chunked_array([pa.array(some, pa.float64())]), pa.float64())
    assert found.to_pylist() == [repr(one) for one in some]


@pytest.mark.parametrize("kind", [pa.int64(), pa.string()], ids=str)
@given(data=st.data())
def test_keys_are_those_of_feast_and_can_be_read_back(kind: pa.DataType, data: st.DataObject) -> None:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    values = data.draw(st.lists(VALUES[kind], max_size=12))
    name = data.draw(st.sampled_from(["lead_id", "x", "número"]))
    field = "int64_val" if kind == pa.int64() else "string_val"
    wanted = [EntityKey(join_keys=[name], entity_values=[Value(**{field: one})]) for one in values]
    column = pa.chunked_array([pa.array(values, kind)])
    found = encode.keys(name, column).to_pylist()
    assert found == [serialize_entity_key(one, 3) for one in wanted]
    assert encode.unpack_keys(name, found) == values
    tailed = encode.keys(name, column, b"shop").to_pylist()
    assert tailed == [key + b"shop" for key in found]
    assert encode.unpack_keys(name, [*tailed, b"", encode.key_head(name)], b"shop") == values
    assert [encode.key_tail(key) for key in tailed] == [b"shop"] * len(values)
    assert encode.key_tail(b"") == encode.key_tail(b"\xff" * 40) == b""
    assert encode.unpack_keys(name, tailed, b"hop") == encode.unpack_keys(name + "_", found) == []


@given(st.lists(MOMENTS, min_size=1))
def test_times_are_those_of_feast(moments: list[datetime]) -> None:
    from feast.infra.online_stores.sqlite import adapt_datetime_epoch

    column = pa.chunked_array([pa.array(moments, pa.timestamp("us"))])
    assert encode.stamps(column, adapt_datetime_epoch) == [adapt_datetime_epoch(one) for one in moments]
