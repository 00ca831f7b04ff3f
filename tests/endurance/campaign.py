"""The campaign: a real consumer whose batches fail, are halted, resumed by an operator, and fail again."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from consumer.domain.event_factory import tick
from consumer.ports import StreamState
from tests.endurance.gauges import Reading, read_gauges
from tests.endurance.stage import ROWS, Stage
from tests.endurance.trouble import StoreTrouble, begin, kill_driver
from tests.support.consuming import consuming
from tests.support.local_platform import judge
from tests.support.platform import day
from tests.support.waiting import wait_until

_PATIENCE_S = 600.0
_CUTOFF = day("2024-01-02")


@dataclass(frozen=True)
class Campaign:
    """Rounds of failing batches on a consumer's real poll loop, workers and relay.

    Attributes:
        driver_killed_every: after how many rounds Spark's driver is killed; 0 for never.
    """

    stage: Stage
    troubles: Sequence[StoreTrouble]
    driver_killed_every: int = 0

    def run(self, failures: int) -> Iterator[Reading]:
        """Play rounds until so many batches have failed; yield what the gauges say after each.

        In the end every trouble is taken away, and each stream has to finish by itself once it is resumed.
        """
        with self._working():
            number, failed = 0, 0
            while failed < failures:
                begin(self.troubles, self.stage.store, self.stage.tables, number)
                if self.driver_killed_every and number % self.driver_killed_every == 1:
                    kill_driver(self.stage.application.engine)
                self._start_round(number)
                # Every stream fails in every round, so each gets halted.
                wait_until(self._halted, seconds=_PATIENCE_S, what="every stream to be halted")
                reading = read_gauges(self.stage.platform.dsn, self.stage.proxies, self.stage.strangers)
                failed = reading.failed
                number += 1
                yield reading
            self._recover()

    @contextmanager
    def _working(self) -> Iterator[None]:
        application = self.stage.application
        application.topics.ensure()
        over = threading.Event()
        relay = threading.Thread(target=application.relay.run, args=(over, timedelta(milliseconds=100)))
        with consuming(application):
            relay.start()
            try:
                yield
            finally:
                over.set()
                relay.join(60)

    def _start_round(self, number: int) -> None:
        operator = self.stage.operator
        if number == 0:
            operator.event_sink.send([tick(stream=stream, boundary=_CUTOFF) for stream in self.stage.streams])
            return
        for stream in self.stage.streams:
            operator.ledger.resume(stream)

    def _halted(self) -> bool:
        ledger = self.stage.operator.ledger
        records = ledger.read(self.stage.streams)
        return len(records) == len(self.stage.tables) and all(
            record.state is StreamState.HALTED and record.owner is None and ledger.parked(record.stream)
            for record in records.values()
        )

    def _recover(self) -> None:
        operator = self.stage.operator
        for table in self.stage.tables:
            self.stage.store.calm(table)
        for stream in self.stage.streams:
            operator.ledger.resume(stream)
        wait_until(self._offloaded, seconds=_PATIENCE_S, what="every stream to be offloaded")
        for stream in self.stage.streams:
            judge(operator, stream, rows=ROWS)

    def _offloaded(self) -> bool:
        records = self.stage.operator.ledger.read(self.stage.streams).values()
        return all(record.watermark >= _CUTOFF and record.owner is None for record in records)
