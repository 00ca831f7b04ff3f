"""A new end for a file on the store: the store copies the data itself, only the tail is sent.

S3's UploadPartCopy (Amazon S3 API reference): parts of 5 MiB to 5 GiB, the last one may be smaller.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from spark.object_store import key_of, store_error
from spark.unit_task import StoreAccess

_SMALLEST_PART = 5 << 20
_PART = 128 << 20
"""Bytes that one request copies: S3 copies some parts at once in less time than one large one."""
_COPIES = 4
_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 120.0
_ATTEMPTS_MAX = 3


def read_tail(access: StoreAccess, uri: str, length: int) -> tuple[int, bytes] | None:
    """Return a file's size and its last bytes, ``length`` of them if it has as many; ``None`` if there is no file.

    Raises:
        StoreUnavailableError, AccessDeniedError
    """
    bucket, key = _place(uri)
    with _translated(uri):
        try:
            answer = _client(access).get_object(Bucket=bucket, Key=key, Range=f"bytes=-{length}")
        except ClientError as error:
            if error.response["Error"].get("Code") in {"NoSuchKey", "404"}:
                return None
            raise
        tail = answer["Body"].read()
    size = answer.get("ContentRange", "").rpartition("/")[2]
    return (int(size) if size.isdecimal() else len(tail)), tail


def write_with_tail(access: StoreAccess, source: str, target: str, kept: int, tail: bytes) -> None:
    """Write ``target``: the first ``kept`` bytes of ``source``, and ``tail`` behind them; it is whole or not there.

    Raises:
        StoreUnavailableError, AccessDeniedError
    """
    client = _client(access)
    bucket, key = _place(target)
    with _translated(target):
        if kept < _SMALLEST_PART:
            origin, name = _place(source)
            body = client.get_object(Bucket=origin, Key=name, Range=f"bytes=0-{kept - 1}")["Body"].read()
            client.put_object(Bucket=bucket, Key=key, Body=body + tail)
            return
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        place = {"Bucket": bucket, "Key": key, "UploadId": upload}
        try:
            parts = _copied(client, place, source, kept)
            last = client.upload_part(**place, PartNumber=len(parts) + 1, Body=tail)
            parts.append({"ETag": last["ETag"], "PartNumber": len(parts) + 1})
            client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
        except BaseException:
            with suppress(BotoCoreError, ClientError):
                client.abort_multipart_upload(**place)
            raise


def remove(access: StoreAccess, uri: str) -> None:
    """Delete a file of this attempt's own; one that can't be deleted now stays where nobody ever looks for it."""
    bucket, key = _place(uri)
    with suppress(BotoCoreError, ClientError):
        _client(access).delete_object(Bucket=bucket, Key=key)


def _copied(client: Any, place: dict[str, str], source: str, kept: int) -> list[dict[str, Any]]:  # noqa: ANN401 - no types
    origin, name = _place(source)
    count = max(1, kept // _PART)  # the last one takes the rest, so that none is too small
    ranges = [(number * _PART, kept if number == count - 1 else (number + 1) * _PART) for number in range(count)]

    def copy(number: int) -> dict[str, Any]:
        begin, end = ranges[number]
        answer = client.upload_part_copy(
            **place,
            PartNumber=number + 1,
            CopySource={"Bucket": origin, "Key": name},
            CopySourceRange=f"bytes={begin}-{end - 1}",
        )
        return {"ETag": answer["CopyPartResult"]["ETag"], "PartNumber": number + 1}

    if count == 1:
        return [copy(0)]
    with ThreadPoolExecutor(max_workers=_COPIES) as copies:
        return list(copies.map(copy, range(count)))


@lru_cache(maxsize=4)
def _client(access: StoreAccess) -> Any:  # noqa: ANN401 - made at run time, without types
    """Return the client; one for each store and worker process, with warm connections."""
    # A tenth of a second and 26 MiB of each worker: only where ClickHouse exports.
    import boto3  # noqa: PLC0415

    return boto3.client(
        "s3",
        endpoint_url=access.endpoint,
        region_name=access.region,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        aws_session_token=access.session_token,
        verify=access.ca_file,
        config=Config(
            s3={"addressing_style": "path" if access.path_style else "virtual"},
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            retries={"max_attempts": _ATTEMPTS_MAX, "mode": "standard"},
            # Stores that are not Amazon's know few of the newer checksums; the data files are checked by their digest.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _place(uri: str) -> tuple[str, str]:
    bucket, _, key = key_of(uri).partition("/")
    return bucket, key


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "?")
        raise store_error(uri, OSError(f"{error} (HTTP status {status})")) from error
    except BotoCoreError as error:
        raise store_error(uri, OSError(str(error))) from error
