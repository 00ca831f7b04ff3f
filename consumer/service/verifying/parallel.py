"""Several queries at once, with their progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Generic[_T]):
    """A query to be run, and what it is expected to read: rows, and bytes of data files as they are stored."""

    run: Callable[[], _T]
    rows: int
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the work is.

    Rows and bytes are what the ledger and the catalog expect, of both tiers together; ``elapsed`` is since it began.
    """

    queries: int
    queries_done: int
    rows: int
    rows_done: int
    bytes: int
    bytes_done: int
    elapsed: timedelta

    @property
    def left(self) -> timedelta | None:
        """How long the rest will take at the pace until now; ``None`` where nothing was read yet."""
        if not self.rows_done:
            return None
        return self.elapsed * ((self.rows - self.rows_done) / self.rows_done)


def run_all(
    work: Sequence[Work[_T]],
    *,
    threads: int,
    progress: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> list[_T]:
    """Run work by several threads, and return the results in its order.

    ``progress`` is called by the calling thread, after each query. An error, or Ctrl-C, lets no further query begin;
    those under way end first, so that nothing is left behind on the server.

    Raises:
        Exception: the first error of a query.
    """
    started, done = clock(), [False] * len(work)
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="verify") as pool:
        futures = {pool.submit(copy_context().run, one.run): number for number, one in enumerate(work)}
        try:
            for future in as_completed(futures):
                future.result()
                done[futures[future]] = True
                progress(_progress(work, done, clock() - started))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _progress(work: Sequence[Work[_T]], done: Sequence[bool], seconds: float) -> Progress:
    ended = [one for one, over in zip(work, done, strict=True) if over]
    return Progress(
        queries=len(work),
        queries_done=len(ended),
        rows=sum(one.rows for one in work),
        rows_done=sum(one.rows for one in ended),
        bytes=sum(one.bytes for one in work),
        bytes_done=sum(one.bytes for one in ended),
        elapsed=timedelta(seconds=seconds),
    )
