"""params.yaml is read through strict models; what is wrong is named with the way out."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.core.errors import ConfigError
from pipelines.core.params import Source, load_params
from pipelines.core.settings import ROOT
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
        ({"train": {"candidates": ["linear", "scorer"]}}, ("'train'", "linear last: linear, scorer")),
        ({"train": {"candidates": ["linear"]}}, ("one besides linear",)),
        ({"trian": {}}, ("'trian'", "did you mean 'train'?")),
        ({"train": {"targets": {"conversion": {"horizn_days": 1}}}}, ("did you mean 'horizon_days'?",)),
        ({"tenants": {"demo": {"sources": {"leads": {"pth": "x"}}}}}, ("did you mean 'path'?",)),
        ({"train": {"holdout_share": 2}}, ("'train.holdout_share'", "is 2", "less than 1")),
        ({"score": {"tiers": {"A": 0.1}}}, ("A > B > C",)),
        ({"tune": {"space": {"linear": {"c": {"low": 1, "high": 2}}}}}, ("train.linear has no 'c'", "choose one of C")),
        ({"tune": {"space": {"linear": {"C": {"low": 0, "log": False}}}}}, ("train.linear.C can't be 0",)),
        ({"tune": {"space": {"lightgbm": {"subsample": {"high": 2}}}}}, ("subsample can't be 2", "less than or equal")),
        ({"tune": {"space": {"xgboost": {"max_depth": {"high": 4.5}}}}}, ("max_depth can't be 4.5",)),
        ({"tune": {"space": {"linear": {"C": {"low": 3, "high": 2}}}}}, ("needs low < high",)),
        ({"tune": {"space": {"liner": {}}}}, ("did you mean 'linear'?",)),
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


_SHOP = "postgresql://u:topsecret@h/d"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"connection": _SHOP, "query": "SELECT 1"}, "put the URL into the environment variable LEADWISE_CONN_<NAME>"),
        ({"path": _SHOP}, "does not belong in params.yaml"),
        ({"path": "s3://key:topsecret@bucket/a.csv"}, "does not belong in params.yaml"),
        ({"path": "s3://bucket/a.csv", "password": "topsecret"}, "'password': an address or a password"),
        ({"url": _SHOP, "query": "SELECT 1"}, "'url': an address or a password"),
        ({"connection": "top secret", "query": "SELECT 1"}, "'connection' is the name of a connection"),
        ({"path": "a.csv", "query": "SELECT 'topsecret'", "connection": "shop"}, "not both"),
        ({"query": "SELECT 'topsecret'"}, "needs connection"),
        ({}, "either path"),
        ({"query": "DELETE FROM t", "connection": "shop"}, "one SELECT"),
        ({"query": "SELECT 1 WHERE a > :start", "connection": "shop"}, "write both"),
        ({"path": "{date}.csv", "grows": True}, "leave {date} out"),
        ({"path": "a.csv", "connection": "shop"}, "is for s3://"),
        ({"query": "SELECT 1", "connection": "shop", "grows": True}, "are of files"),
    ],
)
def test_a_source_that_makes_no_sense_is_told_without_its_secrets(
    tmp_path: Path, source: dict[str, Any], words: str
) -> None:
    path = write_params(tmp_path / "p.yaml", {"tenants": {"demo": {"sources": {"fresh": source}}}})

    with pytest.raises(ConfigError) as error:
        load_params(path)

    assert words in str(error.value)
    assert "sources.fresh" in str(error.value)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("query", "daily"),
    [
        ("SELECT * FROM t WHERE a >= :start AND a < :end", True),
        ("WITH x AS (SELECT a::start, '12:30:00' FROM t) SELECT * FROM x", False),
        ("-- orders\n/* all */ (SELECT 1)", False),
    ],
)
def test_a_query_with_a_window_is_daily(tmp_path: Path, query: str, daily: bool) -> None:
    source = {"connection": "shop", "query": query}
    path = write_params(tmp_path / "p.yaml", {"tenants": {"demo": {"sources": {"fresh": source}}}})

    assert load_params(path)["demo"].sources["fresh"].daily is daily


def test_sources_of_the_document_are_right() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "sources.md").read_text(encoding="utf-8"), re.M | re.S)
    sources = {name: Source(**given) for block in blocks for name, given in yaml.safe_load(block).items()}

    assert len(sources) >= 8
    assert {source.remote for source in sources.values()} == {True, False}
