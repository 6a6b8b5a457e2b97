"""Connections by name: addresses and credentials from the environment or a store plugged in, never from params.yaml.

`LEADWISE_CONN_<NAME>` is looked at first, then `AIRFLOW_CONN_<NAME>`, then the provider given to `use`. A value is a
SQLAlchemy URL, or one of Airflow's two forms: its URI, or its JSON.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from pipelines.core.errors import ConfigError, nearest

PREFIXES = ("LEADWISE_CONN_", "AIRFLOW_CONN_")
"""Environment variables that hold connections, the first one first."""

Provider = Callable[[str], str | None]

_DIALECTS = {"postgres": "postgresql"}
# Airflow's extras that PostgreSQL's client knows too; the others are Airflow's own business.
_LIBPQ = (
    "application_name",
    "connect_timeout",
    "host",
    "hostaddr",
    "options",
    "passfile",
    "service",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
)
_provider: Provider | None = None


@dataclass(frozen=True)
class Connection:
    """Where a database or an object store is, and how to log in.

    Attributes:
        name: as the sources call it.
        kind: SQLAlchemy's name of the database (`postgresql`, `sqlite`, …), or `aws`.
        url: for SQLAlchemy, with the password in it; None for `aws`.
        options: for `aws`: `login, password, endpoint_url, region_name, aws_session_token`, those that are set.
    """

    name: str
    kind: str
    url: URL | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"connection '{self.name}' ({self.kind})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may show."""
        held = [self.options.get("password"), self.options.get("aws_session_token"), self.options.get("login")]
        if self.url is not None:
            held.append(str(self.url.password) if self.url.password is not None else None)
            held += [str(value) for key, value in self.url.query.items() if "password" in key.lower()]
        return tuple(sorted({one for one in held if one}, key=len, reverse=True))

    def masked(self, text: str) -> str:
        """`text` without the secrets of this connection."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def use(provider: Provider | None) -> None:
    """Ask `provider` for names that the environment does not have; it returns a URI, Airflow's JSON, or None."""
    global _provider
    _provider = provider


def resolve(name: str) -> Connection:
    """The connection `name`.

    Raises:
        ConfigError: nobody knows it (with the nearest right name), or its value can't be read; never its text.
    """
    for prefix in PREFIXES:
        variable = prefix + name.upper()
        if os.environ.get(variable):
            return _read(name, os.environ[variable], f"the environment variable {variable}")
    given = _provider(name) if _provider else None
    if given:
        return _read(name, given, f"Airflow's connection '{name}'")
    known = names()
    hint = f"; {nearest(name.lower(), known)}" if known else ""
    raise ConfigError(
        f"there is no connection '{name}': set LEADWISE_CONN_{name.upper()} to its URL, or add it to Airflow's"
        f" connections{hint}"
    )


def names() -> list[str]:
    """Connections of the environment, in lower case, sorted."""
    found = {key[len(p) :].lower() for p in PREFIXES for key in os.environ if key.startswith(p) and os.environ[key]}
    return sorted(found)


