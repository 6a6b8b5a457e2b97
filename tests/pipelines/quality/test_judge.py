"""The gate's judge against Great Expectations used plainly, on one frame: the same verdict on every row."""

from collections import defaultdict
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from expectations.contract import Contract, load_contract
from expectations.phones import known_phones
from expectations.rules import ROW_RULES
from expectations.suites import LATEST, Check, checks
from pipelines.core.errors import ContractError
from pipelines.quality import judge as judging
from pipelines.quality.judge import Judge
from pipelines.quality.quiet import quiet

pytestmark = pytest.mark.filterwarnings("ignore:.*condition:DeprecationWarning")

Verdicts = dict[int, set[tuple[str, tuple[str, ...], int]]]
"""For each bad row, the checks it breaks: rule, columns, number."""

CONTRACT = """
kind: DataContract
apiVersion: v3.2.0
id: trips
version: 1.0.0
status: active
schema:
  - name: trips
    quality:
      - {name: later, type: custom, engine: greatExpectations, implementation: {
          type: expect_column_pair_values_a_to_be_greater_than_b,
          kwargs: {column_A: ended, column_B: begun, ignore_row_if: either_value_is_missing}}}
      - {name: dearer, type: custom, engine: greatExpectations, implementation: {
          type: expect_column_pair_values_a_to_be_greater_than_b,
          kwargs: {column_A: price, column_B: cost, or_equal: true, ignore_row_if: both_values_are_missing}}}
      - {name: more, type: custom, engine: greatExpectations, implementation: {
          type: expect_column_pair_values_a_to_be_greater_than_b,
          kwargs: {column_A: seats, column_B: taken, or_equal: true, ignore_row_if: neither}}}
      - {name: same_price, type: custom, engine: greatExpectations, implementation: {
          type: expect_column_pair_values_to_be_equal, kwargs: {column_A: price, column_B: cost}}}
      - {name: same_text, type: custom, engine: greatExpectations, implementation: {
          type: expect_column_pair_values_to_be_equal, kwargs: {column_A: note, column_B: kind}}}
      - {name: pairs, type: custom, engine: greatExpectations, implementation: {
          type: expect_column_pair_values_to_be_in_set,
          kwargs: {column_A: kind, column_B: seats, value_pairs_set: [[a, 1], [b, 2]]}}}
      - {name: sum, type: custom, engine: greatExpectations, implementation: {
          type: expect_multicolumn_sum_to_equal, kwargs: {column_list: [price, cost], sum_total: 3}}}
      - {name: within, type: custom, engine: greatExpectations, implementation: {
          type: expect_select_column_values_to_be_unique_within_record, kwargs: {column_list: [price, cost]}}}
      - {name: once, type: custom, engine: greatExpectations, implementation: {
          type: expect_compound_columns_to_be_unique, kwargs: {column_list: [kind, begun]}}}
    properties:
      - {name: trip_id, logicalType: string, primaryKey: true, primaryKeyPosition: 1,
         logicalTypeOptions: {minLength: 2, maxLength: 6}, quality: [
           {name: one_trip, type: custom, engine: greatExpectations, implementation: {
              type: expect_column_values_to_be_unique}}]}
      - {name: phone, logicalType: string, required: true, classification: restricted,
         logicalTypeOptions: {maxLength: 16},
         customProperties: [{property: entity, value: lead_id}, {property: phone, value: true}]}
      - {name: begun, logicalType: timestamp,
         logicalTypeOptions: {minimum: "2020-01-01", exclusiveMaximum: "2030-01-01"},
         customProperties: [{property: event_time, value: true}]}
      - {name: ended, logicalType: timestamp}
      - {name: day, logicalType: date, logicalTypeOptions: {maximum: "2026-01-02"}}
      - {name: price, logicalType: number, logicalTypeOptions: {exclusiveMinimum: 0, maximum: 2.5}}
      - {name: cost, logicalType: number}
      - {name: seats, logicalType: integer, logicalTypeOptions: {minimum: 1, exclusiveMaximum: 3}, quality: [
           {name: half, type: custom, engine: greatExpectations, implementation: {
              type: expect_column_values_to_be_between, kwargs: {min_value: 0.5, max_value: 2.5}}},
           {name: few_if_any, type: custom, engine: greatExpectations, implementation: {
              type: expect_column_values_to_be_between,
              kwargs: {max_value: 2, row_condition: 'seats > 1', condition_parser: pandas}}},
           {name: some, type: custom, engine: greatExpectations, implementation: {
              type: expect_column_values_to_be_in_set, kwargs: {value_set: [1, 2, 9]}}}]}
      - {name: taken, logicalType: integer, required: true}
      - {name: open, logicalType: boolean, required: true}
      - {name: kind, logicalType: string, enum: [{value: a}, {value: b}], quality: [
           {name: five, type: custom, engine: greatExpectations, implementation: {
              type: expect_column_value_lengths_to_equal, kwargs: {value: 1}}},
           {name: not_c, type: custom, engine: greatExpectations, implementation: {
              type: expect_column_values_to_not_be_in_set, kwargs: {value_set: [c]}}}]}
      - {name: note, logicalType: string, logicalTypeOptions: {pattern: '[a-z é]*'}, quality: [
           {name: no_b, type: custom, engine: greatExpectations, implementation: {
              type: expect_column_values_to_not_match_regex, kwargs: {regex: b}}},
           {name: vowels, type: custom, engine: greatExpectations, implementation: {
              type: expect_column_values_to_match_regex_list, kwargs: {regex_list: [a, e], match_on: any}}},
           {name: no_list, type: custom, engine: greatExpectations, implementation: {
              type: expect_column_values_to_not_match_regex_list, kwargs: {regex_list: [xx, q]}}},
           {name: present, type: custom, engine: greatExpectations, implementation: {
              type: expect_column_values_to_not_be_null}},
           {name: long, type: custom, engine: greatExpectations, implementation: {
              type: expect_column_value_lengths_to_be_between, kwargs: {min_value: 3}}}]}
"""

