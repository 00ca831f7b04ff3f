"""What the poll loop makes of an incident: the streams of the partition are reconciled before anything is committed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import structlog

from consumer.domain.errors import BrokerUnavailableError, InvalidEventError
from consumer.domain.event import Event, EventType
from consumer.domain.offset_incident import Bounds, IncidentKind, OffsetIncident, Standing
from consumer.service.runtime.loop import EventLoop
from consumer.service.runtime.ports import Handler, Partition
from consumer.service.runtime.reconciling import StreamsOfPartitions
from consumer.service.threads import Signal
from consumer.settings.connections import ConsumerSettings
from consumer.testing.runtime import MemoryDeadLetters, MemoryEventSource, MemoryMessage
from consumer.testing.telemetry import MemoryMetrics, MemoryTracing
from tests.support.waiting import wait_until

P0 = Partition("events", 0)
NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)
STREAMS = {"even": 0, "odd": 1, "zero": 0}
INCIDENT = OffsetIncident(
    kind=IncidentKind.RETENTION,
    topic="events",
    partition=0,
    partitions=2,
    standing=Standing(committed=3),
    bounds=Bounds(first=7, end=9),
)


def decode(message: MemoryMessage) -> Event:
    return Event(id="e", type=EventType.TICK, stream=message.value, cutoff=NOW, source="test", time=NOW)


class Member:
    def __init__(self, handler: Handler, streams: tuple[str, ...] = tuple(STREAMS)) -> None:
        self.source = MemoryEventSource()
        self.metrics = MemoryMetrics()
        self.letters = MemoryDeadLetters[MemoryMessage]()
        self.loop = EventLoop[MemoryMessage](
            settings=ConsumerSettings(),
            group="group",
            source=self.source,
            decode=decode,
            handler=handler,
            dead_letters=self.letters,
            metrics=self.metrics,
            tracer=MemoryTracing().tracer,
            reconciling=StreamsOfPartitions(streams, lambda stream, _count: STREAMS[stream], lambda: NOW),
        )


@contextmanager
def running(member: Member) -> Iterator[None]:
    thread = threading.Thread(target=member.loop.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        member.loop.stop_now()
        thread.join(60)
    assert not thread.is_alive()


def test_the_streams_of_the_partition_and_no_others_are_reconciled_up_to_now() -> None:
    events = StreamsOfPartitions(STREAMS, lambda stream, _count: STREAMS[stream], lambda: NOW)(INCIDENT)
    assert [(event.type, event.stream, event.cutoff) for event in events] == [
        (EventType.TICK, "even", NOW),
        (EventType.TICK, "zero", NOW),
    ]


def test_nothing_is_committed_until_every_stream_is_reconciled_and_then_the_new_beginning_is() -> None:
    gates = {stream: threading.Event() for stream in STREAMS}

    def handle(event: Event, abandon: Signal) -> None:
        while not gates[event.stream].wait(0.01) and not abandon.is_set():
            pass

    member = Member(handle)
    with running(member):
        member.source.assign_with(INCIDENT)
        gates["odd"].set()
        member.source.send(P0, 7, "odd")
        wait_until(lambda: member.metrics.counts["polled events"] == 1)
        gates["even"].set()
        turns = member.metrics.counts["heartbeat"]
        wait_until(lambda: member.metrics.counts["heartbeat"] > turns + 20)
        assert member.source.committed == {}
        gates["zero"].set()
        wait_until(lambda: member.source.committed == {P0: 8})
    assert member.metrics.counts["offset_incident retention"] == 1


def test_where_nothing_is_left_to_read_the_new_beginning_is_committed_so_that_the_incident_ends() -> None:
    member = Member(lambda _event, _abandon: None)
    with running(member):
        member.source.assign_with(INCIDENT)
        wait_until(lambda: member.source.committed == {P0: 7})


def test_a_partition_without_streams_is_simply_read_on() -> None:
    member = Member(lambda _event, _abandon: None, streams=("odd",))
    with running(member):
        member.source.assign_with(INCIDENT)
        wait_until(lambda: member.source.committed == {P0: 7})


def test_a_reconcile_that_fails_is_held_like_any_event() -> None:
    attempts: list[str] = []

    def handle(event: Event, _abandon: Signal) -> None:
        attempts.append(event.stream)
        if attempts.count("even") < 2:
            raise BrokerUnavailableError("not now", remedy="wait")

    member = Member(handle, streams=("even",))
    with running(member):
        member.source.assign_with(INCIDENT)
        wait_until(lambda: member.source.committed == {P0: 7})
    assert attempts == ["even", "even"]


def test_what_no_message_asked_for_makes_no_dead_letter() -> None:
    def handle(event: Event, _abandon: Signal) -> None:
        raise InvalidEventError(f"{event.stream} is not configured", remedy="add it")

    member = Member(handle, streams=("even",))
    with running(member):
        member.source.assign_with(INCIDENT)
        wait_until(lambda: member.source.committed == {P0: 7})
    assert member.letters.letters == []


@pytest.mark.parametrize("kind", IncidentKind)
def test_an_incident_is_logged_with_place_offsets_streams_and_remedy(kind: IncidentKind) -> None:
    incident = OffsetIncident(
        kind=kind, topic="events", partition=0, partitions=2, standing=Standing(committed=3), bounds=INCIDENT.bounds
    )
    member = Member(lambda _event, _abandon: None)
    with structlog.testing.capture_logs() as said, running(member):
        member.source.assign_with(incident)
        wait_until(lambda: member.source.committed)
    (line,) = [entry for entry in said if entry["event"] == "consumer.offset_incident"]
    assert {name: line[name] for name in ("kind", "topic", "partition", "committed", "first", "end")} == {
        "kind": kind,
        "topic": "events",
        "partition": 0,
        "committed": 3,
        "first": 7,
        "end": 9,
    }
    assert line["streams"] == ["even", "zero"]
    assert line["remedy"] == incident.remedy
    on_purpose = kind in {IncidentKind.MOVED, IncidentKind.OFFSETS_LOST}
    assert line["log_level"] == ("warning" if on_purpose else "error")
