"""Expectations of our own, in Great Expectations' manner. Importing this registers them."""

from typing import Any

import pandas as pd
import pyarrow as pa
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.metrics import ColumnMapMetricProvider, column_condition_partial

from expectations.phones import hold_phones, normalise


class _ValidPhone(ColumnMapMetricProvider):  # type: ignore[misc]
    """Whether each value is a valid phone number with country code."""

    condition_metric_name = "column_values.valid_phone"

    @column_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column: pd.Series, **kwargs: Any) -> pd.Series:  # noqa: N805 - made a class method
        valid = normalise(pa.array(column, pa.string())).is_valid()
        return pd.Series(valid.to_numpy(zero_copy_only=False), index=column.index)


class _NoPhone(ColumnMapMetricProvider):  # type: ignore[misc]
    """Whether each value holds no phone."""

    condition_metric_name = "column_values.no_phone"

    @column_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column: pd.Series, **kwargs: Any) -> pd.Series:  # noqa: N805 - made a class method
        return ~pd.Series(hold_phones(pa.array(column)).to_numpy(zero_copy_only=False), index=column.index)


class _Readable(ColumnMapMetricProvider):  # type: ignore[misc]
    """Whether each value could be read as its type: the column holds the texts of those that could not."""

    condition_metric_name = "column_values.readable"
    condition_value_keys = ("logical_type",)

    @column_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column: pd.Series, **kwargs: Any) -> pd.Series:  # noqa: N805 - made a class method
        return column.isna()


class ExpectColumnValuesToBeValidPhones(ColumnMapExpectation):  # type: ignore[misc]
    """Expect phone numbers that exist, with country code (E.164), by libphonenumber's metadata."""

    map_metric = "column_values.valid_phone"


class ExpectColumnValuesToHoldNoPhone(ColumnMapExpectation):  # type: ignore[misc]
    """Expect no phone number in a column that is not said to be personal; see `phones.hold_phones`."""

    map_metric = "column_values.no_phone"


class ExpectColumnValuesToBeReadable(ColumnMapExpectation):  # type: ignore[misc]
    """Expect values that can be read as the column's logical type."""

    logical_type: str

    map_metric = "column_values.readable"
    success_keys = ("logical_type", "mostly")
