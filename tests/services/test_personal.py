"""Phones on servers: in the bucket where the lake has them, in no database, and nowhere after they were forgotten."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.lake.expiry import sweep
from tests.conftest import MakeTenant
from tests.leaks import Search
from tests.servers import Started

pytestmark = pytest.mark.slow


def test_no_phone_lies_in_postgresql_redis_or_a_log(demo: Tenant, services: Started) -> None:
    phones = Lake(demo).read("identity.identities", columns=["phone"])["phone"].to_pylist()
    search = Search([("52", phone.removeprefix("+52")) for phone in phones if len(phone) == len("+525512345678")][:20])
    home = services.servers.home
    services.flush()

    def places(*names: str) -> set[Path]:
        return {hit.path for name in names for hit in search.folder(home / name)}

    assert places("postgresql", "redis", "logs") == set()
    assert places("s3")  # the search finds them where they may be


def test_parts_that_a_killed_writer_sent_go_with_the_files(make_tenant: MakeTenant, services: Started) -> None:
    """No listing shows them, and they hold rows all the same."""
    lake = Lake(make_tenant())
    lake.count("clean.t")
    bucket, _, key = f"{lake.tenant.lake_url}/clean/t/data/half.parquet".removeprefix("s3://").partition("/")
    client = services.s3()
    sent = client.create_multipart_upload(Bucket=bucket, Key=key)
    client.upload_part(Bucket=bucket, Key=key, UploadId=sent["UploadId"], PartNumber=1, Body=b"5512345678")

    def unfinished() -> list[str]:
        found = client.list_multipart_uploads(Bucket=bucket, Prefix=key)
        return [one["Key"] for one in found.get("Uploads", ())]

    assert sweep(lake).files == 0
    assert unfinished() == [key]
    assert sweep(lake, timedelta(0)).files == 1
    assert unfinished() == []
