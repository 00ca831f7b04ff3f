"""A table's files as engines without an Iceberg catalog are given them."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

import pyarrow.dataset as ds
from pyarrow.fs import S3FileSystem
from pyiceberg.table import FileScanTask

from consumer.settings.connections import StoreSettings


def planned_files(tasks: Iterable[FileScanTask], store: StoreSettings, endpoint: str) -> ds.Dataset:
    """Return the files that PyIceberg has planned, read through this address of the store."""
    secret = store.secret_key
    files = S3FileSystem(
        access_key=store.access_key,
        secret_key=None if secret is None else secret.get_secret_value(),
        region=store.region,
        endpoint_override=urlsplit(endpoint).netloc,
        scheme="http",
    )
    paths = [task.file.file_path.removeprefix("s3://") for task in tasks]
    return ds.dataset(paths, filesystem=files, format="parquet")


def iceberg_function(metadata_location: str, store: StoreSettings, endpoint: str) -> str:
    """Return ClickHouse's table function for the table of a metadata file."""
    secret = store.secret_key
    folder, _, metadata = metadata_location.removeprefix(f"s3://{store.bucket}/").partition("/metadata/")
    return (
        f"icebergS3('{endpoint}/{store.bucket}/{folder}', '{store.access_key}',"
        f" '{'' if secret is None else secret.get_secret_value()}',"
        f" SETTINGS iceberg_metadata_file_path = 'metadata/{metadata}')"
    )
