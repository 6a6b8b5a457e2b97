"""A source as `params.yaml` declares it, and what may not stand there: addresses and passwords."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


class Strict(BaseModel):
    """A frozen model that knows its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


_S3 = "s3://"
_WINDOW = re.compile(r"(?<![:\w\\]):(start|end)\b")
_SELECT = re.compile(r"(\s|\(|--[^\n]*\n|/\*.*?\*/)*(select|with|values|table)\b", re.IGNORECASE | re.DOTALL)
_BELONGS = (
    "an address or a password does not belong in params.yaml: put the URL into the environment variable"
    " LEADWISE_CONN_<NAME> (or Airflow's connections) and write connection: <name>"
)
_SECRETS = ("url", "uri", "dsn", "host", "user", "login", "username", "password", "passwd", "secret", "token", "key")


class Source(Strict):
    """Where the rows of one source come from: files, objects in S3, or a query of a database."""

    path: str | None = Field(
        None,
        description="file or glob, also s3://bucket/key; {home} is the tenant's folder, {data} LEADWISE_DATA,"
        " {date} a day",
    )
    query: str | None = Field(
        None, description="one SELECT; with :start and :end it is run for each day, without them at once"
    )
    connection: str | None = Field(
        None, description="name of the database or of the keys of s3://; never a URL, which belongs in the environment"
    )
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="of CSV; found by itself when unset")
    sparse: bool = Field(False, description="days without a file, or without a row of a query, are normal")
    partitioned: bool = Field(False, description="folders named key=value become columns")
    grows: bool = Field(
        False, description="only files that were not read yet are read; a rewritten one is a new arrival"
    )
    settle_seconds: float = Field(
        10, ge=0, description="a file of a growing folder that changed within so many seconds waits for the next run"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_secrets(cls, data: Any) -> Any:
        """Refused before anything is said of the values: they may hold a password."""
        if isinstance(data, dict) and (place := _secret(data)):
            raise PydanticCustomError("secret", place)
        return data

    @model_validator(mode="after")
    def _one_kind(self) -> "Source":
        if problem := _misfit(self):
            raise PydanticCustomError("source", problem)
        return self

    @property
    def windowed(self) -> bool:
        """Whether the query is run for each day."""
        return bool(self.query and _WINDOW.search(self.query))

    @property
    def daily(self) -> bool:
        """Whether there is a batch per day."""
        return self.windowed or "{date}" in (self.path or "")

    @property
    def recurrent(self) -> bool:
        """Whether there is something to look for every day."""
        return self.daily or self.grows

    @property
    def remote(self) -> bool:
        """Whether the path names objects in S3."""
        return (self.path or "").startswith(_S3)


def _secret(data: dict[str, Any]) -> str | None:
    """Why the keys and values of a source may not stand in the file; never shows a value."""
    for key, value in data.items():
        text = str(value)
        address = "://" in text and not (key == "path" and text.startswith(_S3) and "@" not in text.split("/")[2])
        if str(key).lower() in _SECRETS or (address and key in ("path", "connection")):
            return f"'{key}': {_BELONGS}"
    name = data.get("connection")
    if name is not None and not re.fullmatch(r"[A-Za-z]\w*", str(name)):
        return f"'connection' is the name of a connection, of letters, digits and _: {_BELONGS}"
    return None


def _misfit(source: Source) -> str | None:
    """What does not go together in a source."""
    if (source.path is None) == (source.query is None):
        return "give either path (files) or query (a database), not both"
    if source.query is not None:
        if source.connection is None:
            return "a query needs connection, the name of its database"
        if not _SELECT.match(source.query):
            return "the query must be one SELECT: nothing is ever written to a source"
        if len(set(_WINDOW.findall(source.query))) == 1:
            return "the query has one of :start and :end: write both, or neither to read all rows at once"
        if source.grows or source.partitioned or source.delimiter:
            return "grows, partitioned and delimiter are of files: leave them out beside a query"
    elif source.connection is not None and not source.remote:
        return "connection beside a path is for s3://bucket/key: write such a path, or leave connection out"
    if source.grows and source.daily:
        return "a folder that grows is not cut into days: leave {date} out of its path, or grows"
    return None
