"""Bronze, silver and gold: each after its upstreams, woken by them, and none at the cost of the others."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from statistics import median

from consumer.domain.event import EventType
from consumer.domain.event_factory import tick
from consumer.domain.stream import Layer, RetryPolicy
from consumer.domain.window import BEGINNING
from consumer.ports import StreamState
from tests.support.lake import DAY, NOON, Lake, stream
from tests.support.waiting import wait_until

BRONZE = ("binance", "kraken", "coinbase")
MINUTE = timedelta(minutes=1)


def layers() -> Lake:
    """Three bronze streams, a silver one of all of them, and two gold ones of that: bars of a minute and of a day."""
    chain = [
        *(stream(name) for name in BRONZE),
        stream("trades", *BRONZE, layer=Layer.SILVER),
        stream("minutes", "trades", layer=Layer.GOLD, row_span=MINUTE),
        stream("days", "trades", layer=Layer.GOLD, row_span=DAY),
    ]
    lake = Lake({each.name: each for each in chain})
    for name in (*BRONZE, "trades"):
        lake.insert(name, *(NOON - 2 * DAY + number * 7 * MINUTE for number in range(300)))
    lake.insert("minutes", *(NOON - 2 * DAY + number * MINUTE for number in range(2000)))
    lake.insert("days", *((NOON - number * DAY).replace(hour=0) for number in range(5)))
    return lake


def test_three_bronze_streams_wake_silver_and_that_wakes_two_gold_ones() -> None:
    lake = layers()
    lake.ticks(NOON, *BRONZE)
    with lake.running(workers=3):
        wait_until(lambda: lake.watermark("minutes") == NOON - MINUTE, what="minutes")
        wait_until(lambda: lake.watermark("days") == NOON.replace(hour=0) - DAY / 2, what="days")
        wait_until(lake.acknowledged, what="every offset")

    for name in ("trades", "minutes", "days"):
        assert set(lake.events(name)) == {EventType.BATCH_COMMITTED}
        assert lake.equal(name)
    assert len(lake.events("trades")) >= len(BRONZE)
    assert {name for name, _ in lake.handled} == lake.streams.keys()


def test_no_batch_passes_what_all_of_its_upstreams_had_published() -> None:
    lake = layers()
    early = NOON - 20 * 60 * MINUTE
    with lake.running(workers=3):
        lake.ticks(early, *BRONZE[1:])
        wait_until(lake.acknowledged, what="two of three")
        lake.ticks(NOON, BRONZE[0])
        wait_until(lambda: lake.watermark("trades") == early, what="silver, up to the slowest of three")
        wait_until(lake.acknowledged, what="every offset")
        assert lake.watermark("trades") == early
        lake.ticks(NOON, *BRONZE[1:])
        wait_until(lambda: lake.watermark("minutes") == NOON - MINUTE, what="gold")

    assert {name for name, _, _ in lake.published} == lake.streams.keys()
    for name, upper, watermarks in lake.published:
        for upstream in lake.streams[name].upstreams:
            assert upper <= watermarks[upstream], (name, upstream)


def test_bronze_streams_are_written_at_the_same_time() -> None:
    lake = layers()
    # Passed only if all three write at once; silver and gold find it broken, and go on.
    meeting = threading.Barrier(len(BRONZE))

    def hit(point: str) -> None:
        if point == "task.before-read" and meeting.n_waiting < len(BRONZE) and not passed:
            meeting.wait(20)
            passed.append(point)

    passed: list[str] = []
    lake.hit = hit
    lake.ticks(NOON, *BRONZE)
    with lake.running(workers=3):
        wait_until(lambda: lake.watermark("trades") == NOON, what="silver")
    assert len(passed) == len(BRONZE)


def test_a_daily_bar_waits_for_its_day_and_is_woken_when_that_is_over() -> None:
    lake = layers()
    midnight = NOON.replace(hour=0)
    assert any(bar.ts == midnight for bar in lake.source.tables[lake.streams["days"].source])
    with lake.running(workers=2):
        lake.ticks(NOON, *BRONZE)
        wait_until(lambda: lake.watermark("days") > BEGINNING, what="a daily bar")
        wait_until(lake.acknowledged, what="every offset")
        assert lake.watermark("days") <= midnight
        assert lake.equal("days")

        # The day is long over by the clock, but its trades have been read up to the afternoon only.
        lake.source.time = midnight + 3 * DAY
        lake.ticks(NOON + 60 * MINUTE, *BRONZE)
        wait_until(lambda: lake.watermark("trades") == NOON + 60 * MINUTE, what="silver")
        # What wakes the bars may not have been sent yet when every offset is committed.
        wait_until(lambda: lake.watermark("days") >= midnight, what="yesterday's bar")
        wait_until(lake.acknowledged, what="every offset")
        assert lake.watermark("days") == midnight

        lake.ticks(midnight + DAY + MINUTE, *BRONZE)
        wait_until(lambda: lake.watermark("days") > midnight, what="today's bar")
    assert lake.equal("days")
    assert set(lake.events("days")) == {EventType.BATCH_COMMITTED}


# ------------------------------------------------------------------------------------------ poisoned streams


def nine(retry: RetryPolicy) -> tuple[Lake, list[str]]:
    """Nine streams, of which the first can't be read; and the names of the healthy ones."""
    lake = Lake({f"s{number}": stream(f"s{number}", retry=retry) for number in range(9)}, partitions=1)
    for name in lake.streams:
        lake.insert(name, NOON - DAY, NOON - MINUTE)
    lake.source.poisoned.add(lake.streams["s0"].source)
    return lake, [name for name in lake.streams if name != "s0"]


