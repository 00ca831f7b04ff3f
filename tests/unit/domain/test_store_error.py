"""What S3 clients report of a store, in the words that they really use, and what becomes of it."""

from __future__ import annotations

import pytest

from consumer.domain.errors import AccessDeniedError, IcehaulError, StoreUnavailableError
from consumer.domain.store_error import StoreTrouble, passing, trouble_of
from spark.object_store import store_error

PUT = "When uploading object with key 'k' in bucket 'b': AWS Error {} during PutObject operation: {}"
HEAD = "When reading information for key 'k' in bucket 'b': AWS Error {} during HeadObject operation: No response body."
UNNAMED = "Unable to parse ExceptionName: {} Message: x"


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        (PUT.format("SLOW_DOWN", "Please reduce your request rate."), StoreTrouble.BUSY),
        (PUT.format("SERVICE_UNAVAILABLE", "x"), StoreTrouble.BUSY),
        (PUT.format("UNKNOWN (HTTP status 429)", UNNAMED.format("TooManyRequests")), StoreTrouble.BUSY),
        (HEAD.format("UNKNOWN (HTTP status 503)"), StoreTrouble.BUSY),
        (PUT.format("UNKNOWN (HTTP status 507)", UNNAMED.format("XMinioStorageFull")), StoreTrouble.FULL),
        (PUT.format("UNKNOWN (HTTP status 507)", "No response body."), StoreTrouble.FULL),
        (PUT.format("UNKNOWN (HTTP status 403)", UNNAMED.format("QuotaExceeded")), StoreTrouble.FULL),
        (PUT.format("UNKNOWN (HTTP status 400)", UNNAMED.format("XMinioAdminBucketQuotaExceeded")), StoreTrouble.FULL),
        (PUT.format("INTERNAL_FAILURE", "No space left on device"), StoreTrouble.FULL),
        (PUT.format("NO_SUCH_BUCKET", "x"), StoreTrouble.NO_BUCKET),
        (PUT.format("SIGNATURE_DOES_NOT_MATCH", "x"), StoreTrouble.DENIED),
        (HEAD.format("ACCESS_DENIED"), StoreTrouble.DENIED),
        (PUT.format("INTERNAL_FAILURE", "We encountered an internal error."), StoreTrouble.OTHER),
        (PUT.format("NETWORK_CONNECTION", "curlCode: 56, Failure when receiving data"), StoreTrouble.OTHER),
    ],
)
def test_the_words_of_the_client_tell_what_is_the_matter(text: str, trouble: StoreTrouble) -> None:
    assert trouble_of(text) is trouble


@pytest.mark.parametrize(
    ("text", "error", "remedy"),
    [
        (PUT.format("UNKNOWN (HTTP status 403)", UNNAMED.format("QuotaExceeded")), StoreUnavailableError, "free space"),
        (PUT.format("SLOW_DOWN", "x"), StoreUnavailableError, "growing pauses"),
        (PUT.format("INTERNAL_FAILURE", "x"), StoreUnavailableError, "disk space left"),
        (PUT.format("NO_SUCH_BUCKET", "x"), StoreUnavailableError, "create the bucket"),
        (PUT.format("ACCESS_DENIED", "x"), AccessDeniedError, "store.secret_key"),
    ],
)
def test_a_task_reports_it_with_what_to_do(text: str, error: type[IcehaulError], remedy: str) -> None:
    found = store_error("s3://b/k", OSError(text))

    assert type(found) is error
    assert "s3://b/k" in found.message
    assert remedy in found.remedy


def test_what_passes_by_itself_is_said_of_the_store() -> None:
    assert passing(PUT.format("UNKNOWN (HTTP status 507)", "x"))[0] == "has no space left"
    assert passing(PUT.format("SLOW_DOWN", "x"))[0] == "asks for fewer requests"
    assert passing("connection reset")[0] == "failed"
