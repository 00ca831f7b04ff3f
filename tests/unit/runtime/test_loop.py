"""The poll loop's decisions, on a consumer group in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from consumer.domain.errors import BrokerUnavailableError, FencedError, InvalidEventError
from consumer.domain.event import Event, EventType
from consumer.domain.invalid_reason import InvalidReason
from consumer.service.runtime.loop import EventLoop
from consumer.service.runtime.ports import Handler, IdleWork, Partition
from consumer.service.threads import Signal
from consumer.settings.connections import ConsumerSettings
from consumer.testing.runtime import MemoryDeadLetters, MemoryEventSource, MemoryMessage
from consumer.testing.telemetry import MemoryMetrics, MemoryTracing
from tests.support.waiting import wait_until

P0, P1 = Partition("events", 0), Partition("events", 1)
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
PRODUCER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def decode(message: MemoryMessage) -> Event:
    if message.value == "deep":
        raise RecursionError("maximum recursion depth exceeded")
    if message.value == "bad":
        raise InvalidEventError("no JSON", remedy="send JSON", reason=InvalidReason.NOT_JSON)
    stream, _, minutes = message.value.partition(" ")
    return Event(
        id=f"{message.at}@{message.number}",
        type=EventType.TICK,
        stream=stream,
        cutoff=NOON + timedelta(minutes=int(minutes or 0)),
        source="test",
        time=NOON,
        traceparent=PRODUCER,
    )


class Bench:
    def __init__(self, handler: Handler, settings: ConsumerSettings, idle: IdleWork | None = None) -> None:
        self.source = MemoryEventSource()
        self.letters = MemoryDeadLetters[MemoryMessage]()
        self.metrics = MemoryMetrics()
        self.tracing = MemoryTracing()
        self.loop = EventLoop[MemoryMessage](
            settings=settings,
            group="group",
            source=self.source,
            decode=decode,
            handler=handler,
            dead_letters=self.letters,
            metrics=self.metrics,
            tracer=self.tracing.tracer,
            idle=idle,
        )
        self.thread = threading.Thread(target=self.loop.run, daemon=True)

    def end(self) -> None:
        self.loop.stop_now()
        self.thread.join(60)
        assert not self.thread.is_alive()


Start = Callable[..., Bench]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def make(
            handler: Handler = lambda _event, _abandon: None, idle: IdleWork | None = None, **settings: object
        ) -> Bench:
            bench = Bench(handler, ConsumerSettings.model_validate(settings), idle)
            stack.callback(bench.end)
            bench.thread.start()
            bench.source.rebalance("assigned", P0)
            return bench

        yield make


def test_a_member_has_started_once_the_group_has_given_it_an_assignment_or_none_for_long(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = start()
    wait_until(lambda: bench.metrics.values.get("assigned") == 1)
    assert bench.loop.started
    bench.source.rebalance("revoked", P0)
    wait_until(lambda: bench.metrics.values["assigned"] == 0)
    assert bench.loop.started
    spare = Bench(lambda _event, _abandon: None, ConsumerSettings())
    assert not spare.loop.started
    spare.thread.start()
    try:
        wait_until(lambda: spare.metrics.counts["heartbeat"] > 1)
        assert not spare.loop.started
        monkeypatch.setattr("consumer.service.runtime.loop._SPARE_SECONDS", 0.0)
        assert spare.loop.started
    finally:
        spare.end()


def test_a_finished_event_is_acknowledged(start: Start) -> None:
    bench = start()
    bench.source.send(P0, 7, "a")
    wait_until(lambda: bench.source.committed == {P0: 8})


def test_a_refused_commit_is_counted_and_tried_again(start: Start) -> None:
    bench = start()
    bench.source.refuse[P0] = "REBALANCE_IN_PROGRESS"
    bench.source.send(P0, 0, "a")
    wait_until(lambda: bench.metrics.counts["commit_error REBALANCE_IN_PROGRESS"] >= 2)
    assert not bench.source.committed
    del bench.source.refuse[P0]
    wait_until(lambda: bench.source.committed == {P0: 1})


def test_a_broker_that_does_not_answer_a_commit_stops_neither_the_loop_nor_its_end(start: Start) -> None:
    bench = start()
    bench.source.answers = False
    bench.source.send(P0, 0, "a")
    wait_until(lambda: bench.tracing.named("process events"))
    turns = bench.metrics.counts["heartbeat"]
    wait_until(lambda: bench.metrics.counts["heartbeat"] > turns + 10)
    bench.loop.stop()
    bench.thread.join(8)
    assert not bench.thread.is_alive()
    assert bench.source.commits_now == 0
    assert not bench.source.committed


def test_what_is_done_when_partitions_are_revoked_is_committed_before_they_are_given_back(start: Start) -> None:
    gate = threading.Event()
    bench = start(lambda _event, _abandon: (gate.wait(60), None)[1])
    bench.source.send(P0, 0, "a")
    wait_until(lambda: bench.metrics.values.get("in_flight") == 1)
    bench.source.rebalance("revoked", P0)
    gate.set()
    wait_until(lambda: not bench.loop.partitions)
    assert bench.source.committed == {P0: 1}
    assert bench.source.commits_now == 1


class Piece:
    """Something that every event leaves, and that goes on until it is told to give up."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.told: list[bool] = []

    def leaves(self, _stream: str) -> bool:
        return True

    def clear(self, _stream: str, abandoned: Signal) -> bool:
        self.begun.set()
        self.told.append(abandoned.wait(20))
        return False


