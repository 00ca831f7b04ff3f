"""A file's new end on a real store: small files as a whole, large ones copied by the store in parts."""

from __future__ import annotations

import os
from uuid import uuid4

import pytest

from consumer.adapters.spark.access import store_access
from consumer.domain.errors import StoreUnavailableError
from consumer.embedded.stack import EmbeddedStack
from spark import tail_rewrite
from spark.object_store import connect, key_of
from spark.tail_rewrite import read_tail, remove, write_with_tail
from spark.unit_task import StoreAccess
from tests.support.spark import store_settings

_MIB = 1 << 20


@pytest.fixture
def access(stack: EmbeddedStack) -> StoreAccess:
    return store_access(store_settings(stack.endpoints))


@pytest.fixture
def folder(stack: EmbeddedStack) -> str:
    return f"s3://{stack.endpoints.store.bucket}/tests/{uuid4().hex}"


def put(access: StoreAccess, uri: str, content: bytes) -> None:
    with connect(access).open_output_stream(key_of(uri)) as sink:
        sink.write(content)


def get(access: StoreAccess, uri: str) -> bytes:
    with connect(access).open_input_stream(key_of(uri)) as source:
        return bytes(source.read())


@pytest.mark.parametrize(
    "kept", [1, 5 * _MIB - 1, 5 * _MIB, 17 * _MIB + 3], ids=["a byte", "below a part", "a part", "several parts"]
)
def test_the_new_file_is_the_old_ones_beginning_and_the_new_tail(
    access: StoreAccess, folder: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_rewrite, "_PART", 5 * _MIB)
    data = os.urandom(kept)
    put(access, f"{folder}/old", data + b"old tail")

    write_with_tail(access, f"{folder}/old", f"{folder}/new", kept, b"the new tail")

    assert get(access, f"{folder}/new") == data + b"the new tail"
    assert read_tail(access, f"{folder}/new", 8) == (kept + 12, b"new tail")


def test_a_tail_longer_than_the_file_is_the_file(access: StoreAccess, folder: str) -> None:
    put(access, f"{folder}/short", b"abc")

    assert read_tail(access, f"{folder}/short", 100) == (3, b"abc")


def test_a_missing_file_has_no_tail_and_removing_it_is_no_error(access: StoreAccess, folder: str) -> None:
    assert read_tail(access, f"{folder}/none", 8) is None
    remove(access, f"{folder}/none")


@pytest.mark.parametrize("kept", [10, 6 * _MIB], ids=["small", "large"])
def test_a_copy_that_fails_leaves_no_file_and_no_upload(access: StoreAccess, folder: str, kept: int) -> None:
    with pytest.raises(StoreUnavailableError):
        write_with_tail(access, f"{folder}/none", f"{folder}/new", kept, b"tail")

    assert read_tail(access, f"{folder}/new", 8) is None
    bucket, _, key = key_of(folder).partition("/")
    client = tail_rewrite._client(access)
    assert client.list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", []) == []


def test_a_store_that_is_away_is_an_error_that_says_so(folder: str, access: StoreAccess) -> None:
    away = StoreAccess(
        endpoint="http://127.0.0.1:9", region=access.region, access_key="a", secret_key="b", path_style=True
    )
    with pytest.raises(StoreUnavailableError, match="object store failed"):
        read_tail(away, f"{folder}/any", 8)