KNOWN = ["+525512345678"]
OWN = {
    "expect_column_values_to_be_readable",
    "expect_column_values_to_be_valid_phones",
    "expect_column_values_to_hold_no_phone",
}


def cells(*values: Any) -> st.SearchStrategy[Any]:
    """One of some values, or none."""
    return st.sampled_from([None, *values])


MOMENTS = st.none() | st.datetimes(datetime(2019, 12, 31), datetime(2020, 1, 2)) | cells(
    datetime(2020, 1, 1), datetime(2030, 1, 1), datetime(2029, 12, 31, 23, 59, 59, 999999), datetime(3000, 1, 1)
)  # fmt: skip
ROW = st.fixed_dictionaries(
    {
        "trip_id": cells("t", "t1", "t2") | st.text("t0é😀", max_size=8),
        "phone": cells("+525512345678", "+52 55 1234 5678", "5512345678", "+1", "", "+525512345678000000"),
        "begun": MOMENTS,
        "ended": MOMENTS,
        "day": MOMENTS.map(lambda moment: moment and moment.date()),
        "price": cells(0.0, -0.0, 1.0, 2.5, 2.5000000000000004, -1e300, 525512345678.0) | st.floats(-1, 3),
        "cost": cells(0.0, 1.0, 2.0, 5512345678.0),
        "seats": cells(-1, 0, 1, 2, 3, 9, 2**53 - 1),
        "taken": cells(0, 1, 2, 525512345678, -5512345678),
        "open": cells(True, False),
        "kind": cells("a", "b", "c", "", "é"),
        "note": cells("a", "abc", "xx", "call 55 1234 5678", "+1 650 253 0000", "12345678")
        | st.text("abeq é", max_size=4),
        LATEST: st.just(datetime(2026, 1, 1)),
    }
)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    path = tmp_path_factory.mktemp("contract") / "trips.yaml"
    path.write_text(CONTRACT, encoding="utf-8")
    return load_contract(path)


def schema_of(contract: Contract) -> pa.Schema:
    types = {
        "string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us"), "date": pa.date32(),
    }  # fmt: skip
    fields = [(column.name, types[column.type]) for column in contract.columns]
    return pa.schema([*fields, (LATEST, pa.timestamp("us"))])


