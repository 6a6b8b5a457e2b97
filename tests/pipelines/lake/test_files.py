"""DuckDB reads from the data files themselves what PyIceberg reads through Arrow."""

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from pipelines.core.errors import StoreLost
from pipelines.lake.catalog import Lake
from pipelines.lake.files import fed
from tests.conftest import MakeTenant

START = datetime(2026, 1, 1)
NAME = "clean.t"


def rows(first: int, count: int, **more: str) -> pa.Table:
    numbers = range(first, first + count)
    columns = {
        "n": pa.array(numbers, pa.int64()),
        "share": pa.array([number / 7 for number in numbers], pa.float64()),
        "good": pa.array([number % 2 == 0 for number in numbers], pa.bool_()),
        "at": pa.array([START + timedelta(days=number) for number in numbers], pa.timestamp("us")),
        "day": pa.array([None] * count, pa.date32()),
    }
    return pa.table(columns | {name: [value] * count for name, value in more.items()})


@pytest.fixture
def lake(make_tenant: MakeTenant) -> Lake:
    """A table with a file of older columns, one of which rows were deleted, and one whose rows came first."""
    lake = Lake(make_tenant())
    for table in (rows(10, 5), rows(20, 5, late="it's"), rows(0, 5, late="ä")):
        lake.write(NAME, table.schema, [table], replace=("n", [13, 21]))
    iceberg = lake.table(NAME)
    assert iceberg is not None
    with iceberg.update_schema() as update:
        update.rename_column("share", "part")
    return lake


COLUMNS = ["n", "part", "good", "at", "day", "late"]


@pytest.mark.parametrize("columns", [COLUMNS, ["late", "n"]])
def test_files_and_stream_hold_the_same_rows(lake: Lake, columns: list[str]) -> None:
    listed = ", ".join(f'"{one}"' for one in columns)
    with duckdb.connect() as connection, fed(connection, lake, NAME, columns=columns) as source:
        found = connection.sql(f"SELECT {listed} FROM {source}").to_arrow_table()
    expected = lake.read(NAME, columns=columns).select(columns)
    assert found.schema.names == columns
    assert found.sort_by("n").to_pylist() == expected.sort_by("n").to_pylist()
    assert found.num_rows == 13


def test_files_are_read_in_order_of_what_they_reach_to(lake: Lake) -> None:
    with duckdb.connect() as connection, fed(connection, lake, NAME, columns=["n", "at"], order="at") as source:
        assert "read_parquet" in source or not lake.tenant.lake_url.startswith("file")
        numbers = [n for [n] in connection.sql(f"SELECT n FROM {source}").fetchall()]
    if "read_parquet" in source:
        assert numbers == sorted(numbers)


def test_files_without_the_rows_asked_for_are_left_out(lake: Lake) -> None:
    where = f"at >= '{(START + timedelta(days=15)).isoformat()}'"
    with duckdb.connect() as connection, fed(connection, lake, NAME, columns=["n", "at"], where=where) as source:
        numbers = [n for [n] in connection.sql(f"SELECT n FROM {source} ORDER BY n").fetchall()]
    assert numbers == [20, 22, 23, 24]


def test_a_file_deleted_by_hand_is_told_with_table_and_way_out(lake: Lake) -> None:
    table = lake.table(NAME)
    assert table is not None
    gone = next(iter(table.scan().plan_files())).file.file_path
    table.io.delete(gone)
    with (
        pytest.raises(StoreLost) as told,
        duckdb.connect() as connection,
        fed(connection, lake, NAME, columns=["n"]) as source,
    ):
        connection.sql(f"SELECT n FROM {source}").fetchall()
    assert str(told.value).startswith(f"table {NAME} of tenant '{lake.tenant.name}': the file ")
    assert Path(gone).name in str(told.value)
