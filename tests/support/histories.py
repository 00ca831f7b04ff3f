"""A stream with history below its start, and consumers that backfill it on real servers."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.event import Event
from consumer.failpoints.acting import Failpoints
from tests.support.local_platform import LocalPlatform, deliver, judge, offload
from tests.support.platform import day

ROWS = 30
"""Rows of each day that has some."""
DAYS = ("2023-12-20", "2024-01-01", "2024-01-02", "2024-01-03")
FIRST, START, CUTOFF = day("2023-10-01"), day("2024-01-03"), day("2024-01-04")


class History:
    """Four days of rows, of which the last was offloaded by itself, and three lie below the stream's start."""

    def __init__(self, platform: LocalPlatform) -> None:
        self.platform = platform
        self.stream = platform.add_stream(
            start="2024-01-03",
            batch={"rows": ROWS, "unit_rows": ROWS},
            on_failure={"attempts": 20, "initial": "1ms", "maximum": "1ms"},
        )
        for number, name in enumerate(DAYS):
            platform.insert(ROWS, first=number * ROWS, day=name)
        with platform.consumer() as application:
            assert offload(application, self.stream, CUTOFF) == []

    def ask(self, lower: datetime = FIRST, upper: datetime = START) -> None:
        """Ask for a range, as the command does; one that is asked for already is left as it is."""
        with self.platform.consumer() as application, suppress(ConfigurationError):
            application.backfill_requests.request(application.streams[self.stream], lower, upper)

    def work(self, failpoints: Failpoints | None = None) -> None:
        """Do what the outbox asks for until it is empty, and a last tick."""
        with self.platform.consumer(failpoints=failpoints) as application:
            while events := relayed(application):
                for event in events:
                    if event.stream == self.stream:
                        deliver(application, event)
            offload(application, self.stream, CUTOFF)

    def judge(self, rows: int = len(DAYS) * ROWS) -> None:
        """Check that everything tells one story, and the cold tier holds so many rows."""
        with self.platform.consumer() as application:
            judge(application, self.stream, rows=rows)


def relayed(application: Application) -> list[Event]:
    """Take every event out of the outbox, as the relay does."""
    messages = application.ledger.outbox(100)
    application.ledger.relayed([message.number for message in messages])
    return [message.event for message in messages]
