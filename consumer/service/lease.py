"""Keeping a stream's lease while its batches run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

import structlog

from consumer.domain.errors import FencedError, IcehaulError
from consumer.failpoints.acting import Failpoints
from consumer.ports import Claim, Ledger
from consumer.service.threads import SYSTEM_THREADS, Signal, Thread, Threads

_log = structlog.get_logger(__name__)


class LeaseKeeper:
    """Renews a claim from a thread of its own until it is closed, and releases it then.

    Renewal is a convenience that keeps other consumers away; what keeps the table safe is the epoch that
    every write of the ledger checks. ``on_lost`` is called once, from the renewal thread, when the lease is
    gone, so that running work can be cancelled.
    """

    def __init__(
        self,
        ledger: Ledger,
        claim: Claim,
        ttl: timedelta,
        on_lost: Callable[[], None],
        threads: Threads = SYSTEM_THREADS,
        *,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._failpoints = failpoints or Failpoints()
        self._ledger = ledger
        self._claim = claim
        self._ttl = ttl
        self._on_lost = on_lost
        self._threads = threads
        self._closing = threads.signal()
        self._lost = threads.signal()
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        self._thread = self._threads.start(self._run, name=f"lease-{self._claim.stream}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        if not self._lost.is_set():
            self._release()

    def check(self) -> None:
        """Raise unless the lease is still ours, as far as this process knows.

        Raises:
            FencedError: if a renewal found a newer epoch.
        """
        if self._lost.is_set():
            raise FencedError(
                f"stream {self._claim.stream}: the lease of epoch {self._claim.epoch} is lost",
                remedy="nothing to do: the new owner goes on from the watermark",
            )

    def check_for(self, abandoned: Signal) -> Callable[[], None]:
        """Return a check that raises once the lease is lost, or the work is not ours any more.

        Args:
            abandoned: set when the partition of the event that it belongs to is taken away.
        """

        def still_ours() -> None:
            self.check()
            if abandoned.is_set():
                raise FencedError(
                    f"stream {self._claim.stream}: the event's partition was taken away",
                    remedy="nothing to do: the partition's new owner goes on from the watermark",
                )

        return still_ours

    def _run(self) -> None:
        interval = self._ttl.total_seconds() / 3
        while not self._closing.wait(interval):
            try:
                with self._failpoints.around("lease.renew"):
                    self._ledger.renew(self._claim, self._ttl)
            except FencedError:
                self._lost.set()
                self._on_lost()
                return
            except IcehaulError as error:
                # A renewal that fails is not a lost lease: the next one, or the fence, decides.
                _log.warning("lease.renewal_failed", stream=self._claim.stream, error=str(error))

    def _release(self) -> None:
        try:
            with self._failpoints.around("lease.release"):
                self._ledger.release(self._claim)
        except IcehaulError as error:
            # The lease expires by itself.
            _log.warning("lease.release_failed", stream=self._claim.stream, error=str(error))
