"""How far a verification is, on standard error: one line that changes on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from consumer.entrypoints.cli.output import human, messages, size
from consumer.service.verifying.parallel import Progress

EVERY = timedelta(seconds=10)
"""How often a line is written where nobody sees it change."""


@contextmanager
def shown(
    stream: str, *, every: timedelta = EVERY, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Progress], None]]:
    """Yield what shows the progress of a stream's verification."""
    console = messages()
    if console.is_terminal:
        with console.status(f"{stream}: looking") as status:
            yield lambda progress: status.update(line(stream, progress))
        return
    last = clock()

    def tell(progress: Progress) -> None:
        nonlocal last
        if clock() - last >= every.total_seconds():
            last = clock()
            console.print(line(stream, progress), markup=False, highlight=False, soft_wrap=True)

    yield tell


def line(stream: str, progress: Progress) -> str:
    """Return the line: queries, rows and bytes of all, and the time that is left at this pace."""
    left = "" if progress.left is None else f", about {human(progress.left)} left"
    return (
        f"{stream}: {progress.queries_done:,} of {progress.queries:,} queries, {progress.rows_done:,} of"
        f" {progress.rows:,} rows, {size(progress.bytes_done)} of {size(progress.bytes)}{left}"
    )
