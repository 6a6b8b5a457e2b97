"""Feast is told where the online store is, and the password never stands in a file."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.errors import ConfigError
from pipelines.core.settings import Settings
from pipelines.features.address import SECRET, expose, online_store


def told(url: str | None) -> dict[str, object]:
    """What Feast's client of Redis is made with, from the text of a file, as Feast reads it."""
    from feast.infra.online_stores.redis import RedisOnlineStore

    settings = Settings(online_url=url)
    expose(settings)
    text = yaml.safe_dump(online_store(settings))
    config = yaml.safe_load(os.path.expandvars(text))
    nodes, options = RedisOnlineStore._parse_connection_string(config["connection_string"])
    return {**nodes[0], **options}


def test_sqlite_is_the_default(tmp_path: Path) -> None:
    assert online_store(Settings(online_url=None)) == {"type": "sqlite", "path": "online.db"}


def test_a_redis_without_a_password() -> None:
    found = told("redis://127.0.0.1/3?socket_timeout=7")
    assert (found["host"], found["port"], found["db"], found["socket_timeout"]) == ("127.0.0.1", "6379", 3, 7)
    assert "password" not in found
    assert "ssl" not in found


@given(st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text))
def test_any_password_comes_through_and_stands_in_no_file(password: str) -> None:
    from urllib.parse import quote

    try:
        url = f"rediss://user%2C1:{quote(password, safe='')}@redis.example:7000"
    except UnicodeEncodeError:
        return  # half a surrogate pair is no text
    found = told(url)
    assert (found["password"], found["username"], found["ssl"]) == (password, "user,1", True)
    assert SECRET in yaml.safe_dump(online_store(Settings(online_url=url)))


def test_the_password_is_not_shown() -> None:
    settings = Settings(online_url="redis://:geheim@127.0.0.1:6379/0")
    assert settings.online_shown == "redis://:***@127.0.0.1:6379/0"
    assert "geheim" not in str(online_store(settings))


@pytest.mark.parametrize("url", ["postgresql://h/db", "redis://", "redis://:geheim@h:port", "redis://h/x", "localhost"])
def test_another_address_is_refused_and_not_echoed(url: str) -> None:
    with pytest.raises(ConfigError, match="redis://") as caught:
        online_store(Settings(online_url=url))
    assert "geheim" not in str(caught.value)
