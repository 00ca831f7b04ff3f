"""Result rows on their way from the engine to the client, without holding a result in memory.

The engine writes the result through ``INTO OUTFILE``: into a file if the client wants to wait for the end, otherwise
into a named pipe that is read while the statement runs. Either way every format comes out as the one valid stream
that ClickHouse's own client would write (chdb's streaming call encodes each block for itself, which breaks Arrow,
Parquet and JSON), compressed by the engine if the client accepts that, and with an exact count of rows.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from consumer.embedded.clickhouse.engine import Outcome, quote
from consumer.embedded.clickhouse.errors import ClientGoneError
from consumer.embedded.clickhouse.statement import Statement

_PIPE_BYTES = 1024 * 1024
_READ_BYTES = 1024 * 1024
_HELD_BACK_BYTES = 64 * 1024
_CANCEL_INTERVAL_S = 0.2
_HANG_UP = select.POLLRDHUP | select.POLLHUP | select.POLLERR


def into_file(
    text: bytes, statement: Statement, path: Path, *, default_format: str, coding: str | None, level: int
) -> bytes:
    """The statement with an ``INTO OUTFILE`` clause where the grammar wants it."""
    mode = " TRUNCATE" if path.exists() else ""
    compression = f" COMPRESSION {quote(coding)} LEVEL {level}" if coding else " COMPRESSION 'none'"
    clause = f"\nINTO OUTFILE {quote(str(path))}{mode}{compression}\n"
    if statement.format_start is None:
        return text[: statement.end] + f"{clause}FORMAT {default_format}".encode()
    return text[: statement.format_start] + clause.encode() + text[statement.format_start : statement.end]


class Worker:
    """Runs a statement in another thread; ``signal_fd`` is closed when it has ended, however it ended.

    Threads are used again: the engine takes as long to get to know a new one as to answer a small query.
    """

    def __init__(
        self, run: Callable[[], Outcome], cancel: Callable[[], None], signal_fd: int, threads: ThreadPoolExecutor
    ) -> None:
        self._run = run
        self._cancel = cancel
        self._signal_fd = signal_fd
        self._future = threads.submit(self._work)

    def outcome(self) -> Outcome:
        """Wait for the end.

        Raises:
            QueryError: what the statement failed with.
        """
        return self._future.result()

    def stop(self) -> None:
        """Cancel the statement if it still runs, and wait for its end."""
        while not self._future.done():
            # Again and again: the engine may not have listed the statement yet when the first one came.
            self._cancel()
            wait([self._future], _CANCEL_INTERVAL_S)

    def _work(self) -> Outcome:
        try:
            return self._run()
        finally:
            os.close(self._signal_fd)


def wait_readable(fd: int, peer: socket.socket | None) -> None:
    """Wait until ``fd`` has data or has ended.

    Raises:
        ClientGoneError: if ``peer`` hangs up first.
    """
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if peer is not None:
        poll.register(peer, select.POLLRDHUP)
    while True:
        events = dict(poll.poll())
        if fd in events:
            return
        if peer is not None and events.get(peer.fileno(), 0) & _HANG_UP:
            raise ClientGoneError("The client hung up", remedy="None needed: its query is cancelled")


def run_to_file(
    run: Callable[[], Outcome], cancel: Callable[[], None], peer: socket.socket | None, threads: ThreadPoolExecutor
) -> Outcome:
    """Run a statement that writes a file, cancelling it if ``peer`` hangs up."""
    ended_fd, signal_fd = os.pipe()
    worker = Worker(run, cancel, signal_fd, threads)
    try:
        wait_readable(ended_fd, peer)
        return worker.outcome()
    finally:
        worker.stop()
        os.close(ended_fd)


class PipedRows:
    """A statement that writes into a named pipe, and the reading end of that pipe."""

    def __init__(
        self,
        pipe: Path,
        run: Callable[[], Outcome],
        cancel: Callable[[], None],
        peer: socket.socket | None,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._peer = peer
        self._fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        # This writing end keeps the pipe from looking ended before the engine opens it, and closes with the worker.
        signal_fd = os.open(pipe, os.O_WRONLY)
        os.set_blocking(self._fd, True)
        fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._worker = Worker(run, cancel, signal_fd, threads)

    def read_ahead(self, size: int) -> tuple[bytes, Outcome | None]:
        """Up to ``size`` bytes, with the outcome if that is the whole result.

        Raises:
            QueryError: what the statement failed with before that much was read.
        """
        held = bytearray()
        while len(held) < size:
            wait_readable(self._fd, self._peer)
            data = os.read(self._fd, _READ_BYTES)
            if not data:
                return bytes(held), self._worker.outcome()
            held += data
        return bytes(held), None

    def rest(self, first: bytes) -> Iterator[bytes]:
        """``first`` and everything after it.

        The end is held back until the statement has succeeded: a failing one still closes its output in good order,
        and an Arrow stream that ends so looks whole.

        Raises:
            QueryError: what the statement failed with after it had begun to answer.
        """
        held = bytearray(first)
        while True:
            if len(held) > _HELD_BACK_BYTES:
                yield bytes(memoryview(held)[:-_HELD_BACK_BYTES])
                del held[:-_HELD_BACK_BYTES]
            wait_readable(self._fd, self._peer)
            data = os.read(self._fd, _READ_BYTES)
            if not data:
                self._worker.outcome()
                yield bytes(held)
                return
            held += data

    def close(self) -> None:
        """Stop the statement if it still runs; its next write finds nobody reading."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._worker.stop()