def test_partitions_are_given_back_without_waiting_for_what_events_have_left(start: Start) -> None:
    piece = Piece()
    bench = start(idle=piece, revoke_deadline_seconds=60)
    bench.source.send(P0, 0, "a")
    assert piece.begun.wait(20)
    bench.source.rebalance("revoked", P0)
    wait_until(lambda: not bench.loop.partitions)
    assert piece.told == [True]
    assert bench.source.committed == {P0: 1}


def test_one_partition_s_refusal_does_not_hold_back_another(start: Start) -> None:
    bench = start()
    bench.source.rebalance("assigned", P1)
    bench.source.refuse[P0] = "NOT_COORDINATOR"
    bench.source.send(P0, 0, "a")
    bench.source.send(P1, 0, "b")
    wait_until(lambda: bench.source.committed == {P1: 1})


def test_a_partition_is_paused_while_it_has_enough_in_flight_and_resumed_when_half_is_done(start: Start) -> None:
    gates = {str(number): threading.Event() for number in range(8)}
    bench = start(lambda event, _: (gates[event.stream[1:]].wait(20), None)[1], events_per_partition=4, workers=8)
    for number in range(8):
        bench.source.send(P0, number, f"s{number}")
    wait_until(lambda: bench.source.paused == {P0})
    assert bench.metrics.values["in_flight"] == 4
    gates["0"].set()
    wait_until(lambda: bench.source.committed == {P0: 1})
    assert bench.source.paused == {P0}
    for gate in gates.values():
        gate.set()
    wait_until(lambda: bench.source.committed == {P0: 8})
    assert not bench.source.paused


def test_the_loop_keeps_turning_while_handlers_run(start: Start) -> None:
    gate = threading.Event()
    bench = start(lambda _event, _abandon: (gate.wait(20), None)[1], events_per_partition=1)
    bench.source.send(P0, 0, "a")
    wait_until(lambda: bench.source.paused)
    turns = bench.metrics.counts["heartbeat"]
    wait_until(lambda: bench.metrics.counts["heartbeat"] > turns + 10)
    assert bench.loop.silence < 1
    gate.set()


@pytest.mark.parametrize(("value", "reason"), [("bad", "not-json"), ("deep", "other")])
def test_what_can_not_be_decoded_becomes_a_dead_letter(start: Start, value: str, reason: str) -> None:
    bench = start()
    bench.source.send(P0, 0, value)
    bench.source.send(P0, 1, "a")
    wait_until(lambda: bench.source.committed == {P0: 2})
    ((message, error),) = bench.letters.letters
    assert (message.number, message.value) == (0, value)
    assert isinstance(error, InvalidEventError)
    assert bench.metrics.counts[f"dead_letter {reason}"] == 1


def test_an_event_that_the_handler_finds_invalid_becomes_a_dead_letter(start: Start) -> None:
    def refuse(event: Event, _abandon: Signal) -> None:
        raise InvalidEventError(f"no stream {event.stream}", remedy="none", reason=InvalidReason.UNKNOWN_STREAM)

    bench = start(refuse)
    bench.source.send(P0, 0, "nobody")
    wait_until(lambda: bench.source.committed == {P0: 1})
    assert [message.number for message, _ in bench.letters.letters] == [0]
    assert bench.metrics.counts["dead_letter unknown-stream"] == 1


def test_an_event_is_held_until_its_dead_letter_is_acknowledged(start: Start) -> None:
    bench = start()
    bench.letters.failures.extend([BrokerUnavailableError("no answer", remedy="wait")] * 2)
    bench.source.send(P0, 0, "bad")
    wait_until(lambda: bench.source.committed == {P0: 1})
    assert [message.number for message, _ in bench.letters.letters] == [0]


def test_lost_partitions_are_abandoned_without_a_commit(start: Start) -> None:
    abandoned = threading.Event()

    def hang(_event: Event, abandon: Signal) -> None:
        assert abandon.wait(60)
        abandoned.set()

    bench = start(hang)
    bench.source.send(P0, 0, "a")
    wait_until(lambda: bench.metrics.values.get("in_flight") == 1)
    bench.source.rebalance("lost", P0)
    assert abandoned.wait(60)
    wait_until(lambda: bench.metrics.values["in_flight"] == 0)
    assert not bench.source.committed
    assert not bench.loop.partitions


