"""PyIceberg's way to catalog and files of a tenant, on SQLite and files, or on PostgreSQL and S3."""

import os
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pyiceberg import catalog as _catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io import InputFile, OutputFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.typedef import FrozenDict
from pyiceberg.utils.config import merge_config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from pipelines.core.stores import sentences
from pipelines.core.tenant import Tenant

_SCHEME = "s3://"


class LakeFiles(PyArrowFileIO):
    """Files of a lake. An object of S3 is deleted and nothing else.

    Arrow leaves an empty object in the place of its folder, which servers over a file system take for a file of the
    folder's name.
    """

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete one file."""
        path = location if isinstance(location, str) else location.location
        if not path.startswith(_SCHEME):
            super().delete(location)
            return
        bucket, _, key = path.removeprefix(_SCHEME).partition("/")
        self._s3().delete_object(Bucket=bucket, Key=key)

    def drop_unfinished(self, root: str, before: datetime) -> int:
        """Delete the parts of objects below `root` that killed writers never finished: no listing of files shows them.

        Args:
            root: s3://BUCKET/PREFIX.
            before: naive UTC; who began later may be at work.

        Returns:
            How many unfinished objects there were.
        """
        bucket, _, prefix = root.removeprefix(_SCHEME).partition("/")
        client, found = self._s3(), 0
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
            for one in page.get("Uploads", ()):
                if one["Initiated"].astimezone(UTC).replace(tzinfo=None) <= before:
                    client.abort_multipart_upload(Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"])
                    found += 1
        return found

    def _s3(self) -> Any:
        names = ("endpoint", "region", "access-key-id", "secret-access-key")
        return _client(*(self.properties.get(f"s3.{name}") for name in names))


def look(tenant: Tenant) -> None:
    """Make sure that the servers of lake and catalog answer; nothing is made.

    Raises:
        LeadwiseError: the sentence of the one that does not, or refuses.
    """
    with sentences(f"lake of tenant '{tenant.name}'", tenant.lake_url):
        if tenant.settings.catalog_url:
            create_engine(tenant.catalog_uri, poolclass=NullPool, connect_args={"connect_timeout": 5}).connect().close()
        if tenant.settings.lake_url:
            LakeFiles(tenant.catalog_properties).new_input(f"{tenant.lake_url}/").exists()


def opened(tenant: Tenant) -> SqlCatalog:
    """The tenant's catalog, made where it is missing."""
    properties = tenant.catalog_properties
    if tenant.settings.lake_url:
        properties |= {"py-io-impl": f"{LakeFiles.__module__}.{LakeFiles.__name__}"}
    if tenant.settings.s3_endpoint:
        # AWS's client would else send chunks without a length, which few servers but AWS's own take.
        os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    return SqlCatalog(tenant.catalog_name, **properties)


def introduce(tenant: Tenant) -> None:
    """Let Feast in this process open the catalog by its name: its registry has neither password nor key.

    Other processes set PyIceberg's own variables, `PYICEBERG_CATALOG__<NAME>__URI` and `…__S3__…`.
    """
    if tenant.served:
        known = _catalog._ENV_CONFIG
        told: Any = {"catalog": {tenant.catalog_name: tenant.catalog_properties}}
        known.config = FrozenDict(**merge_config(known.config, told))


@lru_cache(maxsize=4)
def _client(endpoint: str | None, region: str | None, key: str | None, secret: str | None) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(connect_timeout=5, s3={"addressing_style": "path"} if endpoint else None),
    )