def plainly(rows: pa.Table, suite: list[Check]) -> Verdicts:
    """Great Expectations as its documentation shows it: one frame, COMPLETE with an index column."""
    quiet()
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("plain").add_dataframe_asset("rows")
    frame = rows.to_pandas(date_as_object=False).reset_index(names="row")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    expectations = [check.expectation.copy() for check in suite]
    for number, expectation in enumerate(expectations):
        expectation.meta = {"number": number}
    told = {"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]}
    found: Verdicts = defaultdict(set)
    for result in batch.validate(
        gx.ExpectationSuite(name="all", expectations=expectations), result_format=told
    ).results:
        number = result.expectation_config.meta["number"]
        assert "unexpected_index_list" in result.result or result.success, (suite[number], result.exception_info)
        for entry in result.result.get("unexpected_index_list") or []:
            found[entry["row"]].add((suite[number].rule, suite[number].columns, number))
    return dict(found)


def judged(rows: pa.Table, suite: list[Check], size: int, together: bool) -> tuple[Verdicts, Judge]:
    judge, found = Judge(suite), defaultdict(set)
    for start in range(0, rows.num_rows, size):
        chunk = rows.slice(start, size)
        for number, mask in judge.bad(chunk, {}, chunk if together else None):
            for row in mask.nonzero()[0]:
                found[start + int(row)].add((suite[number].rule, suite[number].columns, number))
    return dict(found), judge


def test_the_suite_has_every_kind_of_rule(contract: Contract) -> None:
    assert {check.expectation.expectation_type for check in checks(contract)} == {*ROW_RULES, *OWN}


@settings(deadline=None, max_examples=15, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(rows=st.lists(ROW, min_size=1, max_size=40), size=st.sampled_from([7, 19, 40]), remembered=st.integers(0, 4))
def test_every_row_gets_the_verdict_of_plain_great_expectations(
    contract: Contract, rows: list[dict[str, Any]], size: int, remembered: int
) -> None:
    table = pa.Table.from_pylist(rows, schema_of(contract))
    whole = size >= len(rows)  # rules that compare rows are asked about all rows that may be alike, at once
    suite = [check for check in checks(contract) if check.rule != "type" and (whole or not check.unique)]
    with known_phones(lambda: pa.array(KNOWN)), pytest.MonkeyPatch.context() as patch:
        if remembered:
            patch.setattr(judging, "_REMEMBERED", remembered)
        wanted = plainly(table, suite)
        found, judge = judged(table, suite, size, whole)
    assert found == wanted
    for number, tally in enumerate(judge.tallies):
        assert tally.rows == len(rows)
        assert tally.unexpected == sum(any(broken[2] == number for broken in row) for row in wanted.values())


def test_unreadable_cells_are_bad_as_plain_great_expectations_finds_them(contract: Contract) -> None:
    texts = pa.chunked_array([pa.array(["many", None, "3,5", None])])
    suite = [check for check in checks(contract) if check.rule == "type" and check.columns == ("seats",)]
    rows = pa.Table.from_pylist([{LATEST: datetime(2026, 1, 1)}] * 4, schema_of(contract))
    [(_, mask)] = Judge(suite).bad(rows, {"seats": texts})
    assert set(mask.nonzero()[0]) == set(plainly(pa.table({"seats": texts}), suite)) == {0, 2}


def test_a_number_is_a_phone_from_the_chunk_on_in_which_it_is_known(contract: Contract) -> None:
    suite = [check for check in checks(contract) if check.rule == "personal" and check.columns == ("taken",)]
    rows = pa.Table.from_pylist([{"taken": 525512345678}, {"taken": 1}], schema_of(contract))
    judge = Judge(suite)
    assert judge.bad(rows, {}) == []
    with known_phones(lambda: pa.array(KNOWN)):
        [(_, mask)] = judge.bad(rows, {})
    assert mask.tolist() == [True, False]


def test_values_seen_before_are_not_asked_about_again(contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = Judge._ask

    def counted(self: Judge, group: Any, cells: Any, rows: Any) -> Any:
        asked.append(len(rows))
        return real(self, group, cells, rows)

    monkeypatch.setattr(Judge, "_ask", counted)
    suite = [check for check in checks(contract) if check.columns == ("seats",) and check.rule != "type"]
    judge = Judge(suite)
    rows = pa.Table.from_pylist([{"seats": number % 5} for number in range(1000)], schema_of(contract))
    first = judge.bad(rows, {})
    assert sum(asked) < 30
    asked.clear()
    assert [mask.tolist() for _, mask in judge.bad(rows, {})] == [mask.tolist() for _, mask in first]
    assert asked == []


def test_rule_that_can_not_be_run_is_said() -> None:
    from great_expectations.expectations import ExpectColumnValuesToBeBetween

    check = Check("range", ("kind",), ExpectColumnValuesToBeBetween(column="kind", min_value=1), shown=True)
    with pytest.raises(ContractError, match="rule 'range' on kind can't be run"):
        Judge([check]).bad(pa.table({"kind": ["a"]}), {})