def _read(name: str, value: str, place: str) -> Connection:
    """A connection from its text."""
    try:
        text = value.strip()
        parts = _from_json(text) if text.startswith("{") else None
        kind = (parts["conn_type"] if parts else text.split("://", 1)[0]).lower() if parts or "://" in text else ""
        if kind in ("aws", "s3"):
            return Connection(name, "aws", options=_aws(parts or _from_uri(text)))
        if not kind:
            raise ValueError
        url = _database(parts) if parts else _plain_url(text)
        return Connection(name, url.get_backend_name(), url=url)
    except (ArgumentError, ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(
            f"{place} can't be read as a connection: write a URL such as"
            " postgresql://USER:PASSWORD@HOST/DATABASE or aws://KEY:SECRET@/?endpoint_url=…, with @ : / of a password"
            " written as %40 %3A %2F"
        ) from None


def _from_json(text: str) -> dict[str, Any]:
    """Airflow's JSON form, with `extra` as a dict."""
    parts: dict[str, Any] = json.loads(text)
    extra = parts.get("extra") or {}
    parts["extra"] = json.loads(extra) if isinstance(extra, str) else dict(extra)
    parts["conn_type"] = str(parts["conn_type"])
    return parts


def _from_uri(text: str) -> dict[str, Any]:
    """Airflow's URI form, taken apart as Airflow does: everything is percent-encoded."""
    rest, _, query = text.split("://", 1)[1].partition("?")
    authority, _, schema = rest.partition("/")
    if "@" in schema or (":" in authority and "@" not in authority):
        raise ValueError  # a / of the secret ended the address: both keys would be lost, and others be used
    login, _, host = authority.rpartition("@")
    user, _, password = login.partition(":")
    extra: dict[str, Any] = dict(parse_qsl(query))
    if "__extra__" in extra:
        extra = {**extra, **json.loads(extra.pop("__extra__"))}
    return {
        "login": unquote(user),
        "password": unquote(password),
        "host": unquote(host),
        "schema": unquote(schema),
        "extra": extra,
    }


def _aws(parts: Mapping[str, Any]) -> dict[str, str]:
    extra = parts["extra"]
    endpoint = extra.get("endpoint_url") or extra.get("host")
    service = (extra.get("service_config") or {}).get("s3") or {}
    found = {
        "login": parts.get("login") or extra.get("aws_access_key_id"),
        "password": parts.get("password") or extra.get("aws_secret_access_key"),
        "endpoint_url": service.get("endpoint_url") or endpoint,
        "region_name": extra.get("region_name"),
        "aws_session_token": extra.get("aws_session_token"),
    }
    return {key: str(value) for key, value in found.items() if value}


def _plain_url(text: str) -> URL:
    """A SQLAlchemy URL, or Airflow's URI of a database."""
    scheme, rest = text.split("://", 1)
    if scheme == "sqlite" and rest[:3].lower() == "%2f":  # Airflow's way to write a path
        rest = "/" + unquote(rest.split("?")[0])
    url = make_url(f"{_DIALECTS.get(scheme.lower(), scheme)}://{rest}")
    if scheme.lower() in _DIALECTS:  # Airflow's spelling, with Airflow's extras
        url = url.set(query={key: url.query[key] for key in (*_LIBPQ, "__extra__") if key in url.query})
    if "__extra__" in url.query:
        extra = json.loads(str(url.query["__extra__"]))
        url = url.difference_update_query(["__extra__"]).update_query_dict(_known(url.get_backend_name(), extra))
    url.get_backend_name()
    return url


def _database(parts: Mapping[str, Any]) -> URL:
    kind = _DIALECTS.get(parts["conn_type"].lower(), parts["conn_type"].lower())
    if kind == "sqlite":
        return URL.create("sqlite", database=str(parts.get("host") or parts.get("schema") or ""))
    return URL.create(
        kind,
        username=parts.get("login") or None,
        password=parts.get("password") or None,
        host=parts.get("host") or None,
        port=int(parts["port"]) if parts.get("port") else None,
        database=parts.get("schema") or None,
        query=_known(kind, parts["extra"]),
    )


def _known(kind: str, extra: Mapping[str, Any]) -> dict[str, str]:
    """The extras that the database's own client takes."""
    if kind != "postgresql":
        return {key: str(value) for key, value in extra.items() if isinstance(value, str | int) and value != ""}
    return {key: str(extra[key]) for key in _LIBPQ if extra.get(key) not in (None, "")}


def libpq(url: URL) -> str:
    """`url` for PostgreSQL's own client, with its password; a server that does not answer is given up after 10 s."""
    given = {key: value if isinstance(value, str) else ",".join(value) for key, value in url.query.items()}
    query = {"connect_timeout": "10", **given}
    plain = url.set(drivername="postgresql", query={}).render_as_string(hide_password=False)
    return f"{plain}?{urlencode(query, quote_via=quote)}"
