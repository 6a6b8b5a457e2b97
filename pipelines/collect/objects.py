"""Objects in S3, by boto3: listed by pattern, fetched to a folder of this machine, read like files."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from glob import has_magic
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any

from pipelines.collect.files import BULK, SourceFile
from pipelines.collect.found import as_regex
from pipelines.collect.patience import patiently
from pipelines.core.connections import Connection
from pipelines.core.errors import ConfigError, SourceError, SourceUnreachable

_CHUNK = 8 * 1024 * 1024
_SCHEME = "s3://"
_KEYS = "set the keys of its connection (LEADWISE_CONN_<NAME> or Airflow's), or AWS_ACCESS_KEY_ID and its companions"
# What a server answers, and what it means.
_ANSWERS = {
    "NoSuchBucket": "there is no such bucket: correct the path in params.yaml",
    "NoSuchKey": "the object was taken away while it was read: run again",
    "404": "there is no such bucket or object: correct the path in params.yaml",
    "InvalidAccessKeyId": f"the access key is unknown: {_KEYS}",
    "SignatureDoesNotMatch": f"the secret key is wrong: {_KEYS}",
    "AuthorizationHeaderMalformed": f"the region or the key is wrong: {_KEYS}",
    "ExpiredToken": "the session token has expired: get a new one and set it with its keys",
    "ExpiredTokenException": "the session token has expired: get a new one and set it with its keys",
    "TokenRefreshRequired": "the session token has expired: get a new one and set it with its keys",
    "InvalidToken": f"the session token is wrong: {_KEYS}",
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it",
    "AccessDenied": "these keys may not read it: ask for the right to list and to read, or correct the keys",
    "403": "these keys may not read it: ask for the right to list and to read, or correct the keys",
    "PreconditionFailed": "the object changed while it was read: run again",
    "412": "the object changed while it was read: run again",
    "PermanentRedirect": "the bucket lies in another region: set region_name of its connection",
}
_PASSING = ("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "500", "502", "503", "504")


class Bucket:
    """Objects of S3 for one source."""

    def __init__(self, name: str, connection: Connection | None, folder: Path) -> None:
        """Prepare to read; nothing is asked of the server yet.

        Args:
            name: of the source.
            connection: endpoint and keys; None takes boto3's own environment.
            folder: where fetched objects lie until `close`.
        """
        self._name, self._connection, self._folder = name, connection, folder
        self._numbers = count()
        try:
            self._s3 = _client(connection)
        except ValueError:
            raise ConfigError(f"{connection}: its endpoint_url is no address: write http(s)://HOST:PORT") from None

    def expand(self, pattern: str, hidden: bool = False) -> list[SourceFile]:
        """The objects that match, sorted by key; `mark` is the ETag."""
        bucket, _, key = pattern.removeprefix(_SCHEME).partition("/")
        wanted = as_regex(key)
        prefix = key
        if has_magic(key):
            prefix = key[: min(key.index(sign) for sign in "*?[" if sign in key)]
        found = patiently(lambda: self._list(bucket, prefix))
        return [
            SourceFile(Path(), BULK, datetime.min, label=f"{_SCHEME}{bucket}/{name}", mark=mark)
            for name, mark in sorted(found.items())
            if (wanted.fullmatch(name) if has_magic(key) else name == key) and not name.endswith("/")
        ]

    def fetch(self, file: SourceFile) -> SourceFile:
        """Bring an object here, as it was when it was listed, with the hash of what it holds.

        Raises:
            SourceError: it changed meanwhile, or the server refuses.
            SourceUnreachable: the server does not answer.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{next(self._numbers)}-{file.name.rsplit('/', 1)[-1]}"
        content = patiently(lambda: self._copy(file, path))
        return replace(file, path=path, content=content)

    def close(self) -> None:
        """Delete what was fetched."""
        self._s3.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _list(self, bucket: str, prefix: str) -> dict[str, str]:
        with self._sentences(f"{_SCHEME}{bucket}/{prefix}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return {one["Key"]: one["ETag"].strip('"') for page in pages for one in page.get("Contents", ())}

    def _copy(self, file: SourceFile, path: Path) -> str:
        bucket, _, key = file.name.removeprefix(_SCHEME).partition("/")
        digest = blake2b(digest_size=16)
        with self._sentences(file.name):
            answer = self._s3.get_object(Bucket=bucket, Key=key, IfMatch=f'"{file.mark}"')
            if answer["ETag"].strip('"') != file.mark:  # not every server heeds IfMatch
                answer["Body"].close()
                raise SourceError(f"source '{self._name}': {file.name}: {_ANSWERS['PreconditionFailed']}")
            with path.open("wb") as copy:
                for chunk in answer["Body"].iter_chunks(_CHUNK):
                    copy.write(chunk)
                    digest.update(chunk)
        return digest.hexdigest()

    @contextmanager
    def _sentences(self, what: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            kind: Callable[[str], SourceError] = SourceUnreachable if code in _PASSING else SourceError
            meaning = _ANSWERS.get(code, f"the server answers {code or 'with an error'}: try again later")
            raise kind(f"source '{self._name}': {what} can't be read: {meaning}") from None
        except BotoCoreError as error:
            raise self._broken(what, error) from None

    def _broken(self, what: str, error: Exception) -> SourceError:
        from botocore.exceptions import HTTPClientError, IncompleteReadError, NoCredentialsError
        from botocore.exceptions import PartialCredentialsError as HalfCredentialsError

        place = f"source '{self._name}': {what}"
        if isinstance(error, NoCredentialsError | HalfCredentialsError):
            return SourceError(f"{place} can't be read: there are no keys for it: {_KEYS}")
        endpoint = (self._connection.options.get("endpoint_url") if self._connection else None) or "S3"
        if isinstance(error, HTTPClientError | IncompleteReadError) or "onnect" in type(error).__name__:
            return SourceUnreachable(
                f"{place} can't be read: {_without_login(endpoint)} does not answer or broke off: nothing of this"
                " source was written; run again when it is back"
            )
        return SourceError(f"{place} can't be read ({type(error).__name__}): check its path and connection")


def _without_login(endpoint: str) -> str:
    scheme, _, rest = endpoint.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else rest


def _client(connection: Connection | None) -> Any:
    import boto3
    from botocore.config import Config

    options = dict(connection.options) if connection else {}
    endpoint = options.get("endpoint_url")
    config = Config(
        retries={"max_attempts": 2, "mode": "standard"},
        connect_timeout=5,
        read_timeout=60,
        s3={"addressing_style": "path"} if endpoint else None,
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=options.get("region_name") or ("us-east-1" if endpoint else None),
        aws_access_key_id=options.get("login"),
        aws_secret_access_key=options.get("password"),
        aws_session_token=options.get("aws_session_token"),
        config=config,
    )
