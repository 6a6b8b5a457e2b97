"""The notebook runs as it is, on a tenant that went the whole way, and is kept without outputs."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from pipelines.core.settings import ROOT
from pipelines.core.tenant import Tenant

NOTEBOOK = ROOT / "notebooks" / "explore.ipynb"


def test_the_notebook_is_kept_without_outputs() -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


@pytest.mark.slow
def test_the_notebook_runs_and_agrees_with_the_run(
    demo: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEADWISE_TENANT", raising=False)
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    copy = Path(shutil.copy(NOTEBOOK, tmp_path))
    before = {path: path.stat().st_mtime_ns for path in demo.lake_dir.rglob("*") if path.is_file()}
    book = nbformat.read(copy, as_version=4)
    NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert {path: path.stat().st_mtime_ns for path in demo.lake_dir.rglob("*") if path.is_file()} == before
    said = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in said) == 3
    text = "\n".join(output["text"] for output in said if output.output_type == "stream" and output.name == "stdout")
    here, run = (
        line.partition(word)[2][:6] for line in text.splitlines() for word in ("here ", "says ") if word in line
    )
    assert here == run, "the champion's log loss on the notebook's holdout is the one that its run recorded"
    assert not [output.text for output in said if output.output_type == "stream" and output.name == "stderr"]