def done(lake: Lake, names: Sequence[str]) -> bool:
    watermarks = lake.watermarks()
    return all(watermarks[name] == NOON for name in names)


def test_a_poisoned_stream_that_waits_for_its_next_attempt_holds_no_worker() -> None:
    hour = timedelta(hours=1)
    lake, healthy = nine(RetryPolicy(attempts=5, initial=hour, maximum=hour))
    lake.ticks(NOON, *lake.streams)
    with lake.running(workers=1):
        wait_until(lambda: done(lake, healthy), what="the eight healthy streams")
        lake.ticks(NOON + MINUTE, *healthy)
        lake.source.time = NOON + MINUTE
        wait_until(lambda: len(lake.handled) == 17, what="their next events")
        assert lake.source.asked[lake.streams["s0"].source] == 1
        assert lake.ledger.read(["s0"])["s0"].state is StreamState.ACTIVE
    assert all(lake.equal(name) for name in healthy)


def test_a_poisoned_stream_among_nine_is_halted_and_its_events_are_kept_while_the_others_go_on() -> None:
    lake, healthy = nine(RetryPolicy(attempts=3, initial=timedelta(milliseconds=1), maximum=timedelta(milliseconds=1)))
    with lake.running(workers=2):
        for minutes in range(3):
            lake.ticks(NOON - minutes * MINUTE, *lake.streams)
        wait_until(lambda: done(lake, healthy), what="the eight healthy streams")
        wait_until(lake.acknowledged, what="every offset, those of the poisoned stream too")
    record = lake.ledger.read(["s0"])["s0"]
    assert (record.state, record.watermark) == (StreamState.HALTED, BEGINNING)
    assert "is poisoned" in str(record.halt_reason)
    assert lake.source.asked[lake.streams["s0"].source] == 3
    # The event that asks for the most covers the others.
    assert max(event.cutoff for event in lake.ledger.parked("s0")) == NOON
    assert all(lake.equal(name) for name in healthy)

    lake.source.poisoned.clear()
    lake.ledger.resume("s0")
    with lake.running(workers=2):
        wait_until(lambda: done(lake, ["s0"]), what="the stream that was mended and resumed")
    assert lake.equal("s0")


# ------------------------------------------------------------------------------------------------- fairness


def waits(order: Sequence[str]) -> list[int]:
    """How many events of others were handled before each turn of a stream, from its last one on."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(order):
        places.setdefault(name, [-1]).append(place)
    return [later - earlier - 1 for turns in places.values() for earlier, later in pairwise(turns)]


def test_five_hundred_streams_are_planned_fairly() -> None:
    streams, rounds = 500, 3
    lake = Lake({f"s{number}": stream(f"s{number}") for number in range(streams)}, partitions=4)
    for name in lake.streams:
        lake.insert(name, NOON - DAY)
    # All that one stream wants stands before all that the next one wants: in the topic's order the last would starve.
    for name in lake.streams:
        wanted = replace(tick(stream=name, boundary=NOON), type=EventType.PARTITION_CLOSED)
        # Closes of different partitions, for of several ticks the last one would do for all.
        lake.broker.send(
            [
                replace(wanted, id=f"{name} {number}", partition_id=f"{number}", content_id=f"{number}")
                for number in range(rounds)
            ]
        )
    gate = threading.Event()
    with lake.running(workers=4, gate=gate):
        wait_until(lambda: lake.metrics.values.get("in_flight") == streams * rounds, what="all events in memory")
        gate.set()
        wait_until(lambda: len(lake.handled) == streams * rounds, seconds=90, what="all events")
    found = waits([name for name, _ in lake.handled])
    assert len(found) == streams * rounds
    assert max(found) <= 2 * median(found)
