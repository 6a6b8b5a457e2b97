"""Keys of the endpoint: told once, kept as hashes, and each of one tenant only."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipelines.cli.main import app as commands
from pipelines.core.errors import ConfigError
from pipelines.core.tenant import Tenant
from serving.app import App
from serving.door import Door
from serving.keys import Keys, opens
from serving.metrics import Metrics
from serving.server import serve
from tests.conftest import MakeTenant
from tests.serving.asgi import request

SALT = {"5f0c9a1e": ("salt", "0" * 64)}


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant()


def test_a_key_opens_until_it_is_revoked(tenant: Tenant) -> None:
    keys = Keys(tenant)
    assert keys.all() == []
    assert keys.hashes() is None
    assert not tenant.home.exists()  # reading made nothing

    first, second = keys.create("web-form"), keys.create("crm")
    hashes = keys.hashes()
    assert hashes is not None
    one, other = keys.all()
    assert (one.name, other.name) == ("web-form", "crm")
    assert (opens(first, hashes), opens(second, hashes)) == (one.id, other.id)

    assert keys.revoke(one.id).revoked is not None
    assert keys.revoke(one.id) == keys.all()[0]  # again changes nothing
    left = keys.hashes()
    assert left is not None
    assert opens(first, left) is None
    assert opens(second, left) == other.id
    keys.revoke(other.id)
    assert keys.hashes() == {}  # nobody may ask, and not everybody


def test_no_secret_is_kept(tenant: Tenant) -> None:
    secret = Keys(tenant).create("web-form").split("_", 2)[2]
    for path in tenant.home.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()


def test_keys_are_of_one_tenant(tenant: Tenant) -> None:
    key = Keys(tenant).create("web-form")
    other = replace(tenant, name="bank")
    Keys(other).create("web-form")
    hashes = Keys(other).hashes()
    assert hashes is not None
    assert opens(key, hashes) is None


@given(st.text(max_size=80) | st.sampled_from(["lw_5f0c9a1e_", "lw_5f0c9a1e_x", "5f0c9a1e", "lw__", "__", "lw_"]))
def test_nothing_else_opens(key: str) -> None:
    assert opens(key, SALT) is None
    assert opens(key, {}) is None


def test_bad_words_are_one_sentence(tenant: Tenant) -> None:
    keys = Keys(tenant)
    with pytest.raises(ConfigError, match="a key needs a name"):
        keys.create(" ")
    with pytest.raises(ConfigError, match="tenant 'demo' has no key 'none'"):
        keys.revoke("none")
    keys.create("web-form")
    with pytest.raises(ConfigError, match="has a key 'web-form' already"):
        keys.create("web-form")


def test_every_path_but_the_watchers_wants_a_key(tenant: Tenant) -> None:
    """Before anything is read or looked up: the parts of this application are not even there."""
    keys = Keys(tenant)
    key = keys.create("web-form")

    class Nobody:
        class bundle:  # noqa: N801 - what an application reads of its scorer
            class layout:  # noqa: N801
                entity = "lead_id"

            name, version, given = "demo.conversion", "1", None

        step = 0

    app = App(Nobody(), None, Metrics(), door=Door(keys.hashes()))  # type: ignore[arg-type]
    for path in ("/v1/score", "/invocations", "/ping", "/version", "/docs", "/metrics", "/"):
        for sent in (None, "Bearer", "Bearer nonsense", f"Basic {key}", f"Bearer {key}x"):
            answer = request(app, "POST", path, b"{}", key=sent)
            assert answer.status == 401
            assert "leadwise keys create" in answer.json()["message"]
    assert request(app, "GET", "/health").status == 200
    assert request(app, "POST", "/v1/score", b"{}", key=f"Bearer {key}").status == 422


def test_without_a_key_nobody_else_is_listened_to(tenant: Tenant) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.com"):
        with pytest.raises(ConfigError, match="can be reached from elsewhere, and tenant 'demo' has no key yet"):
            serve(tenant, host=host)


def test_the_command_line(tenant: Tenant) -> None:
    def leadwise(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(commands, ["keys", *words])
        assert done.exit_code == code, done.output
        return done.output

    assert "has no keys: leadwise keys create NAME" in leadwise("list")
    key = leadwise("create", "web-form").strip()
    hashes = Keys(tenant).hashes()
    assert hashes is not None
    number = opens(key, hashes)
    assert number is not None
    [told] = json.loads(leadwise("list", "--json"))
    assert (told["id"], told["name"], told["revoked"]) == (number, "web-form", None)
    assert set(told) == {"id", "name", "created", "revoked"}
    assert "opens nothing any more" in leadwise("revoke", number)
    assert number in leadwise("list")
    assert "needs the id of a key" in leadwise("revoke", code=1)
