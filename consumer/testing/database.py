"""A database in memory, as far as transactions show: rows that are held, and ends that nobody has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from consumer.domain.errors import LedgerUnavailableError, UnknownCommitError
from consumer.service.threads import SYSTEM_THREADS, Threads

_LOCK = timedelta(seconds=5)
_IDLE = timedelta(seconds=15)


class CommitUnderWayError(UnknownCommitError):
    """The connection broke after COMMIT was sent, and the server has not done it yet.

    Raised at a failpoint before a commit, it leaves the transaction open until :meth:`MemoryDatabase.finish` ends it.
    """


@dataclass(eq=False, slots=True, kw_only=True)
class MemoryTransaction:
    """A transaction: the rows that it holds, and what its commit will do."""

    rows: tuple[str, ...]
    opened: float
    effect: Callable[[], None] = lambda: None
    under_way: bool = False


class MemoryDatabase:
    """Rows that open transactions hold; what needs no row reads and writes at once, under ``mutex``.

    A row that is held is waited for as long as ``lock_timeout`` says. A transaction whose client does nothing is ended
    after ``idle_timeout``, as a server does with a frozen client's: its rows are free then, and its commit fails.
    """

    def __init__(
        self,
        *,
        threads: Threads = SYSTEM_THREADS,
        lock_timeout: timedelta = _LOCK,
        idle_timeout: timedelta = _IDLE,
    ) -> None:
        self.mutex = threads.condition()
        self._clock = threads.monotonic
        self._lock_timeout = lock_timeout
        self._idle_timeout = idle_timeout.total_seconds()
        self._open: list[MemoryTransaction] = []

    def locked(self, row: str) -> bool:
        """Tell whether an open transaction holds a row."""
        with self.mutex:
            return bool(self._holders((row,)))

    def wait_for(self, *rows: str, patience: timedelta | None = None) -> None:
        """Wait until no transaction holds any of the rows; called under the mutex, which keeps them free.

        Raises:
            LedgerUnavailableError: if one is still held when the lock time-out (or ``patience``) is over.
        """
        until = self._clock() + (patience or self._lock_timeout).total_seconds()
        while holders := self._holders(rows):
            now = self._clock()
            if now >= until:
                raise LedgerUnavailableError(
                    f"a transaction under way holds {' and '.join(rows)}", remedy="it is tried again by itself"
                )
            # One that is idle for too long ends without news.
            idle = [each.opened + self._idle_timeout for each in holders if not each.under_way]
            self.mutex.wait(min([until, *idle]) - now)

    @contextmanager
    def transaction(self, *rows: str) -> Iterator[MemoryTransaction]:
        """Hold rows while the block runs, then commit: do the ``effect`` that the block has set.

        What the block raises leaves everything as it was, but for :class:`CommitUnderWayError`.

        Raises:
            LedgerUnavailableError: if a row is held for too long, or the server has ended the transaction.
        """
        with self.mutex:
            self.wait_for(*rows)
            mine = MemoryTransaction(rows=rows, opened=self._clock())
            self._open.append(mine)
        try:
            yield mine
            self._commit(mine)
        except CommitUnderWayError:
            # A transaction that the server has ended already can't be committed any more.
            with self.mutex:
                mine.under_way = not self._ended(mine)
            raise
        finally:
            if not mine.under_way:
                self._end(mine)

    @property
    def under_way(self) -> int:
        """How many transactions wait for :meth:`finish`."""
        return sum(each.under_way for each in self._open)

    def finish(self, *, landed: bool) -> None:
        """End the transactions whose commit is under way."""
        with self.mutex:
            for each in [each for each in self._open if each.under_way]:
                if landed:
                    each.effect()
                self._end(each)

    def _commit(self, mine: MemoryTransaction) -> None:
        with self.mutex:
            if self._ended(mine):
                raise LedgerUnavailableError(
                    "the server has ended the transaction, which was idle for too long",
                    remedy="nothing landed, and it is tried again by itself",
                )
            mine.effect()

    def _holders(self, rows: tuple[str, ...]) -> list[MemoryTransaction]:
        return [each for each in self._open if not self._ended(each) and not set(rows).isdisjoint(each.rows)]

    def _ended(self, transaction: MemoryTransaction) -> bool:
        return not transaction.under_way and self._clock() >= transaction.opened + self._idle_timeout

    def _end(self, transaction: MemoryTransaction) -> None:
        with self.mutex:
            self._open.remove(transaction)
            self.mutex.notify_all()
