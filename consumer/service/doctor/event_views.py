"""The check of the views by which ClickHouse makes events itself, where there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from consumer.domain.phrasing import counted
from consumer.domain.table_facts import EventRefresh
from consumer.service.doctor.finding import Statement, ok, warning


@dataclass(frozen=True, slots=True, kw_only=True)
class EventViewsCheck:
    """Whether these views are refreshed, and the broker takes what they send; says nothing where there are none.

    Attributes:
        timeout: how long a refresh waits for the broker.
    """

    refreshes: Callable[[], Sequence[EventRefresh]]
    timeout: timedelta
    subject: str = "ClickHouse"
    name: str = "clickhouse events"

    def run(self) -> Iterator[Statement]:
        """Look at the last refresh of each view."""
        found = self.refreshes()
        wrong = [statement for one in found if (statement := self._complaint(one)) is not None]
        yield from wrong
        if found and not wrong:
            yield ok(f"{counted(len(found), 'view')} are refreshed without an error")

    def _complaint(self, refresh: EventRefresh) -> Statement | None:
        if refresh.exception:
            return warning(
                f"the last refresh of {refresh.view} failed: {refresh.exception.splitlines()[0]}",
                "remove the cause, or run what `icehaul clickhouse-events` prints once more; see"
                " docs/how-to/let-clickhouse-emit.md",
            )
        if refresh.duration >= self.timeout:
            return warning(
                f"the last refresh of {refresh.view} took {refresh.duration.total_seconds():.1f} s: the broker did not"
                " take its events in time, and they are lost until they are sent again",
                "look whether ClickHouse reaches the broker (the named collection's kafka_broker_list), and whether the"
                " topic exists",
            )
        return None
