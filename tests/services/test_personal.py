"""Personal data on servers: in no database, and in no half of an object."""

from datetime import timedelta

import psycopg
import pytest

from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.lake.expiry import sweep
from tests.conftest import MakeTenant
from tests.servers import Started

pytestmark = pytest.mark.slow


def test_no_phone_lies_in_postgresql_redis_or_a_log(demo: Tenant, services: Started) -> None:
    phones = Lake(demo).read("identity.identities", columns=["phone"])["phone"].to_pylist()
    planted = "5500000001"
    numbers = [planted, *(phone[-10:] for phone in phones[::10])]

    def holding() -> set[str]:
        """National digits that stand in a file of the servers; they compress nothing that is so short."""
        services.flush()
        folders = [services.servers.home / name for name in ("postgresql", "redis", "logs")]
        found: set[str] = set()
        for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            found |= {number for number in numbers if number.encode() in content}
        return found

    assert holding() == set()
    with psycopg.connect(services.told["catalog_url"], autocommit=True) as session:
        session.execute(f"CREATE TABLE planted AS SELECT '+52{planted}'::text AS phone".encode())
    assert holding() == {planted}  # the search finds one


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
