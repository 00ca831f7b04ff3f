from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from email.message import Message

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from consumer.embedded.clickhouse.body import BodyReader, PlainBody
from consumer.embedded.clickhouse.compression import decode
from consumer.embedded.clickhouse.errors import QueryError
from consumer.embedded.clickhouse.framing import compress, decompress

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "identity": bytes,
}


def reader(data: bytes, bytes_max: int = 1000, **headers: str) -> BodyReader:
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return BodyReader(io.BytesIO(data), message, bytes_max)


def code_of(act: Callable[[], object]) -> int:
    with pytest.raises(QueryError) as caught:
        act()
    return caught.value.code


def test_a_length_frames_the_body() -> None:
    body = reader(b"abcdef", Content_Length="4")
    assert b"".join(body.chunks()) == b"abcd"
    assert body.finished


def test_no_length_means_no_body() -> None:
    body = reader(b"abc")
    assert list(body.chunks()) == []
    assert not body.framed


def test_chunks_frame_the_body_up_to_the_trailer() -> None:
    body = reader(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX: y\r\n\r\nrest", Transfer_Encoding="chunked")
    assert b"".join(body.chunks()) == b"abcde"
    assert body.finished


@pytest.mark.parametrize(
    "data", [b"", b"5\r\nabc", b"3\r\nabcX\r\n0\r\n\r\n", b"xyz\r\n", b"-1\r\n", b"3\r\nabc\r\n0\r\n"]
)
def test_broken_chunks_are_noticed(data: bytes) -> None:
    assert code_of(lambda: list(reader(data, Transfer_Encoding="chunked").chunks())) == 33


def test_a_body_that_ends_early_is_noticed() -> None:
    assert code_of(lambda: list(reader(b"abc", Content_Length="4").chunks())) == 33


def test_bodies_beyond_the_bound_are_refused_before_they_are_read() -> None:
    assert code_of(lambda: reader(b"", Content_Length="1001")) == 229
    assert code_of(lambda: list(reader(b"3e9\r\n", Transfer_Encoding="chunked").chunks())) == 229
    assert code_of(lambda: reader(b"", Content_Length="ten")) == 36


def test_the_bound_holds_for_what_a_body_expands_to() -> None:
    bomb = gzip.compress(b"x" * 1_000_000)
    assert code_of(lambda: PlainBody(decode("gzip", [bomb]), 10_000).copy_to(io.BytesIO(), skip=0)) == 229


@given(st.binary(max_size=3000), st.integers(1, 500), st.sampled_from(sorted(ENCODERS)), st.integers(0, 3000))
def test_every_coding_is_undone_whatever_the_pieces(data: bytes, piece: int, coding: str, cut: int) -> None:
    encoded = ENCODERS[coding](data[:cut]) + ENCODERS[coding](data[cut:])
    pieces = [encoded[at : at + piece] for at in range(0, len(encoded), piece)]
    assert b"".join(decode(coding, pieces)) == data


@pytest.mark.parametrize("coding", [name for name in ENCODERS if name != "identity"])
def test_damaged_and_cut_off_data_is_noticed(coding: str) -> None:
    whole = ENCODERS[coding](bytes(range(256)) * 20)
    assert code_of(lambda: list(decode(coding, [whole[:-5]]))) == 271
    assert code_of(lambda: list(decode(coding, [b"not compressed at all"]))) == 271


def test_an_unknown_coding_is_refused() -> None:
    assert code_of(lambda: decode("br", [b""])) == 48


@given(st.binary(max_size=3000), st.integers(1, 500))
def test_native_blocks_come_back_as_they_went(data: bytes, piece: int) -> None:
    framed = b"".join(compress([data]))
    pieces = [framed[at : at + piece] for at in range(0, len(framed), piece)]
    assert b"".join(decompress(pieces)) == data


def test_damaged_native_blocks_are_noticed() -> None:
    framed = b"".join(compress([b"abc" * 100]))
    assert code_of(lambda: list(decompress([framed[:-1] + b"\x00"]))) == 40
    assert code_of(lambda: list(decompress([framed[:-1]]))) == 271
    assert code_of(lambda: list(decompress([framed + b"x"]))) == 271


@given(st.lists(st.binary(max_size=50)), st.integers(0, 100), st.integers(0, 100))
def test_head_and_rest_make_up_the_body(chunks: list[bytes], wanted: int, skip: int) -> None:
    whole = b"".join(chunks)
    body = PlainBody(chunks, 100_000)
    head = body.head(wanted)
    assert whole.startswith(head)
    assert len(head) >= min(wanted, len(whole))
    target = io.BytesIO()
    assert body.copy_to(target, skip=skip) == max(len(whole) - skip, 0)
    assert target.getvalue() == whole[skip:]
