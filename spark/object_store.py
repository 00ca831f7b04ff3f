"""The object store as a task sees it, and what its errors mean."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

from consumer.domain.encryption import STORE, untrusted
from consumer.domain.errors import AccessDeniedError, ConfigurationError, IcehaulError, StoreUnavailableError
from consumer.domain.store_error import StoreTrouble, passing, trouble_of
from consumer.domain.store_rights import remedy as remedy_of
from spark.unit_task import StoreAccess

_ATTEMPTS_MAX = 3
"""Few: the batch as a whole is tried again, with longer pauses."""
_CONNECT_TIMEOUT_S = 5.0
_REQUEST_TIMEOUT_S = 30.0
_TEXT_LIMIT = 500
_SCHEMES = ("s3", "s3a")
_SAID = "AWS Error "
_NOT_FOUND = "HTTP status 404"
"""What a put is answered where there is no bucket, by stores that do not say so."""


@lru_cache(maxsize=4)
def connect(access: StoreAccess) -> S3FileSystem:
    """Return the file system; one for each store and worker process, with warm connections."""
    endpoint = urlsplit(access.endpoint) if access.endpoint else None
    return S3FileSystem(
        access_key=access.access_key,
        secret_key=access.secret_key,
        session_token=access.session_token,
        region=access.region,
        endpoint_override=endpoint.netloc if endpoint else None,
        scheme=endpoint.scheme if endpoint else "https",
        force_virtual_addressing=not access.path_style,
        connect_timeout=_CONNECT_TIMEOUT_S,
        request_timeout=_REQUEST_TIMEOUT_S,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS_MAX),
        # A file below one part's size is a single put: no multipart upload is begun for it.
        allow_delayed_open=True,
        tls_ca_file_path=access.ca_file,
    )


def key_of(uri: str) -> str:
    """Return ``bucket/key`` of a URI.

    Raises:
        ConfigurationError: if the URI is not on S3.
    """
    parts = urlsplit(uri)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise ConfigurationError(
            f"table location {uri!r} is on no S3 store", remedy="put the warehouse on s3://bucket/prefix"
        )
    return f"{parts.netloc}{parts.path}"


def _place(uri: str) -> tuple[str, str]:
    """Return the bucket, and the folder of the URI in it."""
    parts = urlsplit(uri)
    return parts.netloc, parts.path.strip("/").rpartition("/")[0]


def store_error(uri: str, error: OSError) -> IcehaulError:
    """Return the error for a failed operation on ``uri``."""
    text = _without_key(str(error))[:_TEXT_LIMIT].rstrip(".")
    if distrust := untrusted("the object store", text, STORE):
        return distrust
    trouble = trouble_of(text)
    if trouble is StoreTrouble.DENIED:
        return AccessDeniedError(
            f"the object store refused {uri}: {text}",
            remedy=remedy_of(text, *_place(uri)),
        )
    if trouble is StoreTrouble.NO_BUCKET or _NOT_FOUND in text:
        return StoreUnavailableError(
            f"the object store knows no bucket for {uri}: {text}", remedy="create the bucket, or correct store.bucket"
        )
    said, remedy = passing(text)
    return StoreUnavailableError(f"the object store {said} (while writing {uri}): {text}", remedy=remedy)


def _without_key(text: str) -> str:
    """Return what the store said: before that the client names the key, which the URI does, too."""
    _, mark, said = text.partition(_SAID)
    return f"{mark}{said}" if mark else text