def test_work_of_an_earlier_assignment_does_not_acknowledge_anything_of_a_later_one(start: Start) -> None:
    release, again = threading.Event(), threading.Event()
    started: list[str] = []

    def hang(event: Event, _abandon: Signal) -> None:
        started.append(event.id)
        if len(started) == 1:
            release.wait(20)  # a handler that does not listen
        elif event.id.endswith("@5"):
            again.wait(20)

    bench = start(hang)
    bench.source.send(P0, 5, "a")
    wait_until(lambda: len(started) == 1)
    bench.source.rebalance("lost", P0)
    bench.source.rebalance("assigned", P0)
    bench.source.send(P0, 5, "a")
    bench.source.send(P0, 6, "b")
    wait_until(lambda: len(started) == 2)
    assert started[1].endswith("@6"), "the stream's earlier handler still runs: its lane is taken"
    release.set()
    wait_until(lambda: len(started) == 3)
    turns = bench.metrics.counts["heartbeat"]
    wait_until(lambda: bench.metrics.counts["heartbeat"] > turns + 3)
    assert not bench.source.committed, "what is done of the earlier assignment is not done of this one"
    again.set()
    wait_until(lambda: bench.source.committed == {P0: 7})
    assert len(started) == 3


def test_an_orderly_stop_finishes_what_runs_and_forgets_what_waits(start: Start) -> None:
    gate = threading.Event()
    started: list[str] = []

    def handle(event: Event, _abandon: Signal) -> None:
        started.append(event.id)
        gate.wait(20)

    bench = start(handle, workers=1)
    bench.source.send(P0, 0, "a")
    bench.source.send(P0, 1, "b")
    wait_until(lambda: started)
    bench.loop.stop()
    wait_until(lambda: bench.source.paused)
    gate.set()
    bench.thread.join(60)
    assert bench.source.closed
    assert bench.source.committed == {P0: 1}
    assert len(started) == 1


def test_an_immediate_stop_waits_for_nothing_but_commits_what_is_done(start: Start) -> None:
    def handle(event: Event, _abandon: Signal) -> None:
        if event.stream == "hangs":
            threading.Event().wait(5)

    bench = start(handle)
    bench.source.send(P0, 0, "a")
    bench.source.send(P0, 1, "hangs")
    wait_until(lambda: bench.source.committed == {P0: 1})
    bench.loop.stop()
    bench.loop.stop_now()
    bench.thread.join(3)
    assert not bench.thread.is_alive()
    assert bench.source.closed
    assert bench.source.committed == {P0: 1}


def test_a_stop_that_takes_longer_than_its_deadline_abandons_the_work(start: Start) -> None:
    seen = threading.Event()

    def hang(_event: Event, abandon: Signal) -> None:
        abandon.wait(20)
        seen.set()
        raise FencedError("given up", remedy="none")

    bench = start(hang, shutdown_deadline_seconds=0.2)
    bench.source.send(P0, 0, "a")
    wait_until(lambda: bench.metrics.values.get("in_flight") == 1)
    bench.loop.stop()
    bench.thread.join(60)
    assert seen.is_set()
    assert not bench.source.committed


def test_one_trace_leads_from_the_producer_over_poll_and_process_to_the_commit(start: Start) -> None:
    bench = start()
    bench.source.send(P0, 3, "a")
    wait_until(lambda: bench.tracing.named("commit events"))
    (poll,) = bench.tracing.named("poll events")
    (process,) = bench.tracing.named("process events")
    (commit,) = bench.tracing.named("commit events")
    contexts = [span.get_span_context() for span in (poll, process, commit)]
    assert {f"{context.trace_id:032x}" for context in contexts if context} == {PRODUCER.split("-")[1]}
    assert process.parent is not None
    assert f"{process.parent.span_id:016x}" == PRODUCER.split("-")[2]
    assert commit.parent == process.get_span_context()
    assert [span.kind.name for span in (poll, process, commit)] == ["CLIENT", "CONSUMER", "CLIENT"]
    attributes = dict(process.attributes or {})
    assert attributes["messaging.system"] == "kafka"
    assert attributes["messaging.operation.name"] == "process"
    assert attributes["messaging.operation.type"] == "process"
    assert attributes["messaging.destination.partition.id"] == "0"
    assert attributes["messaging.kafka.offset"] == 3
    assert attributes["messaging.consumer.group.name"] == "group"
    assert dict(poll.attributes or {})["messaging.operation.type"] == "receive"
    assert dict(poll.attributes or {})["messaging.batch.message_count"] == 1
    assert dict(commit.attributes or {})["messaging.operation.type"] == "settle"


def test_a_failed_attempt_is_an_error_in_its_trace(start: Start) -> None:
    attempts: list[int] = []

    def fail_once(_event: Event, _abandon: Signal) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise FencedError("taken over", remedy="none")

    bench = start(fail_once)
    bench.source.send(P0, 0, "a")
    wait_until(lambda: bench.tracing.named("commit events"))
    first, second = bench.tracing.named("process events")
    assert first.status.status_code.name == "ERROR"
    assert dict(first.attributes or {})["error.type"] == "FencedError"
    assert second.status.is_ok or second.status.is_unset
