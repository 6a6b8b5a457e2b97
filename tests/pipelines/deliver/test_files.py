"""Files are whole or not there; CSV holds no formula."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.core.errors import ConfigError
from pipelines.deliver.files import defuse, replacing


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "\n@x"]
)
def test_formulas_are_text(text: str) -> None:
    assert defuse(pa.table({"x": [text]}))["x"].to_pylist() == ["'" + text]


@pytest.mark.parametrize("text", ["JAL", "+525512345678", "-5", "-5.25", "", None, "a=b", "x@y.mx"])
def test_what_holds_no_formula_stays(text: str | None) -> None:
    assert defuse(pa.table({"x": pa.array([text], pa.string())}))["x"].to_pylist() == [text]


def test_numbers_are_left_alone() -> None:
    table = pa.table({"x": [-1.5]})

    assert defuse(table).equals(table)


def test_a_failure_keeps_the_old_files_and_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def dying() -> None:
        with replacing(tmp_path / "a", tmp_path / "b") as (a, _):
            a.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        dying()

    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_folder_that_can_not_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="can't be written"), replacing(tmp_path / "file" / "a"):
        pass


def test_drafts_that_a_killed_run_left_go_and_other_files_stay(tmp_path: Path) -> None:
    """They may hold phones."""
    for name in (".audience.csv.k1ll3d", ".audience.parquet.x", "audience.csv.mine", ".other.csv.x"):
        (tmp_path / name).write_text("+525512345678", encoding="utf-8")
    with replacing(tmp_path / "audience.csv") as [draft]:
        draft.write_text("new", encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".audience.parquet.x", ".other.csv.x", "audience.csv", "audience.csv.mine",
    ]  # fmt: skip
