"""Where the online store is, as Feast is told: a file of SQLite, or a Redis whose password stays in the environment."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pipelines.core.errors import ConfigError, SourceUnreachable

if TYPE_CHECKING:
    from pipelines.core.settings import Settings

SECRET = "FEAST_ONLINE_PASSWORD"  # noqa: S105 - the name of a variable
"""Variable that Feast puts into `feature_store.yaml` when it reads it."""

_TIMEOUTS = {"socket_connect_timeout": "5", "socket_timeout": "10"}  # seconds; each is tried four times


def online_store(settings: "Settings") -> dict[str, Any]:
    """The section `online_store` of `feature_store.yaml`; it names the variable of the password, and not the password.

    Raises:
        ConfigError: `online_url` is no address of a Redis.
    """
    if settings.online_url is None:
        return {"type": "sqlite", "path": "online.db"}
    parts = _parts(settings.online_url)
    options = {"db": parts.path.strip("/") or "0", **_TIMEOUTS, **dict(parse_qsl(parts.query))}
    if parts.scheme == "rediss":
        options["ssl"] = "true"
    if parts.username:
        options["username"] = _literal(unquote(parts.username))
    if parts.password:
        options["password"] = f'"${{{SECRET}}}"'
    address = f"{parts.hostname}:{parts.port or 6379}"
    return {"type": "redis", "connection_string": ",".join([address, *(f"{k}={v}" for k, v in options.items())])}


def expose(settings: "Settings") -> None:
    """Set the variable that `feature_store.yaml` names, for Feast in this process.

    Feast reads the value as JSON and splits at commas: every letter is escaped, so that any password comes through.
    """
    password = _parts(settings.online_url).password if settings.online_url else None
    if password:
        os.environ[SECRET] = re.sub("(....)", r"\\u\1", unquote(password).encode("utf-16-be").hex())


@contextmanager
def reached(settings: "Settings") -> Iterator[None]:
    """Turn the errors of a Redis that is away into one sentence.

    Raises:
        SourceUnreachable: it does not answer, or broke off.
    """
    if settings.online_url is None:
        yield
        return
    from redis import RedisError

    try:
        yield
    except RedisError as error:
        raise SourceUnreachable(
            f"the online store {settings.online_shown} does not answer ({' '.join(str(error).split())}): see that it"
            " runs and that LEADWISE_ONLINE_URL is right, and run the same again"
        ) from None


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("redis", "rediss") and re.fullmatch(r"[\w.-]+", parts.hostname or "")
        if known and parts.port != 0 and re.fullmatch(r"(/\d*)?", parts.path):
            return parts
    except ValueError:
        pass  # a port that is no number
    raise ConfigError(
        "LEADWISE_ONLINE_URL is no address of a Redis: write redis://[user:password@]host:port/db, with what is special"
        " in the password percent-encoded, or unset it for SQLite"
    )


def _literal(text: str) -> str:
    """`text` as JSON, without what Feast or its reader of variables would take for a sign of theirs."""
    return json.dumps(text).replace(",", "\\u002c").replace("$", "\\u0024")
