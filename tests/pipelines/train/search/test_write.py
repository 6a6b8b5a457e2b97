"""Found values go to the tenant's own section, and nothing else of the file changes."""

import difflib
import shutil
from pathlib import Path

import pytest

from pipelines.core.errors import ConfigError
from pipelines.core.params import load_params
from pipelines.core.settings import ROOT
from pipelines.train.search.write import as_yaml, write

FOUND = {"lightgbm": {"num_leaves": 9, "learning_rate": 0.0421}, "linear": {"C": 3.5}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


def added(before: str, after: str) -> list[str]:
    """The lines that came; none may go."""
    found = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    assert not [line for line in found if line.startswith("- ")]
    return [line[2:].strip() for line in found if line.startswith("+ ")]


@pytest.mark.parametrize("tenant", ["demo", "bank"])
def test_only_the_tenant_has_them_and_comments_stay(file: Path, tenant: str) -> None:
    before = file.read_text(encoding="utf-8")
    write(file, tenant, FOUND)
    lines = added(before, file.read_text(encoding="utf-8"))
    assert set(lines) <= {"train:", "lightgbm:", "num_leaves: 9", "learning_rate: 0.0421", "linear:", "C: 3.5"}
    was = load_params(ROOT / "params.yaml")
    for name, params in load_params(file).items():
        changed = params.train.lightgbm.num_leaves, params.train.lightgbm.learning_rate, params.train.linear.C
        assert (changed == (9, 0.0421, 3.5)) == (name == tenant)
        assert params.train.xgboost == was[name].train.xgboost
        assert params.train.targets == was[name].train.targets
    assert list(file.parent.iterdir()) == [file]


def test_written_again_they_are_replaced(file: Path) -> None:
    write(file, "bank", FOUND)
    once = file.read_text(encoding="utf-8")
    write(file, "bank", {"linear": {"C": 0.25}})
    assert file.read_text(encoding="utf-8") == once.replace("C: 3.5", "C: 0.25")


def test_what_would_not_be_valid_is_not_written(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="greater than 0"):
        write(file, "demo", {"linear": {"C": -1.0}})
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_cannot_be_written_is_one_sentence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    before = file.read_bytes()
    with pytest.raises(ConfigError, match=r"can't be written \(No space left on device\): paste"):
        write(file, "demo", FOUND)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_what_is_pasted_is_what_would_be_written(file: Path, tmp_path: Path) -> None:
    import yaml

    held = yaml.safe_load(as_yaml("demo", FOUND))
    assert held == {"tenants": {"demo": {"train": FOUND}}}
