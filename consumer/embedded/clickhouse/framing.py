"""ClickHouse's own block compression, ``compress=1`` and ``decompress=1``: checksummed LZ4 blocks, no HTTP coding."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from consumer.embedded.clickhouse.errors import ErrorCode, QueryError

_CHECKSUM_BYTES = 16
_HEADER = struct.Struct("<BII")
"""Method, size of the compressed block with this header, size of the plain block."""
_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90
_BLOCK_BYTES = 1024 * 1024
_BLOCK_BYTES_MAX = 0x40000000
_HALVES = struct.Struct("<QQ")


def _checksum(data: bytes) -> bytes:
    value = CityHash128(data)
    return _HALVES.pack(value >> 64, value & 0xFFFFFFFFFFFFFFFF)


def compress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Turn plain bytes into blocks."""
    for chunk in chunks:
        for offset in range(0, len(chunk), _BLOCK_BYTES):
            plain = chunk[offset : offset + _BLOCK_BYTES]
            data = lz4.block.compress(plain, store_size=False)
            block = _HEADER.pack(_LZ4, _HEADER.size + len(data), len(plain)) + data
            yield _checksum(block) + block


def decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Turn blocks into plain bytes.

    Raises:
        QueryError: CHECKSUM_DOESNT_MATCH or CANNOT_DECOMPRESS for damaged input.
    """
    source = iter(chunks)
    held = bytearray()
    prelude_bytes = _CHECKSUM_BYTES + _HEADER.size
    while _fill(held, source, prelude_bytes):
        method, block_bytes, plain_bytes = _HEADER.unpack_from(held, _CHECKSUM_BYTES)
        if not _HEADER.size <= block_bytes <= _BLOCK_BYTES_MAX or plain_bytes > _BLOCK_BYTES_MAX:
            raise _damaged("a block's size is out of range")
        if not _fill(held, source, _CHECKSUM_BYTES + block_bytes):
            raise _damaged("it ends within a block")
        checksum = bytes(held[:_CHECKSUM_BYTES])
        block = bytes(held[_CHECKSUM_BYTES : _CHECKSUM_BYTES + block_bytes])
        del held[: _CHECKSUM_BYTES + block_bytes]
        if checksum != _checksum(block):
            raise QueryError(
                "Checksum doesn't match: corrupted data in the request body", code=ErrorCode.CHECKSUM_DOESNT_MATCH
            )
        yield _plain(method, block[_HEADER.size :], plain_bytes)
    if held:
        raise _damaged("it ends within a block")


def _plain(method: int, data: bytes, plain_bytes: int) -> bytes:
    try:
        if method == _LZ4:
            return bytes(lz4.block.decompress(data, uncompressed_size=plain_bytes))
        if method == _ZSTD:
            return zstandard.ZstdDecompressor().decompress(data, max_output_size=plain_bytes)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise _damaged(str(error)) from error
    if method == _NONE:
        return data
    raise _damaged(f"unknown compression method {method:#x}")


def _fill(held: bytearray, source: Iterator[bytes], size: int) -> bool:
    while len(held) < size:
        chunk = next(source, None)
        if chunk is None:
            return False
        held += chunk
    return True


def _damaged(why: str) -> QueryError:
    return QueryError(f"Cannot decompress the request body: {why}", code=ErrorCode.CANNOT_DECOMPRESS)
