"""params.yaml is read through strict models; what is wrong is named with the way out."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.core.errors import ConfigError
from pipelines.core.params import load_params
from tests.conftest import write_params


def test_the_shipped_file_has_both_tenants(tmp_path: Path) -> None:
    assert list(load_params(write_params(tmp_path / "p.yaml", {}))) == ["demo", "bank"]


def test_a_tenant_changes_part_of_a_section_and_keeps_the_rest(tmp_path: Path) -> None:
    tenants = load_params(write_params(tmp_path / "p.yaml", {}))

    assert tenants["bank"].train.targets["conversion"].horizon_days == 1
    assert tenants["bank"].train.lightgbm == tenants["demo"].train.lightgbm


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train": {"holdout_shar": 0.2}}, ("'train.holdout_shar'", "did you mean 'holdout_share'?")),
        ({"train": {"lightgbm": {"num_leafs": 3}}}, ("'train.lightgbm.num_leafs'", "did you mean 'num_leaves'?")),
        ({"trian": {}}, ("'trian'", "did you mean 'train'?")),
        ({"train": {"targets": {"conversion": {"horizn_days": 1}}}}, ("did you mean 'horizon_days'?",)),
        ({"tenants": {"demo": {"sources": {"leads": {"pth": "x"}}}}}, ("did you mean 'path'?",)),
        ({"train": {"holdout_share": 2}}, ("'train.holdout_share'", "is 2", "less than 1")),
        ({"score": {"tiers": {"A": 0.1}}}, ("A > B > C",)),
        ({"tenants": {"demo": {"run": {"end": "2025-01-01"}}}}, ("must grow",)),
    ],
)
def test_a_wrong_parameter_is_named(tmp_path: Path, change: dict[str, Any], words: tuple[str, ...]) -> None:
    path = write_params(tmp_path / "p.yaml", change)

    with pytest.raises(ConfigError) as error:
        load_params(path)

    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)


def test_a_misspelt_required_key_gets_the_nearest_one_too(tmp_path: Path) -> None:
    path = write_params(tmp_path / "p.yaml", {})
    path.write_text(path.read_text().replace("holdout_share", "holdout_shar"))

    with pytest.raises(ConfigError, match=r"'train\.holdout_shar'.*did you mean 'holdout_share'\?"):
        load_params(path)


@pytest.mark.parametrize("text", ["", "tenants: {}", "tenants: [", "- 1"])
def test_a_file_without_tenants_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError) as error:
        load_params(path)

    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no parameter file"):
        load_params(tmp_path / "nowhere.yaml")
