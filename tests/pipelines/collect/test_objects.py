"""Objects of a real S3 server: patterns, keys that are wrong or no longer right, and a server that goes away."""

import gzip
import logging
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError

from pipelines.collect import objects, patience
from pipelines.core.errors import ConfigError, SourceError, SourceUnreachable
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from tests.pipelines.collect.conftest import DAY, MakeSource, S3Server, free_port, read, rows

pytestmark = pytest.mark.slow

NEXT = DAY + timedelta(days=1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAITS", (0.05, 0.1))


def address(server: S3Server, key: str = "KEY", secret: str = "SECRET", **more: str) -> str:
    extra = "&".join(f"{name}={quote(value, safe='')}" for name, value in {"endpoint_url": server.url, **more}.items())
    return f"aws://{quote(key, safe='')}:{quote(secret, safe='')}@/?{extra}"


def csv(*numbers: int) -> bytes:
    return ("place,n\n" + "".join(f"p{n},{n}\n" for n in numbers)).encode()


@pytest.fixture
def daily(s3: S3Server, make_source: MakeSource) -> Tenant:
    """A source of one packed CSV a day; that of the first is there."""
    s3.put(f"shop/orders/{DAY}.csv.gz", gzip.compress(csv(1, 2)))
    return make_source(path="s3://shop/orders/{date}.csv.gz", connection="store")


def fetched(tenant: Tenant) -> list[Path]:
    return [path for path in (tenant.home / "tmp").rglob("*") if path.name.startswith("ingest-") or path.is_file()]


def test_an_object_a_day(daily: Tenant, s3: S3Server) -> None:
    assert read(daily).counts == {"market": 2}
    assert rows(daily)[0]["_source_file"] == f"s3://shop/orders/{DAY}.csv.gz"
    assert fetched(daily) == [], "what was fetched is deleted"
    with pytest.raises(SourceError, match=r"no file s3://shop/orders/2026-03-02\.csv\.gz"):
        read(daily, NEXT)
    s3.put(f"shop/orders/{DAY}.csv.gz", gzip.compress(csv(3)))
    read(daily)
    assert [row["n"] for row in rows(daily)] == ["3"], "a day that is read again is replaced"


def test_patterns_and_partitions(s3: S3Server, make_source: MakeSource) -> None:
    for name, number in (("shop=1/a.csv", 1), ("shop=2/x/b.csv", 2), ("shop=2/c.txt", 3), ("other/d.csv", 4)):
        s3.put(f"bucket/in/{name}", csv(number))
    tenant = make_source(path="s3://bucket/in/shop=*/**/*.csv", connection="store", partitioned=True)
    read(tenant)
    assert [(row["n"], row["shop"]) for row in rows(tenant)] == [("1", "1"), ("2", "2")]


def test_keys_from_the_environment(s3: S3Server, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put("shop/a.csv", csv(1))
    tenant = make_source(path="s3://shop/a.csv")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(SourceError, match="there are no keys for it"):
        read(tenant)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    assert read(tenant).counts == {"market": 1}


@pytest.mark.parametrize(
    ("key", "secret", "says"),
    [("topsecretkey", "SECRET", "the access key is unknown"), ("KEY", "topsecret", "the secret key is wrong")],
)
def test_wrong_keys_are_one_sentence_that_does_not_show_them(
    daily: Tenant,
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    key: str,
    secret: str,
    says: str,
) -> None:
    monkeypatch.setenv("LEADWISE_CONN_STORE", address(s3, key, secret))
    with caplog.at_level(logging.INFO), pytest.raises(SourceError, match=says) as caught:
        read(daily)
    assert "\n" not in str(caught.value)
    assert "topsecret" not in str(caught.value) + caplog.text
    assert not Lake(daily).exists("raw.market")


def test_keys_that_expired(daily: Tenant, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that were right yesterday: the server now knows others. Those set anew work."""
    read(daily)
    s3.stop()
    renewed = S3Server(s3.folder, s3.port, key="KEY", secret="RENEWED")
    with pytest.raises(SourceError, match="the secret key is wrong: set the keys of its connection"):
        read(daily)
    assert len(rows(daily)) == 2
    monkeypatch.setenv("LEADWISE_CONN_STORE", address(renewed, secret="RENEWED", aws_session_token="t"))
    assert read(daily).counts == {"market": 2}


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"])
def test_an_expired_session_token_as_amazon_answers(daily: Tenant, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """No server at hand checks session tokens: the answer is Amazon's, as botocore raises it."""

    def refuse(*args: Any, **options: Any) -> Iterator[Any]:
        answer = {"Error": {"Code": code, "Message": "The provided token has expired."}}
        raise ClientError(answer, "ListObjectsV2")  # type: ignore[arg-type]

    monkeypatch.setattr(objects.Bucket, "_list", _within(objects.Bucket._list, refuse))
    with pytest.raises(SourceError, match="the session token has expired: get a new one"):
        read(daily)


def _within(own: Any, answer: Any) -> Any:
    def run(self: objects.Bucket, *args: Any) -> Any:
        monkey = type("Client", (), {"get_paginator": answer, "close": lambda self: None})()
        self._s3 = monkey
        return own(self, *args)

    return run


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("s3://nowhere/a.csv", "there is no such bucket"),
        ("s3://shop/orders/nothing.csv", "has no file s3://shop/orders/nothing.csv"),
        ("s3://shop/orders/*.parquet", "has no file"),
    ],
)
def test_a_missing_bucket_or_object_is_one_sentence(
    s3: S3Server, make_source: MakeSource, path: str, says: str
) -> None:
    s3.put("shop/orders/a.csv", csv(1))
    with pytest.raises(SourceError, match=says) as caught:
        read(make_source(path=path, connection="store"))
    assert "\n" not in str(caught.value)


def test_a_wrong_kind_of_connection_is_told(make_source: MakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADWISE_CONN_STORE", "postgresql://a:topsecret@b/c")
    with pytest.raises(ConfigError, match=r"connection 'store' \(postgresql\) is none of kind aws"):
        read(make_source(path="s3://shop/a.csv", connection="store"))
    monkeypatch.setenv("LEADWISE_CONN_STORE", "aws://K:topsecret@/?endpoint_url=nonsense")
    with pytest.raises(ConfigError, match="endpoint_url is no address"):
        read(make_source(path="s3://shop/a.csv", connection="store"))


def test_a_server_that_is_down_and_comes_back(daily: Tenant, s3: S3Server) -> None:
    s3.stop()
    with pytest.raises(SourceUnreachable, match=r"http://127\.0\.0\.1:\d+ does not answer or broke off") as caught:
        read(daily)
    assert "\n" not in str(caught.value)
    S3Server(s3.folder, s3.port)
    assert read(daily).counts == {"market": 2}


def test_a_server_that_dies_amid_an_object(
    s3: S3Server, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("shop/a.csv", csv(*range(50_000)))
    s3.put("shop/b.csv", csv(*range(3_000_000)))
    tenant = make_source(path="s3://shop/*.csv", connection="store")
    deaths = 5
    servers = [s3]
    from botocore.response import StreamingBody

    own = StreamingBody.iter_chunks

    def die(self: Any, size: int) -> Iterator[bytes]:
        nonlocal deaths
        for number, chunk in enumerate(own(self, 100_000)):
            yield chunk
            if number == 100 and deaths:
                deaths -= 1
                servers[-1].stop()
                if deaths != 2:
                    servers.append(S3Server(s3.folder, s3.port))

    monkeypatch.setattr(StreamingBody, "iter_chunks", die)
    with pytest.raises(SourceUnreachable, match="broke off: nothing of this source was written"):
        read(tenant)
    assert not Lake(tenant).exists("raw.market")
    assert fetched(tenant) == []
    servers.append(S3Server(s3.folder, s3.port))
    assert read(tenant).counts == {"market": 3_050_000}, "two deaths are waited out"
    assert deaths == 0


def test_an_object_that_changes_between_listing_and_reading(
    daily: Tenant, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = objects.Bucket._copy

    def change(self: objects.Bucket, *args: Any) -> str:
        s3.put(f"shop/orders/{DAY}.csv.gz", gzip.compress(csv(9)))
        return own(self, *args)

    monkeypatch.setattr(objects.Bucket, "_copy", change)
    with pytest.raises(SourceError, match="the object changed while it was read: run again"):
        read(daily)
    assert not Lake(daily).exists("raw.market")
    monkeypatch.setattr(objects.Bucket, "_copy", own)
    assert read(daily).counts == {"market": 1}


def test_a_bucket_that_grows(s3: S3Server, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = make_source(path="s3://shop/events/**/*.csv", connection="store", grows=True)
    s3.put("shop/events/a.csv", csv(1))
    s3.put("shop/events/.b.csv", csv(2))
    read(tenant)
    s3.put("shop/events/x/c.csv", csv(3))
    s3.put("shop/events/a.csv", csv(4))
    report = read(tenant, NEXT)
    start = len("s3://shop/events/")
    assert [(row["_batch_id"][start:], row["n"]) for row in rows(tenant)] == [
        ("a.csv", "1"), ("a.csv@000002", "4"), ("x/c.csv", "3")]  # fmt: skip
    assert any("a.csv was rewritten" in note for note in report.notes)
    monkeypatch.setattr(objects.Bucket, "_copy", lambda *args: pytest.fail("an unchanged object was fetched"))
    assert read(tenant, NEXT).counts == {"market": 0}


def test_bytes_are_those_of_the_server(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.core.connections import resolve

    data = bytes(range(256)) * 100_000
    s3.put("shop/x.csv", data)
    bucket = objects.Bucket("market", resolve("store"), tmp_path / "here")
    file = bucket.fetch(bucket.expand("s3://shop/x.csv")[0])
    assert BytesIO(file.path.read_bytes()).getvalue() == data
    bucket.close()
    assert not (tmp_path / "here").exists()


def test_an_endpoint_that_nobody_listens_on(make_source: MakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    url = quote(f"http://127.0.0.1:{free_port()}", safe="")
    monkeypatch.setenv("LEADWISE_CONN_STORE", f"aws://KEY:topsecret@/?endpoint_url={url}")
    with pytest.raises(SourceUnreachable, match="does not answer") as caught:
        read(make_source(path="s3://shop/a.csv", connection="store"))
    assert "topsecret" not in str(caught.value)
