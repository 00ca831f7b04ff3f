"""Consumers of a group in memory on real servers otherwise; one of them can be stopped as a whole, as by SIGSTOP."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence

from opentelemetry.trace import NoOpTracer

from consumer.bootstrap import Application
from consumer.domain.errors import IcehaulError
from consumer.domain.event import Event
from consumer.service.runtime.loop import EventLoop
from consumer.service.runtime.ports import Partition
from consumer.service.threads import Signal
from consumer.testing.broker import BrokerMessage, MemoryBroker, decode
from consumer.testing.group_member import MemoryMember
from consumer.testing.runtime import MemoryDeadLetters
from consumer.testing.telemetry import MemoryMetrics
from tests.support.interruptions import Freeze
from tests.support.waiting import wait_until

_PATIENCE_S = 90.0


class WatchedBroker(MemoryBroker):
    """A broker of one partition that remembers whose commits it has accepted."""

    def __init__(self) -> None:
        super().__init__(partitions=1)
        self.accepted: dict[MemoryMember, list[int]] = defaultdict(list)

    @property
    def partition(self) -> Partition:
        """The one partition."""
        return self.partitions[0]

    def commit(self, member: MemoryMember, offsets: Mapping[Partition, int]) -> dict[Partition, str]:
        """Commit a member's offsets."""
        refused = super().commit(member, offsets)
        self.accepted[member] += [offset for partition, offset in offsets.items() if partition not in refused]
        return refused


class StoppableMember(MemoryMember):
    """A member whose poll stands still while its process does."""

    def __init__(self, broker: MemoryBroker, freeze: Freeze) -> None:
        super().__init__(broker)
        self._freeze = freeze

    def poll(self, timeout: float, limit: int) -> Sequence[BrokerMessage]:
        """Poll, unless everything is stopped."""
        self._freeze.pause()
        return super().poll(timeout, limit)


class Owner:
    """A consumer's poll loop and workers, in threads of the test."""

    def __init__(self, application: Application, broker: WatchedBroker, freeze: Freeze | None = None) -> None:
        self.application = application
        self.member = MemoryMember(broker) if freeze is None else StoppableMember(broker, freeze)
        self.letters = MemoryDeadLetters[BrokerMessage]()
        self.endings: list[IcehaulError | None] = []
        self._begun = 0
        self._metrics = MemoryMetrics()
        self._loop = EventLoop[BrokerMessage](
            settings=application.configuration.consumer,
            group="group",
            source=self.member,
            decode=decode,
            handler=self._handle,
            dead_letters=self.letters,
            metrics=self._metrics,
            tracer=NoOpTracer(),
            failpoints=application.failpoints,
        )
        self.poll_thread = threading.Thread(target=self._loop.run, daemon=True)

    def _handle(self, event: Event, abandon: Signal) -> None:
        self._begun += 1
        try:
            self.application.offload.handle(event, abandon)
        except IcehaulError as error:
            self.endings.append(error)
            raise
        self.endings.append(None)

    def start(self) -> None:
        """Join the group."""
        self.poll_thread.start()

    @property
    def handling(self) -> bool:
        """Whether an event is being handled at this moment."""
        return self._begun > len(self.endings)

    def wait_until_lost(self) -> None:
        """Wait until this member knows that its partition is gone, and has ended what it was doing."""
        wait_until(
            lambda: self._metrics.counts["rebalance lost"] and not self.handling,
            seconds=_PATIENCE_S,
            what="the member to notice that it has lost its partition",
        )

    def stop(self) -> None:
        """Ask the loop to end."""
        self._loop.stop()

    def join(self) -> None:
        """Wait until it has left the group, if it ever joined."""
        if self.poll_thread.ident is not None:
            self.poll_thread.join(_PATIENCE_S)
            assert not self.poll_thread.is_alive()
