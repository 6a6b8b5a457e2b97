"""Connections by name: where they come from, which forms they have, and that nobody sees their secrets."""

import json
import os
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from pipelines.core import connections
from pipelines.core.connections import libpq, resolve
from pipelines.core.errors import ConfigError

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for key in os.environ:
        if key.startswith(connections.PREFIXES):
            monkeypatch.delenv(key)
    yield
    connections.use(None)


def test_where_they_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def provider(name: str) -> str | None:
        asked.append(name)
        return "postgres://u:p@airflow/db" if name == "shop" else None

    connections.use(provider)
    hosts = [resolve("shop")]
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "postgres://u:p@environment/db")
    hosts.append(resolve("shop"))
    monkeypatch.setenv("LEADWISE_CONN_SHOP", "postgresql+psycopg://u:p@own/db")
    hosts.append(resolve("Shop"))
    assert [one.url.host for one in hosts if one.url] == ["airflow", "environment", "own"]
    assert {one.kind for one in hosts} == {"postgresql"}
    assert asked == ["shop"]


def test_a_misspelt_name_gets_the_nearest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "postgres://u:p@h/db")
    with pytest.raises(ConfigError, match=r"no connection 'shpo': set LEADWISE_CONN_SHPO .*did you mean 'shop'\?"):
        resolve("shpo")


@given(user=TEXT, password=TEXT)
@example(user="u@x", password="p:/@?#%ñ +")
def test_every_form_gives_the_same_login(user: str, password: str) -> None:
    parts = {"conn_type": "postgres", "host": "h", "login": user, "password": password, "schema": "d", "port": 5}
    extra = {"sslmode": "require", "cursor": "named"}
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    forms = [
        f"postgresql://{login}@h:5/d?sslmode=require",
        f"postgres://{login}@h:5/d?sslmode=require&cursor=named",
        f"postgres://{login}@h:5/d?__extra__={quote(json.dumps(extra), safe='')}",
        json.dumps({**parts, "extra": extra}),
        json.dumps({**parts, "extra": json.dumps(extra)}),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for form in forms:
            patch.setenv("AIRFLOW_CONN_X", form)
            url = resolve("x").url
            assert url is not None
            again = make_url(libpq(url))
            assert (again.username, again.password, again.host, again.port) == (user, password, "h", 5)
            assert again.query == {"connect_timeout": "10", "sslmode": "require"}


@given(key=TEXT, secret=TEXT)
def test_keys_of_a_store_in_both_forms(key: str, secret: str) -> None:
    extra = {"endpoint_url": "http://h:9/?a=b", "region_name": "eu", "aws_session_token": "t=/"}
    login = f"{quote(key, safe='')}:{quote(secret, safe='')}"
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in extra.items())
    forms = [
        f"aws://{login}@/?{query}",
        f"aws://{login}@/?__extra__={quote(json.dumps(extra), safe='')}",
        json.dumps({"conn_type": "aws", "login": key, "password": secret, "extra": extra}),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for form in forms:
            patch.setenv("LEADWISE_CONN_X", form)
            found = resolve("x")
            assert found.kind == "aws"
            assert found.options == {"login": key, "password": secret, **extra}


@pytest.mark.parametrize(
    "form", ["sqlite:////tmp/x y.db", "sqlite://%2Ftmp%2Fx%20y.db", '{"conn_type":"sqlite","host":"/tmp/x y.db"}']
)
def test_a_sqlite_file(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_X", form)
    url = resolve("x").url
    assert url is not None
    assert url.database == "/tmp/x y.db"


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_CONN_A", "postgresql://u:topsecret@h/d")
    monkeypatch.setenv("LEADWISE_CONN_B", "aws://topsecret:topsecret@/?aws_session_token=topsecret")
    for name in "ab":
        found = resolve(name)
        assert "topsecret" not in f"{found!r} {found} {[found]}"
        assert found.masked("the topsecret word") == "the *** word"


@pytest.mark.parametrize(
    "value",
    ["topsecret", "aws://KEY:top/secret@/?endpoint_url=http%3A%2F%2Fh", "aws://KEY:topsecret",
     "postgresql://u:top/secret@h:99x/d", "{topsecret", '{"login": "topsecret"}', '["topsecret"]',
     '{"conn_type": "postgres", "port": "topsecret"}', "://topsecret", '{"conn_type": "aws", "extra": "topsecret"}'],
)  # fmt: skip
def test_what_can_not_be_read_is_told_without_its_text(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LEADWISE_CONN_X", value)
    with pytest.raises(
        ConfigError, match="environment variable LEADWISE_CONN_X can't be read as a connection"
    ) as caught:
        resolve("x")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
