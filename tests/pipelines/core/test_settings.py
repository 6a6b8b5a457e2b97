"""Where settings come from: the environment, then what `make services` wrote."""

import json
from pathlib import Path

import pytest

from pipelines.core.errors import ConfigError
from pipelines.core.settings import SERVICES, get_settings
from pipelines.core.tenant import Tenant

TOLD = {
    "lake_url": "s3://leadwise/lake",
    "s3_endpoint": "http://127.0.0.1:9000",
    "s3_key": "the-key",
    "s3_secret": "the-secret",
    "catalog_url": "postgresql://leadwise:the-password@127.0.0.1:5432/catalog",
    "mlflow_uri": "postgresql://leadwise:the-password@127.0.0.1:5432/mlflow",
    "online_url": "redis://:the-password@127.0.0.1:6379/0",
}


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which `make services` wrote where its servers are."""
    for name in TOLD:
        monkeypatch.delenv(f"LEADWISE_{name.upper()}", raising=False)
    monkeypatch.setenv("LEADWISE_VAR", str(tmp_path))
    monkeypatch.setenv("LEADWISE_PROFILE", "services")
    folder = tmp_path / "services"
    folder.mkdir()
    (folder / SERVICES).write_text(json.dumps(TOLD), encoding="utf-8")
    return folder


def test_the_profile_takes_what_make_services_wrote(started: Path) -> None:
    settings = get_settings()
    assert {name: getattr(settings, name) for name in TOLD} == TOLD


def test_the_environment_comes_first(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_LAKE_URL", "s3://mine/x")
    assert get_settings().lake_url == "s3://mine/x"
    assert get_settings().catalog_url == TOLD["catalog_url"]


def test_the_local_profile_needs_and_takes_nothing_of_it(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_PROFILE", "local")
    settings = get_settings()
    assert {getattr(settings, name) for name in TOLD} == {None}
    tenant = Tenant.load("demo")
    assert tenant.lake_url == f"file://{tenant.lake_dir}"
    assert tenant.catalog_uri == f"sqlite:///{tenant.home / 'catalog.db'}"
    assert not tenant.served


def test_the_profile_without_servers_says_what_to_start(started: Path) -> None:
    (started / SERVICES).unlink()
    with pytest.raises(ConfigError, match=r"start `make services` first, or set LEADWISE_LAKE_URL, LEADWISE_CATALOG"):
        get_settings()


def test_tenants_share_servers_and_no_table(started: Path) -> None:
    one, other = Tenant.load("demo"), Tenant.load("bank")
    assert one.lake_url == "s3://leadwise/lake/demo"
    assert one.catalog_name != other.catalog_name
    assert one.lake_url != other.lake_url


def test_no_secret_is_shown(started: Path) -> None:
    settings = get_settings()
    shown = f"{settings!r} {settings} {Tenant.load('demo')!r} {settings.tracking_shown} {settings.online_shown}"
    assert not [secret for secret in ("the-key", "the-secret", "the-password") if secret in shown]


def test_a_lake_elsewhere_than_on_s3_is_refused(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pydantic import ValidationError

    monkeypatch.setenv("LEADWISE_LAKE_URL", "ftp://somewhere")
    with pytest.raises(ValidationError, match="lake_url"):
        get_settings()
