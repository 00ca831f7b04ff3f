"""Request bodies: framed by length or in chunks, bounded, never held in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.message import Message
from typing import BinaryIO, Protocol

from consumer.embedded.clickhouse.errors import ErrorCode, QueryError

_READ_BYTES = 256 * 1024
_CHUNK_LINE_BYTES_MAX = 1024


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def readline(self, size: int, /) -> bytes: ...


def too_large(bytes_max: int) -> QueryError:
    """The refusal of a body beyond its bound."""
    return QueryError(
        f"The request body is larger than {bytes_max} bytes",
        code=ErrorCode.QUERY_IS_TOO_LARGE,
        remedy="Split it, or start the server with a larger --max-body-mib",
    )


def _broken(what: str) -> QueryError:
    return QueryError(f"The request body ended early: {what}", code=ErrorCode.CANNOT_READ_ALL_DATA)


class BodyReader:
    """The bytes of one request's body, as sent. ``finished`` tells whether the connection can be used again."""

    def __init__(self, stream: _Readable, headers: Message, bytes_max: int) -> None:
        self._stream = stream
        self._bytes_max = bytes_max
        self._seen = 0
        self.chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        length = headers.get("Content-Length")
        self.length = None if length is None or self.chunked else _parse_length(length)
        self.finished = not self.chunked and not self.length
        if self.length is not None and self.length > bytes_max:
            raise too_large(bytes_max)

    @property
    def framed(self) -> bool:
        """Whether the request says where its body ends."""
        return self.chunked or self.length is not None

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces.

        Raises:
            QueryError: if it is too large or ends early.
        """
        if not self.finished:
            yield from self._chunked() if self.chunked else self._exactly(self.length or 0)
            self.finished = True

    def drain(self) -> None:
        """Read the rest and drop it, so that the next request on the connection starts where it should."""
        for _ in self.chunks():
            pass

    def _exactly(self, count: int) -> Iterator[bytes]:
        remaining = count
        while remaining:
            data = self._stream.read(min(remaining, _READ_BYTES))
            if not data:
                raise _broken(f"{remaining} bytes are missing")
            remaining -= len(data)
            if self.length is not None:
                self.length = remaining
            yield data

    def _chunked(self) -> Iterator[bytes]:
        while size := self._chunk_size():
            self._seen += size
            if self._seen > self._bytes_max:
                raise too_large(self._bytes_max)
            yield from self._exactly(size)
            if self._stream.readline(_CHUNK_LINE_BYTES_MAX).strip():
                raise _broken("a chunk is longer than it says")
        while line := self._stream.readline(_CHUNK_LINE_BYTES_MAX):
            if not line.strip():
                return
        raise _broken("the last chunk's trailer is missing")

    def _chunk_size(self) -> int:
        line = self._stream.readline(_CHUNK_LINE_BYTES_MAX)
        digits = line.split(b";", 1)[0].strip()
        try:
            size = int(digits, 16)
        except ValueError:
            raise _broken(f"{digits[:20]!r} is no chunk size") from None
        if size < 0:
            raise _broken(f"{digits[:20]!r} is no chunk size")
        return size


def _parse_length(text: str) -> int:
    if not text.strip().isdecimal():
        raise QueryError(f"Content-Length is {text!r}, not a number of bytes", code=ErrorCode.BAD_ARGUMENTS)
    return int(text)


class PlainBody:
    """The decoded body: a readable head first, then the rest into a file."""

    def __init__(self, chunks: Iterable[bytes], bytes_max: int) -> None:
        self._chunks = iter(chunks)
        self._bytes_max = bytes_max
        self._seen = 0
        self._held = bytearray()
        self.exhausted = False

    def head(self, size: int) -> bytes:
        """At least the first ``size`` bytes, or all there are; they stay part of the body."""
        while len(self._held) < size and not self.exhausted:
            self._pull()
        return bytes(self._held)

    def copy_to(self, target: BinaryIO, *, skip: int) -> int:
        """Write everything but the first ``skip`` bytes; return how many bytes that was."""
        while len(self._held) < skip and not self.exhausted:
            self._pull()
        written = target.write(memoryview(self._held)[skip:])
        self._held.clear()
        while not self.exhausted:
            self._pull()
            written += target.write(self._held)
            self._held.clear()
        return written

    def _pull(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            self.exhausted = True
            return
        self._seen += len(chunk)
        if self._seen > self._bytes_max:
            raise too_large(self._bytes_max)
        self._held += chunk
