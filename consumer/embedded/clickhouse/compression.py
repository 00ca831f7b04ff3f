"""Content codings: which one a response gets, and how a request's is undone."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import lz4.frame
import zstandard

from consumer.embedded.clickhouse.errors import ErrorCode, QueryError

RESPONSE_CODINGS = ("zstd", "br", "lz4", "gzip", "deflate", "xz", "bz2")
"""Best first. The engine compresses, under these very names."""

_PIECE_BYTES = 16 * 1024
"""Compressed input goes through in small pieces: a malicious one may expand ten thousand times."""


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _zstd() -> _Decoder:
    return zstandard.ZstdDecompressor().decompressobj()


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    "gzip": lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16),
    "deflate": zlib.decompressobj,
    "zstd": _zstd,
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "xz": lzma.LZMADecompressor,
    "bz2": bz2.BZ2Decompressor,
}


def choose_response_coding(accept_encoding: str) -> str | None:
    """The best coding the client accepts, or None for an uncompressed response."""
    accepted: set[str] = set()
    for item in accept_encoding.split(","):
        name, _, weight = item.strip().lower().partition(";")
        if weight.strip().replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            accepted.add(name.strip())
    return next((coding for coding in RESPONSE_CODINGS if coding in accepted), None)


def decode(coding: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Undo a request's ``Content-Encoding``; several frames in a row count as one.

    Raises:
        QueryError: NOT_IMPLEMENTED for a coding this server does not know, CANNOT_DECOMPRESS for damaged data.
    """
    name = coding.strip().lower()
    if name in {"", "identity"}:
        return iter(chunks)
    if name not in _DECODERS:
        raise QueryError(
            f"Unknown compression method '{coding}' in the header Content-Encoding",
            code=ErrorCode.NOT_IMPLEMENTED,
            remedy=f"Use one of {', '.join(_DECODERS)} or send the body uncompressed",
        )
    return _decode_frames(name, _DECODERS[name], chunks)


def _decode_frames(name: str, new_decoder: Callable[[], _Decoder], chunks: Iterable[bytes]) -> Iterator[bytes]:
    decoder, started = new_decoder(), False
    try:
        for chunk in chunks:
            for offset in range(0, len(chunk), _PIECE_BYTES):
                data = chunk[offset : offset + _PIECE_BYTES]
                while data:
                    if decoder.eof:
                        decoder = new_decoder()
                    started = True
                    plain = decoder.decompress(data)
                    if plain:
                        yield plain
                    data = (decoder.unused_data or b"") if decoder.eof else b""
    except (zlib.error, lzma.LZMAError, OSError, RuntimeError, zstandard.ZstdError) as error:
        if isinstance(error, ConnectionError | TimeoutError):
            raise
        raise QueryError(
            f"Cannot decompress the request body as {name}: {error}", code=ErrorCode.CANNOT_DECOMPRESS
        ) from error
    if started and not decoder.eof:
        raise QueryError(
            f"Cannot decompress the request body as {name}: it ends early", code=ErrorCode.CANNOT_DECOMPRESS
        )
